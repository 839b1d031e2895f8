"""Publishes products and their versions in Service Catalog. Idempotent: run twice, the same catalogue.

Products are kept by calls and not by CloudFormation, because CloudFormation owns the whole list of a product's
versions: a template that no longer lists a version deletes it. Here a version is only ever added. The one that the
release has is offered; those before it are marked DEPRECATED, which keeps what was launched from them as it is, and
updatable, and refuses new launches. Publishing an older release again offers its version again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from slipway.errors import SlipwayError
from slipway.platform import products
from slipway.platform.products import Product
from slipway.progress import Progress
from slipway.settings import Parameters, read

# Studio shows products and template objects that bear it.
STUDIO_TAG = "sagemaker:studio-visibility"
# A product bears its folder: by it a publication that broke off finds what it has made.
PRODUCT_TAG = "Product"
VERSIONS, STUDIO = "products", "studio-templates"


@dataclass(frozen=True)
class Shelf:
    """Where products are published: the platform's portfolio, and the bucket and prefix of the release."""

    session: Any
    namespace: str
    cost_center: str
    bucket: str
    prefix: str
    studio_templates: bool = False

    @property
    def path(self) -> str:
        """Where the catalogue's contracts lie in SSM."""
        return f"/{self.namespace}/platform/catalogue/"

    @property
    def contracts(self) -> Parameters:
        """The catalogue's contracts: portfolio-id, {product}-launch-role-arn, products/{product}."""
        return read(self.session.client("ssm"), self.path)

    @property
    def tags(self) -> dict[str, str]:
        """The tags of what is made here."""
        return {"Namespace": self.namespace, "Project": "platform", "CostCenter": self.cost_center}


def publish(shelf: Shelf, progress: Progress) -> dict[str, str]:
    """Publish every product of the release. Returns product folder → version. Raises SlipwayError."""
    found = products.read(shelf.session.client("s3"), shelf.bucket, shelf.prefix)
    contracts = shelf.contracts
    roles = {product.key: contracts[f"{product.key}-launch-role-arn"] for product in found}
    for product in found:  # every template is looked at before anything is published
        product.rendered(shelf.prefix, shelf.namespace)
    for product in found:
        _publish(shelf, product, contracts, roles[product.key], progress)
    return {product.key: product.version for product in found}


def _publish(shelf: Shelf, product: Product, contracts: Parameters, role: str, progress: Progress) -> None:
    catalogue, portfolio = shelf.session.client("servicecatalog"), contracts["portfolio-id"]
    known = _known(catalogue, product, contracts)
    wanted = None if known is None else _version(catalogue, known, product.version)
    if known is None or wanted is None:
        url = _upload(shelf, product)
        artifact = {
            "Name": product.version,
            "Description": f"Version {product.page.version}, of {shelf.prefix}",
            "Info": {"LoadTemplateFromURL": url},
            "Type": "CLOUD_FORMATION_TEMPLATE",
        }
        if known is None:
            known, wanted = _create(shelf, catalogue, product, artifact)
        else:
            made = catalogue.create_provisioning_artifact(
                ProductId=known, Parameters=artifact, IdempotencyToken=_token(shelf, product)
            )
            wanted = made["ProvisioningArtifactDetail"]["Id"]
        progress.say(f"{product.key} {product.version}: published")
    else:
        progress.say(f"{product.key} {product.version}: published already")
    _describe(shelf, catalogue, product, known)
    _place(catalogue, portfolio, known)
    _constrain(catalogue, portfolio, known, role)
    _offer(catalogue, known, wanted, progress)
    shelf.session.client("ssm").put_parameter(
        Name=f"{shelf.path}products/{product.key}", Value=known, Type="String", Overwrite=True,
        Description=f"Product that launches: {product.page.name}",
    )  # fmt: skip
    if shelf.studio_templates and product.page.studio:
        _show_in_studio(shelf, product)


