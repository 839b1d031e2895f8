"""SageMaker projects: what Studio, or SageMaker's API, launched from the catalogue or from an S3 template."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from slipway.errors import SlipwayError
from slipway.platform.destroy.items import Item, Place, gone, pages
from slipway.polling import pauses


def projects(place: Place) -> list[Item]:
    """The projects whose stack has the platform's namespace. They go first, and what they launched goes with them."""
    sagemaker = place.client("sagemaker")
    found = []
    for summary in _listed(sagemaker):
        name = summary["ProjectName"]
        project = gone(partial(sagemaker.describe_project, ProjectName=name))
        if project and any(_ours(place, stack) for stack in _stacks(place, project)):
            found.append(Item("SageMaker project", name, partial(_delete, place, name), project["ProjectStatus"]))
    return found


def _listed(sagemaker: Any, **given: str) -> Iterator[Mapping[str, Any]]:
    """Every project; boto3 has no paginator for them."""
    while True:
        page = sagemaker.list_projects(**given)
        yield from page["ProjectSummaryList"]
        if not page.get("NextToken"):
            return
        given = {**given, "NextToken": page["NextToken"]}


def _stacks(place: Place, project: Mapping[str, Any]) -> list[str]:
    """The stacks that the project was launched as."""
    details = [item.get("CfnTemplateProviderDetail", {}) for item in project.get("TemplateProviderDetails", [])]
    found = [str(detail["StackDetail"]["Id"]) for detail in details if detail.get("StackDetail", {}).get("Id")]
    product = project.get("ServiceCatalogProvisionedProductDetails", {}).get("ProvisionedProductId")
    if product:
        level = {"Key": "Account", "Value": "self"}
        query = {"SearchQuery": [f"id:{product}"]}
        launched = pages(
            place.client("servicecatalog"), "search_provisioned_products", "ProvisionedProducts",
            AccessLevelFilter=level, Filters=query,
        )  # fmt: skip
        found += [item["PhysicalId"] for item in launched if item["Id"] == product and item.get("PhysicalId")]
    return found


def _ours(place: Place, stack: str) -> bool:
    answer = gone(partial(place.client("cloudformation").describe_stacks, StackName=stack))
    for found in (answer or {}).get("Stacks", []):
        given = {item["ParameterKey"]: item.get("ParameterValue") for item in found.get("Parameters", [])}
        if found["StackStatus"] != "DELETE_COMPLETE" and given.get("Namespace") == place.namespace:
            return True
    return False


def _delete(place: Place, name: str) -> None:
    """Delete, and wait until it is listed no more. Raises SlipwayError where what it launched could not be removed."""
    sagemaker = place.client("sagemaker")
    gone(partial(sagemaker.delete_project, ProjectName=name))
    waiting = pauses()
    while True:
        listed = _listed(sagemaker, NameContains=name)
        status = next((item["ProjectStatus"] for item in listed if item["ProjectName"] == name), "")
        if status in ("", "DeleteCompleted"):
            return
        if status == "DeleteFailed":
            raise SlipwayError(
                f"SageMaker project {name} could not be removed: aws sagemaker describe-project --project-name {name} "
                "says why. Mend it and run the command again"
            )
        place.progress.beat(f"SageMaker project {name}: waiting until it is gone")
        place.sleep(next(waiting))
