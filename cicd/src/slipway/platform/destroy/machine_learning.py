"""What SageMaker and CodeBuild keep beside the stacks: Studio, models, pipelines, endpoints, builds."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from slipway.errors import SlipwayError
from slipway.platform.destroy.items import Item, Place, gone, many, pages, tags_of
from slipway.polling import pauses

WAIT_SECONDS = 1800.0
# SageMaker's tag on the file system of a domain's homes.
MANAGED = "ManagedByAmazonSageMakerResource"
BUILDS_AT_ONCE = 100
# Kind in words → (list operation, key of the list, member that names it, member with its ARN, delete operation,
# argument that names it there, whether data is lost). In the order of removal.
RECORDS: tuple[tuple[str, str, str, str, str, str, str, bool], ...] = (
    ("monitoring schedule", "list_monitoring_schedules", "MonitoringScheduleSummaries", "MonitoringScheduleName",
     "MonitoringScheduleArn", "delete_monitoring_schedule", "MonitoringScheduleName", False),
    ("endpoint", "list_endpoints", "Endpoints", "EndpointName", "EndpointArn", "delete_endpoint", "EndpointName",
     False),
    ("endpoint configuration", "list_endpoint_configs", "EndpointConfigs", "EndpointConfigName", "EndpointConfigArn",
     "delete_endpoint_config", "EndpointConfigName", False),
    ("model", "list_models", "Models", "ModelName", "ModelArn", "delete_model", "ModelName", False),
    ("SageMaker pipeline", "list_pipelines", "PipelineSummaries", "PipelineName", "PipelineArn", "delete_pipeline",
     "PipelineName", False),
    ("feature group", "list_feature_groups", "FeatureGroupSummaries", "FeatureGroupName", "FeatureGroupArn",
     "delete_feature_group", "FeatureGroupName", True),
    ("MLflow tracking server", "list_mlflow_tracking_servers", "TrackingServerSummaries", "TrackingServerName",
     "TrackingServerArn", "delete_mlflow_tracking_server", "TrackingServerName", True),
)  # fmt: skip
# Jobs that have ended: records that AWS keeps, without a cost, unless they are deleted.
JOBS: tuple[tuple[str, str, str, str, str, str], ...] = (
    ("processing jobs", "list_processing_jobs", "ProcessingJobSummaries", "ProcessingJobName", "ProcessingJobArn",
     "delete_processing_job"),
    ("training jobs", "list_training_jobs", "TrainingJobSummaries", "TrainingJobName", "TrainingJobArn",
     "delete_training_job"),
)  # fmt: skip


def records(place: Place, kind: str) -> list[Item]:
    """What SageMaker holds of one kind of `RECORDS`."""
    sagemaker = place.client("sagemaker")
    _, listing, key, name, arn, delete, argument, data = next(row for row in RECORDS if row[0] == kind)
    found = []
    for entry in pages(sagemaker, listing, key):
        tags = tags_of(gone(partial(_tags, sagemaker, entry[arn])))
        if place.owns(entry[name], tags):
            call = partial(getattr(sagemaker, delete), **{argument: entry[name]})
            found.append(Item(kind, entry[name], partial(_delete, place, kind, entry[name], call, listing), data=data))
    return found


def _delete(place: Place, kind: str, name: str, call: Callable[[], Any], listing: str) -> None:
    """Delete, and wait until it is listed no more."""
    gone(call)
    row = next(row for row in RECORDS if row[1] == listing)
    sagemaker = place.client("sagemaker")
    wait(place, f"{kind} {name}", lambda: name not in {entry[row[3]] for entry in pages(sagemaker, row[1], row[2])})


def _tags(sagemaker: Any, arn: str) -> list[dict[str, str]]:
    return list(pages(sagemaker, "list_tags", "Tags", ResourceArn=arn))


def model_versions(place: Place) -> list[Item]:
    """Groups of model versions with what they hold."""
    sagemaker = place.client("sagemaker")
    found = []
    for group in pages(sagemaker, "list_model_package_groups", "ModelPackageGroupSummaryList"):
        name = group["ModelPackageGroupName"]
        if place.owns(name, tags_of(_tags(sagemaker, group["ModelPackageGroupArn"]))):
            versions = _versions(sagemaker, name)
            remove = partial(_remove_group, sagemaker, name)
            found.append(Item("model versions", name, remove, many(len(versions), "version"), data=True))
    return found


def _versions(sagemaker: Any, group: str) -> list[str]:
    summaries = pages(sagemaker, "list_model_packages", "ModelPackageSummaryList", ModelPackageGroupName=group)
    return [entry["ModelPackageArn"] for entry in summaries]


def _remove_group(sagemaker: Any, group: str) -> None:
    for arn in _versions(sagemaker, group):
        gone(partial(sagemaker.delete_model_package, ModelPackageName=arn))
    gone(partial(sagemaker.delete_model_package_group, ModelPackageGroupName=group))


def jobs(place: Place) -> list[Item]:
    """Ended jobs that bear the platform's tag or name, as one item of each kind."""
    sagemaker = place.client("sagemaker")
    found = []
    for kind, listing, key, name, arn, delete in JOBS:
        names = [
            entry[name]
            for entry in pages(sagemaker, listing, key)
            if place.owns(entry[name], tags_of(gone(partial(_tags, sagemaker, entry[arn]))))
        ]
        if names:
            remove = partial(_remove_jobs, getattr(sagemaker, delete), name, names)
            found.append(Item(kind, f"{place.namespace}-*", remove, many(len(names), "job")))
    return found


