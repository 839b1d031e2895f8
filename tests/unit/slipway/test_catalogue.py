"""Publishing products: what a folder is, which version it gives, and what a second publication does."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from slipway.errors import SlipwayError
from slipway.platform import catalogue, products
from slipway.progress import Progress

PREFIX = "releases/0123456789abcdef"
PAGE = {
    "name": "Machine learning project",
    "owner": "ML platform",
    "description": "A repository and its pipelines.",
    "support": "Open an issue in the platform repository.",
    "version": "1.0.0",
}
TEMPLATE = """Parameters:
  Namespace:
    Default: slipway
  AssetsBucket:
    Default: /slipway/platform/assets/bucket
  AssetsPrefix:
    Default: releases/0000000000000000
"""


class Bucket:
    """S3 as far as publication uses it."""

    meta = type("Meta", (), {"partition": "aws"})

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.tags: dict[str, str] = {}

    def get_paginator(self, _: str) -> Any:
        return self

    def paginate(self, Bucket: str, Prefix: str) -> list[dict[str, Any]]:  # noqa: N803
        return [{"Contents": [{"Key": key} for key in sorted(self.objects) if key.startswith(Prefix)]}]

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803
        return {"Body": io.BytesIO(self.objects[Key])}

    def put_object(self, **given: Any) -> None:
        self.objects[given["Key"]] = given["Body"]
        self.tags[given["Key"]] = given.get("Tagging", "")


def lay(bucket: Bucket, page: dict[str, Any], template: str = TEMPLATE, folder: str = "project") -> None:
    """Lay a product's files where the release lies."""
    start = f"{PREFIX}/service-catalog/{folder}"
    bucket.objects[f"{start}/product.json"] = json.dumps(page).encode()
    bucket.objects[f"{start}/product.yaml"] = template.encode()


@pytest.fixture
def bucket() -> Bucket:
    found = Bucket()
    lay(found, PAGE)
    return found


def test_a_version_is_made_of_what_it_states_and_what_it_holds(bucket: Bucket) -> None:
    """A change that forgot to raise the version must not pass for the version before it."""
    (first,) = products.read(bucket, "b", PREFIX)
    assert first.version.startswith("1.0.0-")
    lay(bucket, PAGE, TEMPLATE + "# changed\n")
    (second,) = products.read(bucket, "b", PREFIX)
    assert second.version.startswith("1.0.0-")
    assert second.version != first.version


def test_a_version_is_bound_to_its_release_and_namespace(bucket: Bucket) -> None:
    """A version that followed the newest release would change what was launched from it."""
    (product,) = products.read(bucket, "b", PREFIX)
    text = product.rendered(PREFIX, "acme")
    assert f"Default: {PREFIX}\n" in text
    assert "Default: acme\n" in text
    assert "/acme/platform/assets/bucket" in text
    assert "slipway" not in text


@pytest.mark.parametrize(
    ("page", "template", "message"),
    [
        ({**PAGE, "version": "1.0"}, TEMPLATE, "project/product.json: version"),
        ({**PAGE, "colour": "red"}, TEMPLATE, "project/product.json: colour"),
        (PAGE, "Parameters: {}\n", "project/product.yaml: needs one line"),
    ],
)
def test_a_bad_product_is_told_by_its_file(bucket: Bucket, page: Any, template: str, message: str) -> None:
    """Bad input names the file and what is wrong with it."""
    lay(bucket, page, template)
    with pytest.raises(SlipwayError, match=message):
        [product.rendered(PREFIX, "acme") for product in products.read(bucket, "b", PREFIX)]


def test_a_folder_without_its_page_is_told(bucket: Bucket) -> None:
    """A folder is either a product or a mistake; it is never passed over in silence."""
    bucket.objects[f"{PREFIX}/service-catalog/forgotten/product.yaml"] = b""
    with pytest.raises(SlipwayError, match=r"service-catalog/forgotten: there is no product\.json"):
        products.read(bucket, "b", PREFIX)
    with pytest.raises(SlipwayError, match="holds no product"):
        products.read(bucket, "b", "releases/none")


def test_the_repositorys_products_are_products() -> None:
    """What is in the repository can be published."""
    found = Bucket()
    root = Path(__file__).parents[3] / "service-catalog"
    for path in root.rglob("*"):
        if path.is_file():
            found.objects[f"{PREFIX}/service-catalog/{path.relative_to(root)}"] = path.read_bytes()
    for product in products.read(found, "b", PREFIX):
        assert PREFIX in product.rendered(PREFIX, "acme")