def withdraw(shelf: Shelf, progress: Progress) -> None:
    """Take every product out of the portfolio and delete it. What was launched stays, and can be terminated."""
    catalogue, ssm = shelf.session.client("servicecatalog"), shelf.session.client("ssm")
    contracts = shelf.contracts
    portfolio = contracts["portfolio-id"]
    for found in list(_in_portfolio(catalogue, portfolio)):
        product, name = found["ProductId"], found["Name"]
        if not _folder(catalogue, product):
            continue  # somebody else's
        for constraint in list(_constraints(catalogue, portfolio, ProductId=product)):
            catalogue.delete_constraint(Id=constraint["ConstraintId"])
        catalogue.disassociate_product_from_portfolio(ProductId=product, PortfolioId=portfolio)
        catalogue.delete_product(Id=product)
        progress.say(f"{name}: withdrawn")
    for name in contracts.values:
        if name.startswith("products/"):
            ssm.delete_parameter(Name=shelf.path + name)


# -- what is there -----------------------------------------------------------------------------------------------------


def _known(catalogue: Any, product: Product, contracts: Parameters) -> str | None:
    """The product's id: by its contract, else by its tag in the portfolio (a publication that broke off)."""
    stated = contracts.get(f"products/{product.key}")
    candidates = [stated] if stated else []
    candidates += [item["ProductId"] for item in _in_portfolio(catalogue, contracts["portfolio-id"])]
    return next((known for known in candidates if _folder(catalogue, known) == product.key), None)


def _folder(catalogue: Any, product: str) -> str:
    """The folder of a product that was published here; empty for any other, and for one that is gone."""
    try:
        found = catalogue.describe_product_as_admin(Id=product)
    except ClientError as error:
        if error.response["Error"]["Code"] == "ResourceNotFoundException":
            return ""
        raise
    return next((str(tag["Value"]) for tag in found.get("Tags", []) if tag["Key"] == PRODUCT_TAG), "")


def _in_portfolio(catalogue: Any, portfolio: str) -> Iterator[Mapping[str, Any]]:
    pages = catalogue.get_paginator("search_products_as_admin").paginate(PortfolioId=portfolio)
    for page in pages:
        for item in page["ProductViewDetails"]:
            yield item["ProductViewSummary"]


def _constraints(catalogue: Any, portfolio: str, **more: str) -> Iterator[Mapping[str, Any]]:
    pages = catalogue.get_paginator("list_constraints_for_portfolio").paginate(PortfolioId=portfolio, **more)
    for page in pages:
        yield from page["ConstraintDetails"]


def _version(catalogue: Any, product: str, name: str) -> str | None:
    return next((item["Id"] for item in _versions(catalogue, product) if item["Name"] == name), None)


def _versions(catalogue: Any, product: str) -> list[dict[str, Any]]:
    return list(catalogue.list_provisioning_artifacts(ProductId=product)["ProvisioningArtifactDetails"])


# -- what is made ------------------------------------------------------------------------------------------------------


def _texts(product: Product) -> dict[str, str]:
    page = product.page
    texts = {
        "Name": page.name,
        "Owner": page.owner,
        "Description": page.description,
        "SupportDescription": page.support,
        "SupportEmail": page.support_email,
        "SupportUrl": page.support_url,
    }
    return {key: text for key, text in texts.items() if text}


def _tags(shelf: Shelf, product: Product) -> dict[str, str]:
    return {**shelf.tags, PRODUCT_TAG: product.key, **({STUDIO_TAG: "true"} if product.page.studio else {})}


def _create(shelf: Shelf, catalogue: Any, product: Product, artifact: Mapping[str, Any]) -> tuple[str, str]:
    made = catalogue.create_product(
        ProductType="CLOUD_FORMATION_TEMPLATE",
        ProvisioningArtifactParameters=artifact,
        Tags=_pairs(_tags(shelf, product)),
        IdempotencyToken=_token(shelf, product),
        **_texts(product),
    )
    summary = made["ProductViewDetail"]["ProductViewSummary"]
    return str(summary["ProductId"]), str(made["ProvisioningArtifactDetail"]["Id"])


