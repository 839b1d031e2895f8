"""Takes away what a project made beside its stack, before the stack itself goes.

A project's endpoints are stacks of their own in the staging and production accounts, its pipeline, its models and its
experiment are made by its builds, and its stack retains what holds data. All of it is found by the project's own names,
so that this may run as often as it likes: what is gone already is passed over.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from botocore.exceptions import ClientError

from slipway import experiment, settings
from slipway.errors import SlipwayError
from slipway.platform import stacks
from slipway.platform.destroy.items import gone, many, pages
from slipway.polling import pauses
from slipway.progress import Progress
from slipway.release import names

WAIT_SECONDS = 600.0
KEYS_AT_ONCE = 1000
KEY_DAYS = 30
Data = Literal["keep", "delete"]


@dataclass(frozen=True)
class Removal:
    """A project that is removed.

    Args:
        account: the tooling account.
        environments: the account of each environment that it is released to.
        data: whether its data, models, images and code go, too.
        connected: whether its repository is elsewhere: then one of its name in CodeCommit is somebody else's.
    """

    namespace: str
    project: str
    account: str
    region: str
    partition: str
    environments: Mapping[names.Environment, str]
    data: Data
    connected: bool = False

    @property
    def name(self) -> str:
        """{namespace}-{project}, which begins the names of what a project has."""
        return f"{self.namespace}-{self.project}"

    @property
    def bucket(self) -> str:
        """The project's bucket."""
        return f"{self.name}-{self.account}-{self.region}"