class Catalogue:
    """Service Catalog as far as publication uses it, with its memory; `calls` are those that change something."""

    def __init__(self) -> None:
        self.products: dict[str, dict[str, Any]] = {}
        self.versions: list[dict[str, Any]] = []
        self.inside: list[str] = []
        self.constraints: list[dict[str, Any]] = []
        self.calls: list[str] = []

    def get_paginator(self, name: str) -> Any:
        return type("Pages", (), {"paginate": lambda _, **given: [getattr(self, name)(**given)]})()

    def search_products_as_admin(self, **_: Any) -> dict[str, Any]:
        names = [{"ProductId": key, "Name": self.products[key]["Name"]} for key in self.inside]
        return {"ProductViewDetails": [{"ProductViewSummary": name} for name in names]}

    def list_constraints_for_portfolio(self, **_: Any) -> dict[str, Any]:
        return {"ConstraintDetails": list(self.constraints)}

    def describe_constraint(self, Id: str) -> dict[str, Any]:  # noqa: N803
        return {"ConstraintParameters": next(c["Parameters"] for c in self.constraints if c["ConstraintId"] == Id)}

    def describe_product_as_admin(self, Id: str) -> dict[str, Any]:  # noqa: N803
        known = self.products[Id]
        summary = {**known, "ShortDescription": known["Description"]}
        return {"ProductViewDetail": {"ProductViewSummary": summary}, "Tags": known["Tags"]}

    def list_provisioning_artifacts(self, **_: Any) -> dict[str, Any]:
        return {"ProvisioningArtifactDetails": [dict(version) for version in self.versions]}

    def list_portfolios_for_product(self, ProductId: str) -> dict[str, Any]:  # noqa: N803
        return {"PortfolioDetails": [{"Id": "port-1"}] if ProductId in self.inside else []}

    def create_product(self, **given: Any) -> dict[str, Any]:
        self.calls.append("create_product")
        self.products["prod-1"] = given
        made = self._version(given["ProvisioningArtifactParameters"])
        view = {"ProductViewDetail": {"ProductViewSummary": {"ProductId": "prod-1"}}}
        return {**view, "ProvisioningArtifactDetail": made}

    def create_provisioning_artifact(self, **given: Any) -> dict[str, Any]:
        self.calls.append("create_provisioning_artifact")
        return {"ProvisioningArtifactDetail": self._version(given["Parameters"])}

    def _version(self, given: dict[str, Any]) -> dict[str, Any]:
        made = {"Id": f"pa-{len(self.versions) + 1}", "Name": given["Name"], "Guidance": "DEFAULT", "Active": True}
        self.versions.append(made)
        return made

    def update_provisioning_artifact(self, **given: Any) -> None:
        self.calls.append("update_provisioning_artifact")
        (version,) = (item for item in self.versions if item["Id"] == given["ProvisioningArtifactId"])
        version["Guidance"] = given["Guidance"]

    def update_product(self, **given: Any) -> None:
        self.calls.append("update_product")
        self.products[given.pop("Id")] |= given

    def associate_product_with_portfolio(self, ProductId: str, PortfolioId: str) -> None:  # noqa: N803
        self.calls.append("associate_product_with_portfolio")
        self.inside.append(ProductId)

    def create_constraint(self, **given: Any) -> None:
        self.calls.append("create_constraint")
        self.constraints.append({"ConstraintId": "cons-1", **given})

    def delete_constraint(self, Id: str) -> None:  # noqa: N803
        self.constraints = [c for c in self.constraints if c["ConstraintId"] != Id]

    def disassociate_product_from_portfolio(self, ProductId: str, PortfolioId: str) -> None:  # noqa: N803
        self.inside.remove(ProductId)

    def delete_product(self, Id: str) -> None:  # noqa: N803
        del self.products[Id]


class Parameters:
    """SSM as far as publication uses it."""

    path = "/slipway/platform/catalogue/"

    def __init__(self) -> None:
        self.values = {"portfolio-id": "port-1", "project-launch-role-arn": "arn:aws:iam::123456789012:role/launch"}

    def get_paginator(self, _: str) -> Any:
        return self

    def paginate(self, **_: Any) -> list[dict[str, Any]]:
        return [{"Parameters": [{"Name": self.path + key, "Value": value} for key, value in self.values.items()]}]

    def put_parameter(self, **given: Any) -> None:
        self.values[given["Name"].removeprefix(self.path)] = given["Value"]

    def delete_parameter(self, Name: str) -> None:  # noqa: N803
        del self.values[Name.removeprefix(self.path)]