def _describe(shelf: Shelf, catalogue: Any, product: Product, known: str) -> None:
    """What product.json says, as it says it now."""
    found = catalogue.describe_product_as_admin(Id=known)
    wanted, tags = _texts(product), _tags(shelf, product)
    shown = found["ProductViewDetail"]["ProductViewSummary"]
    same = {key: shown.get("ShortDescription" if key == "Description" else key) for key in wanted} == wanted
    has = {tag["Key"]: tag["Value"] for tag in found.get("Tags", [])}
    gone = [STUDIO_TAG] if STUDIO_TAG in has and STUDIO_TAG not in tags else []
    if same and not gone and tags.items() <= has.items():
        return
    catalogue.update_product(Id=known, AddTags=_pairs(tags), **({"RemoveTags": gone} if gone else {}), **wanted)


def _token(shelf: Shelf, product: Product) -> str:
    """What makes a repeated request the same one: letters, digits and hyphens."""
    return re.sub(r"[^A-Za-z0-9-]", "-", f"{shelf.namespace}-{product.key}-{product.version}")


def _pairs(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _place(catalogue: Any, portfolio: str, product: str) -> None:
    places = catalogue.list_portfolios_for_product(ProductId=product)["PortfolioDetails"]
    if portfolio not in {place["Id"] for place in places}:
        catalogue.associate_product_with_portfolio(ProductId=product, PortfolioId=portfolio)


def _constrain(catalogue: Any, portfolio: str, product: str, role: str) -> None:
    """A launch runs with the product's own role."""
    parameters = json.dumps({"RoleArn": role})
    known = [item for item in _constraints(catalogue, portfolio, ProductId=product) if item["Type"] == "LAUNCH"]
    if not known:
        catalogue.create_constraint(
            PortfolioId=portfolio,
            ProductId=product,
            Type="LAUNCH",
            Parameters=parameters,
            Description="A launch runs with exactly what its templates need",
        )
        return
    found = known[0]["ConstraintId"]
    if json.loads(catalogue.describe_constraint(Id=found)["ConstraintParameters"]) != json.loads(parameters):
        catalogue.update_constraint(Id=found, Parameters=parameters)


def _offer(catalogue: Any, product: str, version: str, progress: Progress) -> None:
    """The version is offered; all others are deprecated. In this order: there is always one to launch."""
    found = _versions(catalogue, product)
    for item in sorted(found, key=lambda item: item["Id"] != version):
        guidance = "DEFAULT" if item["Id"] == version else "DEPRECATED"
        if item.get("Guidance", "DEFAULT") != guidance or (guidance == "DEFAULT" and not item.get("Active", True)):
            active = {"Active": True} if guidance == "DEFAULT" else {}
            catalogue.update_provisioning_artifact(
                ProductId=product, ProvisioningArtifactId=item["Id"], Guidance=guidance, **active
            )
            progress.say(f"{item['Name']}: {guidance.lower()}")


def _upload(shelf: Shelf, product: Product) -> str:
    """Lay the version's template down for good. Returns its address."""
    key = f"{VERSIONS}/{product.key}/{product.version}.yaml"
    body = product.rendered(shelf.prefix, shelf.namespace).encode()
    shelf.session.client("s3").put_object(Bucket=shelf.bucket, Key=key, Body=body, ContentType="application/yaml")
    domain = "amazonaws.com.cn" if shelf.session.client("s3").meta.partition == "aws-cn" else "amazonaws.com"
    return f"https://{shelf.bucket}.s3.{shelf.session.region_name}.{domain}/{key}"


def _show_in_studio(shelf: Shelf, product: Product) -> None:
    """The offered version where the domain's tag sagemaker:projectS3TemplatesLocation points."""
    shelf.session.client("s3").put_object(
        Bucket=shelf.bucket,
        Key=f"{STUDIO}/{product.key}.yaml",
        Body=product.rendered(shelf.prefix, shelf.namespace).encode(),
        ContentType="application/yaml",
        Tagging=f"{STUDIO_TAG}=true",
    )


def request(shelf: Shelf, kind: str, progress: Progress) -> None:
    """What a stack asks for: Create, Update or Delete. A creation that fails leaves nothing on the shelf."""
    if kind == "Delete":
        withdraw(shelf, progress)
        return
    try:
        publish(shelf, progress)
    except (ClientError, SlipwayError):
        if kind == "Create":
            withdraw(shelf, progress)
        raise
