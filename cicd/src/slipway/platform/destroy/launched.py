"""Stacks, and the products that people launched from the catalogue."""

from __future__ import annotations

from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from slipway.errors import SlipwayError
from slipway.platform import stacks
from slipway.platform.deploy import AUDIT, BOOTSTRAP
from slipway.platform.destroy import network
from slipway.platform.destroy.items import Item, Place, gone, many, pages, tags_of
from slipway.polling import pauses

# What `slipway platform deploy` and `workload` made.
ROOTS = ("platform", "workload")
# What stays as long as the account is audited: the audit, and the boundary of its roles.
WATCHING = (AUDIT, "guardrails")
ATTEMPTS = 3


def products(place: Place) -> list[Item]:
    """Products launched from the platform's catalogue, projects above all."""
    catalogue = place.client("servicecatalog")
    found = []
    level = {"Key": "Account", "Value": "self"}
    for product in pages(catalogue, "search_provisioned_products", "ProvisionedProducts", AccessLevelFilter=level):
        if _ours(place, product):
            remove = partial(_terminate, place, product["Id"], product["Name"])
            detail = f"{product.get('ProductName', '')}, {product['Status'].lower()}".lstrip(", ")
            found.append(Item("launched product", product["Name"], remove, detail))
    return found


def _ours(place: Place, product: dict[str, Any]) -> bool:
    """By the stack's parameter Namespace, which every product has; a product without a stack by its tags."""
    arn = product.get("PhysicalId")
    if arn:
        try:
            stack = place.client("cloudformation").describe_stacks(StackName=arn)["Stacks"][0]
        except ClientError:
            stack = {}
        for parameter in stack.get("Parameters", []):
            if parameter["ParameterKey"] == "Namespace":
                return bool(parameter["ParameterValue"] == place.namespace)
    return tags_of(product.get("Tags")).get("Namespace") == place.namespace


def _terminate(place: Place, identifier: str, name: str) -> None:
    catalogue = place.client("servicecatalog")
    record = catalogue.terminate_provisioned_product(
        ProvisionedProductId=identifier, TerminateToken=f"destroy-{identifier}"[:50]
    )["RecordDetail"]
    waiting = pauses()
    while record["Status"] in {"CREATED", "IN_PROGRESS", "IN_PROGRESS_IN_ERROR"}:
        place.progress.beat(f"product {name}: waiting until it is gone")
        place.sleep(next(waiting))
        record = catalogue.describe_record(Id=record["RecordId"])["RecordDetail"]
    if record["Status"] != "SUCCEEDED":
        reasons = "; ".join(error.get("Description", "") for error in record.get("RecordErrors", []))
        raise SlipwayError(
            f"product {name} could not be terminated ({record['Status'].lower()}): {reasons or 'no reason given'}. "
            "Mend it and run the command again, or give the product up, keeping what it made: aws servicecatalog "
            f"terminate-provisioned-product --provisioned-product-id {identifier} --ignore-errors"
        )


def _roots(place: Place) -> list[dict[str, Any]]:
    """The platform's stacks that no other stack made."""
    found = pages(place.client("cloudformation"), "describe_stacks", "Stacks")
    return [
        stack
        for stack in found
        if "ParentId" not in stack and place.owns(stack["StackName"], tags_of(stack.get("Tags")))
    ]


def others(place: Place) -> list[Item]:
    """Stacks beside the platform's own: those that pipelines deployed, and what a launch left."""
    own = {f"{place.namespace}-{root}" for root in (*ROOTS, *BOOTSTRAP, AUDIT)}
    return [
        _stack(place, stack)
        for stack in _roots(place)
        if stack["StackName"] not in own and not stack["StackName"].startswith("SC-")
    ]