def _remove_jobs(delete: Callable[..., Any], argument: str, names: list[str]) -> None:
    for name in names:
        gone(partial(delete, **{argument: name}))


def domains(place: Place) -> list[Item]:
    """Studio domains, with the people's home folders.

    A domain is removed before the network: its file system has mount targets in the subnets.
    """
    sagemaker = place.client("sagemaker")
    found = []
    for domain in pages(sagemaker, "list_domains", "Domains"):
        if place.owns(domain["DomainName"], tags_of(_tags(sagemaker, domain["DomainArn"]))):
            identifier = domain["DomainId"]
            profiles = sum(1 for _ in pages(sagemaker, "list_user_profiles", "UserProfiles", DomainIdEquals=identifier))
            remove = partial(_remove_domain, place, identifier)
            detail = f"{domain['DomainName']}, {many(profiles, 'user')}"
            found.append(Item("Studio domain", identifier, remove, detail, data=not place.keep_data))
    return found


def _remove_domain(place: Place, domain: str) -> None:
    """Apps, spaces, users, then the domain; the home folders go with it unless data is kept."""
    sagemaker = place.client("sagemaker")
    about = gone(partial(sagemaker.describe_domain, DomainId=domain)) or {}

    def apps() -> list[dict[str, Any]]:
        found = pages(sagemaker, "list_apps", "Apps", DomainIdEquals=domain)
        return [app for app in found if app["Status"] not in {"Deleted", "Failed"}]

    for app in apps():
        owner = {key: app[key] for key in ("UserProfileName", "SpaceName") if app.get(key)}
        if app["Status"] != "Deleting":
            gone(
                partial(sagemaker.delete_app, DomainId=domain, AppType=app["AppType"], AppName=app["AppName"], **owner)
            )
    wait(place, f"apps of {domain}", lambda: not apps())
    for space in list(pages(sagemaker, "list_spaces", "Spaces", DomainIdEquals=domain)):
        gone(partial(sagemaker.delete_space, DomainId=domain, SpaceName=space["SpaceName"]))
    wait(
        place,
        f"spaces of {domain}",
        lambda: not list(pages(sagemaker, "list_spaces", "Spaces", DomainIdEquals=domain)),
    )
    for profile in list(pages(sagemaker, "list_user_profiles", "UserProfiles", DomainIdEquals=domain)):
        gone(partial(sagemaker.delete_user_profile, DomainId=domain, UserProfileName=profile["UserProfileName"]))
    wait(
        place,
        f"users of {domain}",
        lambda: not list(pages(sagemaker, "list_user_profiles", "UserProfiles", DomainIdEquals=domain)),
    )
    policy = {"HomeEfsFileSystem": "Retain" if place.keep_data else "Delete"}
    gone(partial(sagemaker.delete_domain, DomainId=domain, RetentionPolicy=policy))
    wait(
        place,
        f"Studio domain {domain}",
        lambda: gone(partial(sagemaker.describe_domain, DomainId=domain)) is None,
    )
    if place.keep_data and about.get("HomeEfsFileSystemId"):
        _keep_homes(place, about["HomeEfsFileSystemId"])