class Shop:
    """A session whose three clients remember."""

    region_name = "eu-west-1"

    def __init__(self, bucket: Bucket) -> None:
        self.s3, self.servicecatalog, self.ssm = bucket, Catalogue(), Parameters()

    def client(self, service: str) -> Any:
        return getattr(self, service)

    def shelf(self, **more: Any) -> catalogue.Shelf:
        return catalogue.Shelf(self, "slipway", "ml", "b", PREFIX, **more)


@pytest.fixture
def shop(bucket: Bucket) -> Shop:
    return Shop(bucket)


def quiet() -> Progress:
    return Progress(io.StringIO())


def test_publishing_twice_changes_nothing(shop: Shop) -> None:
    """Everything that changes state is idempotent."""
    catalogue.publish(shop.shelf(), quiet())
    made = list(shop.servicecatalog.calls)
    assert made == ["create_product", "associate_product_with_portfolio", "create_constraint"]
    catalogue.publish(shop.shelf(), quiet())
    assert shop.servicecatalog.calls == made
    assert shop.ssm.values["products/project"] == "prod-1"


def test_a_new_version_is_added_and_the_old_one_deprecated(shop: Shop) -> None:
    """A version that is deleted or replaced would strand what was launched from it."""
    catalogue.publish(shop.shelf(), quiet())
    lay(shop.s3, {**PAGE, "version": "1.1.0"})
    catalogue.publish(shop.shelf(), quiet())
    old, new = shop.servicecatalog.versions
    assert (old["Name"][:6], old["Guidance"]) == ("1.0.0-", "DEPRECATED")
    assert (new["Name"][:6], new["Guidance"]) == ("1.1.0-", "DEFAULT")
    assert {key for key in shop.s3.objects if key.startswith("products/")} == {
        f"products/project/{version['Name']}.yaml" for version in (old, new)
    }


def test_an_older_release_offers_its_version_again(shop: Shop) -> None:
    """Going back to a release goes back in the catalogue as well, without a third version."""
    catalogue.publish(shop.shelf(), quiet())
    lay(shop.s3, {**PAGE, "version": "1.1.0"})
    catalogue.publish(shop.shelf(), quiet())
    lay(shop.s3, PAGE)
    catalogue.publish(shop.shelf(), quiet())
    assert [version["Guidance"] for version in shop.servicecatalog.versions] == ["DEFAULT", "DEPRECATED"]


def test_texts_follow_the_page(shop: Shop) -> None:
    """What people read in the catalogue is what the repository says."""
    catalogue.publish(shop.shelf(), quiet())
    lay(shop.s3, {**PAGE, "description": "Something better to read."})
    catalogue.publish(shop.shelf(), quiet())
    assert shop.servicecatalog.products["prod-1"]["Description"] == "Something better to read."


def test_studio_sees_the_product_and_by_choice_its_template(shop: Shop) -> None:
    """Studio lists what bears its tag, and takes S3 templates from one prefix."""
    catalogue.publish(shop.shelf(studio_templates=True), quiet())
    tags = {tag["Key"]: tag["Value"] for tag in shop.servicecatalog.products["prod-1"]["Tags"]}
    assert tags["sagemaker:studio-visibility"] == "true"
    assert shop.s3.tags["studio-templates/project.yaml"] == "sagemaker:studio-visibility=true"
    assert f"Default: {PREFIX}" in shop.s3.objects["studio-templates/project.yaml"].decode()


def test_a_creation_that_fails_leaves_nothing(shop: Shop) -> None:
    """A portfolio that still holds something cannot be rolled back."""

    def fail(**_: Any) -> None:
        raise SlipwayError("no")

    shop.servicecatalog.create_constraint = fail  # type: ignore[method-assign]
    with pytest.raises(SlipwayError):
        catalogue.request(shop.shelf(), "Create", quiet())
    assert not shop.servicecatalog.inside
    assert not shop.servicecatalog.products


def test_withdrawing_takes_everything_back_but_what_is_somebody_elses(shop: Shop) -> None:
    """The stack's deletion needs an empty portfolio; a product that was not published here is not ours to delete."""
    catalogue.request(shop.shelf(), "Create", quiet())
    shop.servicecatalog.products["prod-2"] = {"Name": "Theirs", "Description": "", "Tags": []}
    shop.servicecatalog.inside.append("prod-2")
    catalogue.request(shop.shelf(), "Delete", quiet())
    assert shop.servicecatalog.inside == ["prod-2"]
    assert not shop.servicecatalog.constraints
    assert "products/project" not in shop.ssm.values