def remove(
    session: Any,
    wanted: Removal,
    progress: Progress,
    assume: Callable[[Any, str, str], Any],
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Remove endpoints and pipeline; with `data: delete`, everything that the project's stack would leave behind.

    `assume` makes a session of a role's ARN and a session name. Raises SlipwayError naming what could not be removed.
    """
    for environment, account in wanted.environments.items():
        _endpoint(session, wanted, environment, account, progress, assume, sleep)
    sagemaker = session.client("sagemaker")
    _pipeline(sagemaker, wanted, progress, sleep)
    if wanted.data == "keep":
        progress.say(f"data, models, images and code of {wanted.project} are kept, with their key")
        return
    _experiment(session, wanted, progress)
    _models(sagemaker, wanted, progress)
    _code(session, wanted, progress)
    group = f"arn:{wanted.partition}:codebuild:{wanted.region}:{wanted.account}:report-group/{wanted.name}-test-tests"
    gone(partial(session.client("codebuild").delete_report_group, arn=group, deleteReports=True))
    _logs(session.client("logs"), wanted, progress)
    _bucket(session.client("s3"), wanted.bucket, progress, sleep)
    _key(session.client("kms"), wanted, progress)


def _endpoint(
    session: Any,
    wanted: Removal,
    environment: names.Environment,
    account: str,
    progress: Progress,
    assume: Callable[[Any, str, str], Any],
    sleep: Callable[[float], None],
) -> None:
    role = names.deployer(wanted.partition, account, wanted.namespace, environment)
    try:
        there = assume(session, role, f"remove-{wanted.project}")
    except ClientError as error:
        raise SlipwayError(
            f"the endpoint of {environment} (account {account}) cannot be removed: "
            f"{error.response['Error']['Message']}. The role {role} has to trust this build: deploy the release roles "
            "of that account anew, then terminate the product again"
        ) from error
    name = names.endpoint(wanted.namespace, wanted.project, environment)
    status = stacks.remove(there.client("cloudformation"), name, progress, sleep=sleep)
    if status != "DELETE_COMPLETE":
        reason = stacks.first_failure(there.client("cloudformation"), name)
        raise SlipwayError(
            f"stack {name} of account {account} ended as {status}: {reason}. Mend it and terminate the product again"
        )
    progress.say(f"endpoint of {environment}: removed")


def _pipeline(sagemaker: Any, wanted: Removal, progress: Progress, sleep: Callable[[float], None]) -> None:
    listing = pages(sagemaker, "list_pipelines", "PipelineSummaries", PipelineNamePrefix=wanted.name)
    if wanted.name not in {found["PipelineName"] for found in listing}:
        return

    def running() -> list[str]:
        found = pages(sagemaker, "list_pipeline_executions", "PipelineExecutionSummaries", PipelineName=wanted.name)
        active = [item for item in found if item["PipelineExecutionStatus"] in ("Executing", "Stopping")]
        return [item["PipelineExecutionArn"] for item in active]

    for arn in running():
        gone(partial(sagemaker.stop_pipeline_execution, PipelineExecutionArn=arn))
    deadline, waiting = time.monotonic() + WAIT_SECONDS, pauses()
    while still := running():
        if time.monotonic() > deadline:
            raise SlipwayError(f"{still[0]} does not stop; terminate the product again when it has")
        progress.beat(f"waiting until {many(len(still), 'execution')} of the model's pipeline stopped")
        sleep(next(waiting))
    gone(partial(sagemaker.delete_pipeline, PipelineName=wanted.name))
    progress.say(f"SageMaker pipeline {wanted.name}: removed")


def _models(sagemaker: Any, wanted: Removal, progress: Progress) -> None:
    listing = pages(sagemaker, "list_model_package_groups", "ModelPackageGroupSummaryList", NameContains=wanted.name)
    if wanted.name not in {found["ModelPackageGroupName"] for found in listing}:
        return
    listed = partial(
        pages, sagemaker, "list_model_packages", "ModelPackageSummaryList", ModelPackageGroupName=wanted.name
    )
    packages = gone(lambda: list(listed())) or []
    for package in packages:
        gone(partial(sagemaker.delete_model_package, ModelPackageName=package["ModelPackageArn"]))
    gone(partial(sagemaker.delete_model_package_group, ModelPackageGroupName=wanted.name))
    progress.say(f"registry {wanted.name}: removed, with {many(len(packages), 'version')}")


def _experiment(session: Any, wanted: Removal, progress: Progress) -> None:
    server = settings.read(session.client("ssm"), f"/{wanted.namespace}/platform/mlflow/").get("tracking-server-arn")
    if not server:
        return
    named = experiment.name(wanted.namespace, wanted.project)
    try:
        if experiment.remove(session, server, named):
            progress.say(f"experiment {named}: removed")
    except experiment.ExperimentError as error:
        raise SlipwayError(
            f"the experiment {named} cannot be removed: {error}. Start the tracking server, then terminate the product "
            "again"
        ) from error


def _code(session: Any, wanted: Removal, progress: Progress) -> None:
    """Images and git repository. Each is looked for first: AWS refuses to delete by its tag what is gone already."""
    ecr, codecommit = session.client("ecr"), session.client("codecommit")
    for kind in ("inference", "preprocessing", "training"):
        repository = f"{wanted.namespace}/{wanted.project}/{kind}"
        if gone(partial(ecr.describe_repositories, repositoryNames=[repository])):
            gone(partial(ecr.delete_repository, repositoryName=repository, force=True))
            progress.say(f"image repository {repository}: removed")
    if not wanted.connected and gone(partial(codecommit.get_repository, repositoryName=wanted.project)):
        gone(partial(codecommit.delete_repository, repositoryName=wanted.project))
        progress.say(f"git repository {wanted.project}: removed")


def _logs(logs: Any, wanted: Removal, progress: Progress) -> None:
    for kind in ("build", "deploy"):
        group = f"/aws/codebuild/{wanted.name}-{kind}"
        found = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
        if any(entry["logGroupName"] == group for entry in found):
            gone(partial(logs.delete_log_group, logGroupName=group))
            progress.say(f"log group {group}: removed")


def _bucket(s3: Any, bucket: str, progress: Progress, sleep: Callable[[float], None]) -> None:
    deadline, deleted = time.monotonic() + WAIT_SECONDS, 0
    while True:
        for keys in _versions(s3, bucket):
            answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": keys, "Quiet": True})
            if errors := answer.get("Errors"):
                first = errors[0]
                raise SlipwayError(
                    f"s3://{bucket}/{first.get('Key')} cannot be deleted: {first.get('Code')}: {first.get('Message')}"
                )
            deleted += len(keys)
            progress.beat(f"bucket {bucket}: {many(deleted, 'object version')} deleted")
        try:
            gone(partial(s3.delete_bucket, Bucket=bucket))
        except ClientError as error:  # something was written meanwhile
            if error.response["Error"].get("Code") != "BucketNotEmpty" or time.monotonic() > deadline:
                raise
            sleep(2)
            continue
        progress.say(f"bucket {bucket}: removed, with {many(deleted, 'object version')}")
        return


def _versions(s3: Any, bucket: str) -> Iterator[list[dict[str, str]]]:
    """Every version and delete marker, as many as one request deletes; nothing of a bucket that is gone."""
    while True:
        page = gone(partial(s3.list_object_versions, Bucket=bucket, MaxKeys=KEYS_AT_ONCE)) or {}
        entries = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        if not entries:
            return
        yield [{"Key": entry["Key"], "VersionId": entry["VersionId"]} for entry in entries]


def _key(kms: Any, wanted: Removal, progress: Progress) -> None:
    """By its alias; last, because everything else is encrypted with it."""
    about = gone(partial(kms.describe_key, KeyId=f"alias/{wanted.namespace}/projects/{wanted.project}"))
    if about and about["KeyMetadata"]["KeyState"] == "Enabled":
        kms.schedule_key_deletion(KeyId=about["KeyMetadata"]["KeyId"], PendingWindowInDays=KEY_DAYS)
        progress.say(f"key: deleted in {KEY_DAYS} days, in which it can still be rescued")