def _keep_homes(place: Place, file_system: str) -> None:
    """Keep a file system from the clean-up of the platform's stack, which removes the homes of domains that are gone.

    It tells them by the tag that SageMaker gave them; that of the platform stays, and a later run finds them by it.
    """
    efs = place.client("efs")
    unmount(place, file_system)
    efs.tag_resource(ResourceId=file_system, Tags=[{"Key": "Namespace", "Value": place.namespace}])
    efs.untag_resource(ResourceId=file_system, TagKeys=[MANAGED])


def unmount(place: Place, file_system: str) -> None:
    """Take a file system out of the subnets, which could not be deleted with it."""
    efs = place.client("efs")

    def targets() -> list[str]:
        answer = gone(partial(efs.describe_mount_targets, FileSystemId=file_system)) or {}
        return [target["MountTargetId"] for target in answer.get("MountTargets", [])]

    for target in targets():
        gone(partial(efs.delete_mount_target, MountTargetId=target))
    wait(place, f"mount targets of {file_system}", lambda: not targets())


def studio_configurations(place: Place) -> list[Item]:
    """Lifecycle configurations and images of Studio."""
    sagemaker = place.client("sagemaker")
    found = []
    for entry in pages(sagemaker, "list_studio_lifecycle_configs", "StudioLifecycleConfigs"):
        name = entry["StudioLifecycleConfigName"]
        if place.owns(name, tags_of(gone(partial(_tags, sagemaker, entry["StudioLifecycleConfigArn"])))):
            call = partial(sagemaker.delete_studio_lifecycle_config, StudioLifecycleConfigName=name)
            found.append(Item("Studio lifecycle configuration", name, partial(gone, call)))
    return found


def builds(place: Place) -> list[Item]:
    """Builds and test reports: CodeBuild keeps both when their project is deleted."""
    codebuild = place.client("codebuild")
    found = []
    if ids := _builds(place):
        remove = partial(wait, place, "builds", partial(_delete_builds, place))
        found.append(Item("builds", f"{place.namespace}-*", remove, many(len(ids), "build")))
    for arn in pages(codebuild, "list_report_groups", "reportGroups"):
        name = re.sub(r"^.*report-group/", "", arn)
        if place.owns(name):
            call = partial(codebuild.delete_report_group, arn=arn, deleteReports=True)
            found.append(Item("test reports", name, partial(gone, call)))
    return found


def _builds(place: Place) -> list[str]:
    ids = pages(place.client("codebuild"), "list_builds", "ids")
    return [identifier for identifier in ids if place.owns(identifier.partition(":")[0])]


def _delete_builds(place: Place) -> bool:
    """Delete what has ended and stop what has not, which CodeBuild does not delete. Whether nothing is left."""
    codebuild, ids = place.client("codebuild"), _builds(place)
    for start in range(0, len(ids), BUILDS_AT_ONCE):
        answer = codebuild.batch_delete_builds(ids=ids[start : start + BUILDS_AT_ONCE])
        for kept in answer.get("buildsNotDeleted", []):
            gone(partial(codebuild.stop_build, id=kept["id"]))
    return not _builds(place)


def wait(place: Place, what: str, ended: Callable[[], bool], *, clock: Callable[[], float] = time.monotonic) -> None:
    """Until it has ended. Raises SlipwayError if it takes longer than half an hour."""
    deadline = clock() + WAIT_SECONDS
    waiting = pauses()
    while not ended():
        if clock() > deadline:
            raise SlipwayError(f"{what}: not gone after {WAIT_SECONDS / 60:.0f} minutes; run the command again")
        place.progress.beat(f"{what}: waiting until it is gone")
        place.sleep(next(waiting))
