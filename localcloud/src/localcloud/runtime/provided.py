"""Images that AWS keeps in registries of its own and pulls with its own credentials: nobody's ECR is asked.

Of SageMaker's built-in algorithms XGBoost is served. Its image is made at first use, of the program in
localcloud/algorithms and of XGBoost's own wheel.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from localcloud.runtime.references import Reference, parse
from localcloud.runtime.store import ImageStore
from localcloud.runtime.types import BuildError, BuildSpec, Image, ImageId, ImageNotFound

_PROGRAMS = Path(__file__).parent.parent / "algorithms"
XGBOOST = "sagemaker-xgboost"
VERSIONS = {"3.0-5": "3.0.5", "3.2-0": "3.2.0"}
"""Tag → XGBoost's version."""
# The accounts that hold sagemaker-xgboost, as the SageMaker SDK has them.
_ACCOUNTS = {
    "af-south-1": "510948584623", "ap-east-1": "651117190479", "ap-northeast-1": "354813040037",
    "ap-northeast-2": "366743142698", "ap-northeast-3": "867004704886", "ap-south-1": "720646828776",
    "ap-south-2": "628508329040", "ap-southeast-1": "121021644041", "ap-southeast-2": "783357654285",
    "ap-southeast-3": "951798379941", "ap-southeast-4": "106583098589", "ca-central-1": "341280168497",
    "ca-west-1": "190319476487", "eu-central-1": "492215442770", "eu-central-2": "680994064768",
    "eu-north-1": "662702820516", "eu-south-1": "978288397137", "eu-south-2": "104374241257",
    "eu-west-1": "141502667606", "eu-west-2": "764974769150", "eu-west-3": "659782779980",
    "il-central-1": "898809789911", "me-central-1": "272398656194", "me-south-1": "801668240914",
    "sa-east-1": "737474898029", "us-east-1": "683313688378", "us-east-2": "257758044811", "us-west-1": "746614075791",
    "us-west-2": "246618743249",
}  # fmt: skip


@dataclass(frozen=True)
class Provided:
    """An image of AWS that can be had here."""

    reference: Reference

    @property
    def name(self) -> str:
        """Its name on this machine: new as soon as what is in it changes."""
        hashed = hashlib.sha256()
        for path in self.sources():
            hashed.update(path.name.encode() + b"\0" + path.read_bytes())
        return f"{XGBOOST}:{self.reference.tag}-{hashed.hexdigest()[:16]}"

    @property
    def program(self) -> Path:
        """The directory of its Dockerfile and program."""
        return _PROGRAMS / self.reference.repository.replace("-", "_")

    def sources(self) -> list[Path]:
        """What it is made of."""
        return [*sorted(self.program.glob("*.py")), self.program / "Dockerfile"]


def is_algorithm(uri: str) -> bool:
    """Whether the image is SageMaker's XGBoost in whatever version: its account, its region, its repository."""
    try:
        reference = parse(uri)
    except ValueError:
        return False
    return reference.repository == XGBOOST and _ACCOUNTS.get(reference.region) == reference.account


def find(uri: str) -> Provided | None:
    """The image of AWS that a URI names, if it is served."""
    if not is_algorithm(uri):
        return None
    reference = parse(uri)
    return Provided(reference) if reference.tag in VERSIONS and not reference.digest else None


def ensure(store: ImageStore, image: Provided, build: Callable[[BuildSpec], ImageId]) -> Image:
    """The image, made by a runtime's `build` where it is not there yet.

    Raises:
        ImageNotFound: it cannot be made, with the reason.
    """
    name = image.name
    with store.locked(f"provided {name}"):
        try:
            return store.image(store.find(name).digest, str(image.reference))
        except ImageNotFound:
            pass
        with store.scratch() as work:
            context = work / "context"
            program = context / image.program.name
            program.mkdir(parents=True)
            for path in image.sources():
                shutil.copy2(path, program / path.name)
            dockerfile = (program / "Dockerfile").rename(context / "Dockerfile")
            arguments = {"XGBOOST": VERSIONS[image.reference.tag]}
            try:
                digest = build(BuildSpec(context, dockerfile, [name], arguments))
            except BuildError as error:
                raise ImageNotFound(f"{image.reference} could not be made on this machine: {error}") from error
        return store.image(digest, str(image.reference))
