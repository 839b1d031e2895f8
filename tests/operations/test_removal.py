"""A project is removed whole, or all but its data and models; in one account, where it can reach nobody else's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest

from slipway import experiment
from tests.localcloud.calls import record
from tests.localcloud.conftest import REGION, TOOLING, LocalCloud, free_port
from tests.operations.conftest import Platform

pytestmark = [pytest.mark.thorough, pytest.mark.slow, pytest.mark.xdist_group("removal")]
# What AWS keeps of the past besides: builds and their logs, deleted stacks, and keys that wait.
HISTORY = re.compile(r"^codebuild\.(build|report)|^logs/|^cloudformation/|^sns/platform|^kms/")
STACK = {
    "Resources": {"Endpoint": {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": "serves"}}}
}


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """One account that is tooling, staging and production, with a platform."""
    cloud = LocalCloud(tmp_path_factory.mktemp("removal") / "home", free_port())
    cloud.start()
    made = Platform(cloud)
    try:
        done = made.slipway("bootstrap")
        assert done.returncode == 0, done.stdout + done.stderr
        tracked = ["--parameter", "MlflowServer=Small", "--parameter", "EndpointSet=full"]
        done = made.slipway("deploy", *tracked, role="FullStackDeveloper")
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr
        yield made
    finally:
        cloud.stop()


@contextmanager
def tracking(cloud: LocalCloud) -> Iterator[tuple[Any, str]]:
    """A session and the platform's tracking server, as a build has them."""
    parameter = cloud.client("ssm").get_parameter(Name="/slipway/platform/mlflow/tracking-server-arn")["Parameter"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT", f"{cloud.endpoint}/_sagemaker-mlflow")
        yield boto3.Session(TOOLING, "test", region_name=REGION), str(parameter["Value"])


def is_tracked(account: Platform, name: str) -> bool:
    """Whether the project has an experiment."""
    with tracking(account.cloud) as (session, server), experiment._client(session, server) as client:
        return client.get_experiment_by_name(experiment.name("slipway", name)) is not None


def live_in(account: Platform, name: str) -> None:
    """What builds and releases leave of a project: a run, an object, a model version, its pipeline, two endpoints."""
    cloud = account.cloud
    with tracking(cloud) as (session, server):
        moment = datetime.now(UTC)
        run = experiment.Run("V1.0.0", f"arn:of-{name}", succeeded=True, started=moment, ended=moment)
        experiment.note(session, server, experiment.name("slipway", name), run)
    cloud.client("s3").put_object(Bucket=f"slipway-{name}-{TOOLING}-eu-west-1", Key="pipeline/model.tar.gz", Body=b"x")
    sagemaker = cloud.client("sagemaker")
    sagemaker.create_model_package(ModelPackageGroupName=f"slipway-{name}", ModelPackageDescription="V1.0.0")
    step = {"Name": "Refuse", "Type": "Fail", "Arguments": {"ErrorMessage": "no"}}
    sagemaker.create_pipeline(
        PipelineName=f"slipway-{name}", RoleArn=f"arn:aws:iam::{TOOLING}:role/slipway-{name}-execution",
        PipelineDefinition=json.dumps({"Version": "2020-12-01", "Steps": [step]}), ClientRequestToken="x" * 32,
    )  # fmt: skip
    cloudformation = cloud.client("cloudformation")
    for environment in ("staging", "production"):
        cloudformation.create_stack(StackName=f"slipway-{name}-{environment}", TemplateBody=json.dumps(STACK))
        cloudformation.get_waiter("stack_create_complete").wait(
            StackName=f"slipway-{name}-{environment}", WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )


def of(account: Platform, name: str) -> set[str]:
    """Records that name the project, but for those of what has been."""
    return {record for record in account.records() if re.search(rf"\b{name}\b", record) and not HISTORY.match(record)}


def test_a_project_that_goes_with_its_data_leaves_nothing(account: Platform) -> None:
    """Protects from what costs on after a project has ended: no record bears its name, and its key is on its way."""
    assert account.launch("brief", DataAndModels="delete", MonthlyBudget="100") == "AVAILABLE"
    live_in(account, "brief")
    assert of(account, "brief")
    assert is_tracked(account, "brief")
    key = account.cloud.client("kms").describe_key(KeyId="alias/slipway/projects/brief")["KeyMetadata"]["KeyId"]
    assert account.terminate("brief") == "SUCCEEDED"
    assert of(account, "brief") == set()
    assert not is_tracked(account, "brief")
    (asked,) = record(account.cloud, action="sagemaker-mlflow:DeleteExperiment")
    assert "assumed-role/slipway-removal/" in asked["principal"]
    assert account.cloud.client("kms").describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "PendingDeletion"
    groups = account.cloud.client("logs").describe_log_groups(logGroupNamePrefix="/aws/codebuild/slipway-brief")
    assert groups["logGroups"] == []


def test_a_project_that_leaves_its_data_keeps_models_images_and_code(account: Platform) -> None:
    """Protects what cannot be made again, which is the default; endpoints and pipelines go all the same."""
    assert account.launch("lasting") == "AVAILABLE"
    live_in(account, "lasting")
    assert account.terminate("lasting") == "SUCCEEDED"
    assert is_tracked(account, "lasting")
    cloud = account.cloud
    found = cloud.client("s3").list_objects_v2(Bucket=f"slipway-lasting-{TOOLING}-eu-west-1")["Contents"]
    assert "pipeline/model.tar.gz" in {item["Key"] for item in found}
    sagemaker = cloud.client("sagemaker")
    assert sagemaker.list_model_packages(ModelPackageGroupName="slipway-lasting")["ModelPackageSummaryList"]
    assert cloud.client("codecommit").get_branch(repositoryName="lasting", branchName="main")["branch"]["commitId"]
    assert len(cloud.client("ecr").describe_repositories()["repositories"]) >= 3
    assert "slipway-lasting" not in {item["PipelineName"] for item in sagemaker.list_pipelines()["PipelineSummaries"]}
    stacks = {item["StackName"] for item in cloud.client("cloudformation").describe_stacks()["Stacks"]}
    assert not [name for name in stacks if "lasting" in name]
    assert not [
        item["name"] for item in cloud.client("codepipeline").list_pipelines()["pipelines"] if "lasting" in item["name"]
    ]
