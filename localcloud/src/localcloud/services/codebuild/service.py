"""AWS CodeBuild."""

from __future__ import annotations

from typing import Any

from localcloud.core import Created, ResourceContext, ResourceType
from localcloud.services.codebuild.builds import BuildOperations
from localcloud.services.codebuild.reports import ReportOperations

_PROJECT = ResourceType(
    "AWS::CodeBuild::Project",
    service="codebuild",
    create="CreateProject",
    update="UpdateProject",
    delete="DeleteProject",
    identifier=("name", "create.project.name"),
    attributes={"Arn": "create.project.arn", "Id": "create.project.name"},
    default_name=("Name", 100),
)
# What a property is reset to when an update's template has it no more.
_RESET: dict[str, Any] = {
    "Description": "", "VpcConfig": {}, "Tags": [], "Cache": {"Type": "NO_CACHE"}, "ConcurrentBuildLimit": -1,
    "TimeoutInMinutes": 60, "QueuedTimeoutInMinutes": 480, "SecondarySources": [], "SecondaryArtifacts": [],
    "SecondarySourceVersions": [], "FileSystemLocations": [], "AutoRetryLimit": 0,
    "LogsConfig": {"CloudWatchLogs": {"Status": "ENABLED"}, "S3Logs": {"Status": "DISABLED"}},
}  # fmt: skip
_REFUSED = ("Triggers", "Visibility", "ResourceAccessRole")


def _served(properties: dict[str, Any]) -> dict[str, Any]:
    for name in _REFUSED:
        if properties.get(name) not in (None, "PRIVATE"):
            raise ValueError(f"The property {name} of AWS::CodeBuild::Project is not served by the local cloud")
    return {key: value for key, value in properties.items() if key not in _REFUSED}


def _create(context: ResourceContext, properties: dict[str, Any]) -> Created:
    return _PROJECT.do_create(context, _served(properties))


def _update(context: ResourceContext, physical_id: str, old: dict[str, Any], new: dict[str, Any]) -> Created:
    if new.get("Name", physical_id) != physical_id:
        return _PROJECT.do_create(context, _served(new))
    dropped = {name: value for name, value in _RESET.items() if name in old and name not in new}
    if old.get("EncryptionKey") and not new.get("EncryptionKey"):
        dropped["EncryptionKey"] = f"arn:aws:kms:{context.region}:{context.account}:alias/aws/s3"
    given = {"Name": physical_id, **dropped, **_served(new)}
    return _PROJECT.do_update(context, physical_id, old, given)


def _delete(context: ResourceContext, physical_id: str, properties: dict[str, Any]) -> None:
    context.client("codebuild").delete_project(name=physical_id)


def _delete_group(context: ResourceContext, physical_id: str, properties: dict[str, Any]) -> None:
    reports = str(properties.get("DeleteReports", False)).lower() == "true"
    context.client("codebuild").delete_report_group(arn=physical_id, deleteReports=reports)


class CodeBuild(BuildOperations, ReportOperations):
    """Projects, builds that run for real, and reports."""

    name = "codebuild"
    resources = (
        ResourceType("AWS::CodeBuild::Project", service="codebuild", create=_create, update=_update, delete=_delete),
        ResourceType(
            "AWS::CodeBuild::ReportGroup",
            service="codebuild",
            create="CreateReportGroup",
            update="UpdateReportGroup",
            delete=_delete_group,
            ref="create.reportGroup.arn",
            identifier=("arn", "create.reportGroup.arn"),
            attributes={"Arn": "create.reportGroup.arn"},
            rename={"DeleteReports": ""},
            default_name=("Name", 128),
            replace_on=("Name", "Type"),
        ),
    )
