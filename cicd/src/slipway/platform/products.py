"""The products of a release: every folder in `service-catalog/`, read from where the release lies in the assets bucket.

A folder is a product when it has a `product.json` (what people read about it) and a `product.yaml` (what is launched).
Its version is the one it states and eight digits made of its files: `1.0.0-0f3a2b1c`. A change that forgot to raise the
version is another version all the same, and a release that leaves the folder as it is publishes nothing.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from slipway.errors import SlipwayError

FOLDER = "service-catalog"
# What product.yaml says as long as nobody knows its release, and the namespace that its defaults name.
_PREFIX_LINE = re.compile(r"^(    Default: )releases/0{16}$", re.M)
_DEFAULT_NAMESPACE = "slipway"


class ProductFile(BaseModel):
    """product.json."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=3, max_length=100, description="What people choose it by.")
    owner: str = Field(min_length=2, max_length=100, description="Who answers for it.")
    description: str = Field(min_length=10, max_length=1000, description="What a launch gives.")
    support: str = Field(min_length=10, max_length=1000, description="What to do when a launch fails.")
    version: str = Field(pattern=r"^\d+\.\d+\.\d+$", description="Raised by hand: major.minor.patch.")
    support_email: str = Field("", max_length=254, description="Whom to write to.")
    support_url: str = Field("", max_length=2083, description="Where to read more.")
    studio: bool = Field(True, description="Whether Studio shows it among the organisation's templates.")


@dataclass(frozen=True)
class Product:
    """A product as a release has it; `key` is its folder, `template` its product.yaml."""

    key: str
    page: ProductFile
    digest: str
    template: str

    @property
    def version(self) -> str:
        """The version's name in the catalogue."""
        return f"{self.page.version}-{self.digest[:8]}"

    def rendered(self, prefix: str, namespace: str) -> str:
        """The template of this version: bound to the release it came with, and to this platform's namespace.

        Raises:
            SlipwayError: the template has no place for the release.
        """
        text, found = _PREFIX_LINE.subn(rf"\g<1>{prefix}", self.template)
        if found != 1:
            raise SlipwayError(
                f"{FOLDER}/{self.key}/product.yaml: needs one line `    Default: releases/{'0' * 16}`, the default of "
                f"the parameter that says where its nested templates lie; found {found}"
            )
        text = re.sub(rf"^(    Default: ){_DEFAULT_NAMESPACE}$", rf"\g<1>{namespace}", text, flags=re.M)
        return re.sub(rf"^(    Default: )/{_DEFAULT_NAMESPACE}/", rf"\g<1>/{namespace}/", text, flags=re.M)


def read(s3: Any, bucket: str, prefix: str) -> list[Product]:
    """Every product of the release at `s3://bucket/prefix`, by folder. Raises SlipwayError for what is none."""
    start = f"{prefix}/{FOLDER}/"
    folders: dict[str, dict[str, bytes]] = {}
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=start):
        for item in page.get("Contents", []):
            folder, _, name = item["Key"].removeprefix(start).partition("/")
            if name:
                content = s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read()
                folders.setdefault(folder, {})[name] = content
    if not folders:
        raise SlipwayError(f"s3://{bucket}/{start} holds no product: is the release there, and complete?")
    return [_product(folder, files) for folder, files in sorted(folders.items())]


def _product(folder: str, files: dict[str, bytes]) -> Product:
    where = f"{FOLDER}/{folder}"
    for needed in ("product.json", "product.yaml"):
        if needed not in files:
            raise SlipwayError(f"{where}: there is no {needed}; a product has a product.json and a product.yaml")
    try:
        page = ProductFile.model_validate(json.loads(files["product.json"]))
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise SlipwayError(f"{where}/product.json: {problems}") from None
    except ValueError as error:
        raise SlipwayError(f"{where}/product.json: not JSON: {error}") from None
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\0{hashlib.sha256(files[name]).hexdigest()}\0".encode())
    return Product(folder, page, digest.hexdigest(), files["product.yaml"].decode())