def abandoned(place: Place) -> list[Item]:
    """Stacks of products that Service Catalog has given up."""
    live = {
        product.get("PhysicalId")
        for product in pages(
            place.client("servicecatalog"), "search_provisioned_products", "ProvisionedProducts",
            AccessLevelFilter={"Key": "Account", "Value": "self"},
        )
    }  # fmt: skip
    found = []
    for stack in pages(place.client("cloudformation"), "describe_stacks", "Stacks"):
        if not stack["StackName"].startswith("SC-") or "ParentId" in stack or stack["StackId"] in live:
            continue
        parameters = {item["ParameterKey"]: item.get("ParameterValue") for item in stack.get("Parameters", [])}
        if parameters.get("Namespace") == place.namespace:
            found.append(_stack(place, stack))
    return found


def platform(place: Place) -> list[Item]:
    """The platform itself, or a workload account's part of it."""
    own = {f"{place.namespace}-{root}" for root in ROOTS}
    return [_stack(place, stack) for stack in _roots(place) if stack["StackName"] in own]


def foundation(place: Place) -> list[Item]:
    """What the administrator deployed, the last first: the audit only where it was asked for, and what it stands on."""
    standing = {stack["StackName"]: stack for stack in _roots(place)}
    staying = WATCHING if watched(place) and not place.audit else ()
    names = [f"{place.namespace}-{root}" for root in (AUDIT, *reversed(BOOTSTRAP)) if root not in staying]
    return [_stack(place, standing[name]) for name in names if name in standing]


def watched(place: Place) -> bool:
    """Whether the audit stands."""
    return stacks.status_of(place.client("cloudformation"), f"{place.namespace}-{AUDIT}") is not None


def held(place: Place) -> frozenset[str]:
    """The names of everything that the audit's stacks, and those that it stands on, hold."""
    names: set[str] = set()
    waiting = [f"{place.namespace}-{root}" for root in WATCHING]
    while waiting:
        for resource in gone(partial(_resources, place, waiting.pop())) or []:
            names.add(resource.get("PhysicalResourceId", ""))
            if resource["ResourceType"] == "AWS::CloudFormation::Stack":
                waiting.append(resource["PhysicalResourceId"])
    return frozenset(names - {""})


def _resources(place: Place, stack: str) -> list[dict[str, Any]]:
    client = place.client("cloudformation")
    return list(pages(client, "list_stack_resources", "StackResourceSummaries", StackName=stack))


def _stack(place: Place, stack: dict[str, Any]) -> Item:
    count = len(_resources(place, stack["StackId"]))
    detail = f"{many(count, 'resource')}, {stack['StackStatus'].lower()}"
    return Item("stack", stack["StackName"], partial(_remove_stack, place, stack["StackName"]), detail)


def _delete_stack(place: Place, name: str) -> str:
    """Delete a stack with its own role, or where an upgrade has replaced that, with the one that took its place."""
    cloudformation = place.client("cloudformation")
    try:
        return stacks.remove(cloudformation, name, place.progress, sleep=place.sleep)
    except ClientError as error:
        role = _successor(place) if "cannot be assumed" in error.response["Error"].get("Message", "") else None
        if role is None:
            raise
        place.progress.say(f"stack {name}: its role is gone; deleting it with {role.rpartition('/')[2]}")
        return stacks.remove(cloudformation, name, place.progress, role_arn=role, sleep=place.sleep)


def _successor(place: Place) -> str | None:
    """The role with which endpoints are made in this account today: since 0.2.0 its name ends in the environment."""
    for environment in ("production", "staging"):
        name = f"{place.namespace}-release-cloudformation-{environment}"
        if found := gone(partial(place.client("iam").get_role, RoleName=name)):
            return str(found["Role"]["Arn"])
    return None


def _remove_stack(place: Place, name: str) -> None:
    """Delete a stack; where interfaces that services left keep it, remove them and delete it again."""
    cloudformation = place.client("cloudformation")
    status = ""
    for _ in range(ATTEMPTS):
        status = _delete_stack(place, name)
        if status == "DELETE_COMPLETE":
            return
        left = network.leftovers(place)
        for item in left:
            place.progress.say(f"{item.kind} {item.name}: keeps {name}; removing it")
            item.remove()
        if not left:
            break
    raise SlipwayError(
        f"stack {name} ended as {status}: {stacks.first_failure(cloudformation, name)}. "
        "Mend that and run the command again: it goes on where it stopped"
    )
