"""CloudFormation types of Service Catalog. Each makes the API calls that a person would."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

from botocore.exceptions import ClientError

from localcloud.core import Created, ResourceContext, ResourceType

Properties = dict[str, Any]
_PREFIX = "AWS::ServiceCatalog::"


def _check(kind: str, properties: Properties, required: Sequence[str], allowed: Iterable[str]) -> None:
    """Refuse what the type does not have or the local cloud does not serve, by name."""
    unknown = sorted(set(properties) - {*required, *allowed, "AcceptLanguage"})
    if unknown:
        listed = ", ".join(sorted({*required, *allowed}))
        raise ValueError(f"{_PREFIX}{kind}: {', '.join(unknown)} is not served by the local cloud; served: {listed}")
    missing = [name for name in required if properties.get(name) in (None, "", [])]
    if missing:
        raise ValueError(f"{_PREFIX}{kind}: the property {', '.join(missing)} is required")


def _pick(properties: Properties, names: Iterable[str]) -> Properties:
    return {name: properties[name] for name in names if properties.get(name) is not None}


def _tags(properties: Properties) -> list[dict[str, str]]:
    return [{"Key": tag["Key"], "Value": str(tag["Value"])} for tag in properties.get("Tags") or []]


def _tag_changes(old: Properties, new: Properties) -> dict[str, Any]:
    gone = sorted({tag["Key"] for tag in _tags(old)} - {tag["Key"] for tag in _tags(new)})
    return ({"AddTags": _tags(new)} if _tags(new) else {}) | ({"RemoveTags": gone} if gone else {})


def _gone(error: ClientError) -> bool:
    return bool(error.response["Error"]["Code"] == "ResourceNotFoundException")


@contextlib.contextmanager
def _unless_gone() -> Any:
    try:
        yield
    except ClientError as error:
        if not _gone(error):
            raise


# -- portfolio ------------------------------------------------------------------------------------------------------

_PORTFOLIO = ("DisplayName", "ProviderName", "Description")


def _create_portfolio(context: ResourceContext, properties: Properties) -> Created:
    _check("Portfolio", properties, _PORTFOLIO[:2], ("Description", "Tags"))
    client = context.client("servicecatalog")
    made = client.create_portfolio(**_pick(properties, _PORTFOLIO), Tags=_tags(properties))["PortfolioDetail"]
    return Created(made["Id"], {"PortfolioName": made["DisplayName"]})


def _update_portfolio(context: ResourceContext, key: str, old: Properties, new: Properties) -> Created:
    _check("Portfolio", new, _PORTFOLIO[:2], ("Description", "Tags"))
    request = _pick(new, _PORTFOLIO) | _tag_changes(old, new)
    context.client("servicecatalog").update_portfolio(Id=key, **request)
    return Created(key, {"PortfolioName": new["DisplayName"]})


def _delete_portfolio(context: ResourceContext, key: str, properties: Properties) -> None:
    with _unless_gone():
        context.client("servicecatalog").delete_portfolio(Id=key)


# -- product --------------------------------------------------------------------------------------------------------

_PRODUCT = ("Name", "Owner", "Description", "Distributor", "SupportDescription", "SupportEmail", "SupportUrl")
_PRODUCT_MORE = (*_PRODUCT[2:], "Tags", "ReplaceProvisioningArtifacts", "ProductType", "ProvisioningArtifactParameters")


def _artifact(given: Properties) -> Properties:
    info = given.get("Info") or {}
    request: Properties = _pick(given, ("Name", "Description"))
    request |= {"Info": json.loads(info) if isinstance(info, str) else info, "Type": given.get("Type") or _TEMPLATE}
    if given.get("DisableTemplateValidation") is not None:
        request["DisableTemplateValidation"] = str(given["DisableTemplateValidation"]).lower() == "true"
    return request


_TEMPLATE = "CLOUD_FORMATION_TEMPLATE"


def _product(context: ResourceContext, key: str, name: str) -> Created:
    listed = context.client("servicecatalog").list_provisioning_artifacts(ProductId=key)
    versions = listed["ProvisioningArtifactDetails"]
    attributes = {
        "ProductName": name,
        "ProvisioningArtifactIds": ",".join(version["Id"] for version in versions),
        "ProvisioningArtifactNames": ",".join(version["Name"] for version in versions),
    }
    return Created(key, attributes)


def _create_product(context: ResourceContext, properties: Properties) -> Created:
    _check("CloudFormationProduct", properties, (*_PRODUCT[:2], "ProvisioningArtifactParameters"), _PRODUCT_MORE)
    client = context.client("servicecatalog")
    first, *others = properties["ProvisioningArtifactParameters"]
    made = client.create_product(
        **_pick(properties, _PRODUCT),
        ProductType=properties.get("ProductType") or _TEMPLATE,
        ProvisioningArtifactParameters=_artifact(first),
        Tags=_tags(properties),
    )["ProductViewDetail"]["ProductViewSummary"]
    try:
        for other in others:
            client.create_provisioning_artifact(ProductId=made["ProductId"], Parameters=_artifact(other))
    except ClientError:
        client.delete_product(Id=made["ProductId"])  # CloudFormation does not know of it yet and could not roll back
        raise
    return _product(context, made["ProductId"], properties["Name"])


def _update_product(context: ResourceContext, key: str, old: Properties, new: Properties) -> Created:
    """Versions are matched by name and template URL, as on AWS; ReplaceProvisioningArtifacts makes all anew."""
    _check("CloudFormationProduct", new, (*_PRODUCT[:2], "ProvisioningArtifactParameters"), _PRODUCT_MORE)
    client = context.client("servicecatalog")
    client.update_product(Id=key, **_pick(new, _PRODUCT), **_tag_changes(old, new))
    replace = str(new.get("ReplaceProvisioningArtifacts", False)).lower() == "true"
    existing = {}
    for version in client.list_provisioning_artifacts(ProductId=key)["ProvisioningArtifactDetails"]:
        found = client.describe_provisioning_artifact(ProductId=key, ProvisioningArtifactId=version["Id"])
        existing[(version["Name"], found["Info"].get("TemplateUrl"))] = version
    kept = set()
    for given in new["ProvisioningArtifactParameters"]:
        wanted = _artifact(given)
        same = existing.get((wanted.get("Name", "v1"), wanted["Info"].get("LoadTemplateFromURL")))
        if same and not replace:
            kept.add(same["Id"])
            if wanted.get("Description", "") != same.get("Description", ""):
                client.update_provisioning_artifact(
                    ProductId=key, ProvisioningArtifactId=same["Id"], Description=wanted.get("Description", "")
                )
        else:
            client.create_provisioning_artifact(ProductId=key, Parameters=wanted)
    for version in existing.values():
        if version["Id"] not in kept:
            client.delete_provisioning_artifact(ProductId=key, ProvisioningArtifactId=version["Id"])
    return _product(context, key, new["Name"])


def _delete_product(context: ResourceContext, key: str, properties: Properties) -> None:
    with _unless_gone():
        context.client("servicecatalog").delete_product(Id=key)


# -- associations and constraints -----------------------------------------------------------------------------------


def _create_membership(context: ResourceContext, properties: Properties) -> Created:
    _check("PortfolioProductAssociation", properties, ("PortfolioId", "ProductId"), ())
    request = _pick(properties, ("PortfolioId", "ProductId"))
    context.client("servicecatalog").associate_product_with_portfolio(**request)
    return Created(f"{request['PortfolioId']}|{request['ProductId']}")


def _delete_membership(context: ResourceContext, key: str, properties: Properties) -> None:
    request = _pick(properties, ("PortfolioId", "ProductId"))
    with _unless_gone():
        context.client("servicecatalog").disassociate_product_from_portfolio(**request)


_PRINCIPAL = ("PortfolioId", "PrincipalARN", "PrincipalType")


def _create_principal(context: ResourceContext, properties: Properties) -> Created:
    _check("PortfolioPrincipalAssociation", properties, _PRINCIPAL, ())
    context.client("servicecatalog").associate_principal_with_portfolio(**_pick(properties, _PRINCIPAL))
    return Created(f"{properties['PortfolioId']}|{properties['PrincipalARN']}")


def _delete_principal(context: ResourceContext, key: str, properties: Properties) -> None:
    with _unless_gone():
        context.client("servicecatalog").disassociate_principal_from_portfolio(**_pick(properties, _PRINCIPAL))


def _launch_parameters(properties: Properties) -> str:
    _check(
        "LaunchRoleConstraint", properties, ("PortfolioId", "ProductId"), ("Description", "RoleArn", "LocalRoleName")
    )
    return json.dumps(_pick(properties, ("RoleArn", "LocalRoleName")))


def _create_launch(context: ResourceContext, properties: Properties) -> Created:
    text = _launch_parameters(properties)
    request = _pick(properties, ("PortfolioId", "ProductId", "Description"))
    made = context.client("servicecatalog").create_constraint(Type="LAUNCH", Parameters=text, **request)
    return Created(made["ConstraintDetail"]["ConstraintId"])


def _update_launch(context: ResourceContext, key: str, old: Properties, new: Properties) -> Created:
    if any(old.get(name) != new.get(name) for name in ("PortfolioId", "ProductId")):
        return _create_launch(context, new)
    request = _pick(new, ("Description",)) | {"Parameters": _launch_parameters(new)}
    context.client("servicecatalog").update_constraint(Id=key, **request)
    return Created(key)


def _delete_launch(context: ResourceContext, key: str, properties: Properties) -> None:
    with _unless_gone():
        context.client("servicecatalog").delete_constraint(Id=key)


# -- tag options ----------------------------------------------------------------------------------------------------


def _create_tag_option(context: ResourceContext, properties: Properties) -> Created:
    _check("TagOption", properties, ("Key", "Value"), ("Active",))
    client = context.client("servicecatalog")
    made = client.create_tag_option(**_pick(properties, ("Key", "Value")))["TagOptionDetail"]["Id"]
    if str(properties.get("Active", True)).lower() == "false":
        client.update_tag_option(Id=made, Active=False)
    return Created(made)


def _update_tag_option(context: ResourceContext, key: str, old: Properties, new: Properties) -> Created:
    if old.get("Key") != new.get("Key"):
        return _create_tag_option(context, new)
    active = str(new.get("Active", True)).lower() != "false"
    context.client("servicecatalog").update_tag_option(Id=key, Value=new["Value"], Active=active)
    return Created(key)


def _delete_tag_option(context: ResourceContext, key: str, properties: Properties) -> None:
    with _unless_gone():
        context.client("servicecatalog").delete_tag_option(Id=key)


_USE = ("TagOptionId", "ResourceId")


def _create_tag_use(context: ResourceContext, properties: Properties) -> Created:
    _check("TagOptionAssociation", properties, _USE, ())
    context.client("servicecatalog").associate_tag_option_with_resource(**_pick(properties, _USE))
    return Created(f"{properties['TagOptionId']}|{properties['ResourceId']}")


def _delete_tag_use(context: ResourceContext, key: str, properties: Properties) -> None:
    with _unless_gone():
        context.client("servicecatalog").disassociate_tag_option_from_resource(**_pick(properties, _USE))


def _type(name: str, create: Any, update: Any, delete: Any) -> ResourceType:
    return ResourceType(_PREFIX + name, service="servicecatalog", create=create, update=update, delete=delete)


RESOURCES = (
    _type("Portfolio", _create_portfolio, _update_portfolio, _delete_portfolio),
    _type("CloudFormationProduct", _create_product, _update_product, _delete_product),
    _type("PortfolioProductAssociation", _create_membership, None, _delete_membership),
    _type("PortfolioPrincipalAssociation", _create_principal, None, _delete_principal),
    _type("LaunchRoleConstraint", _create_launch, _update_launch, _delete_launch),
    _type("TagOption", _create_tag_option, _update_tag_option, _delete_tag_option),
    _type("TagOptionAssociation", _create_tag_use, None, _delete_tag_use),
)
