"""What the local cloud writes down of a call for IAM: ARNs, condition keys and what else is asked."""

from __future__ import annotations

import json
from typing import Any

import pytest

from localcloud.core.authorization import describe
from tests import authorization_reference

ACCOUNT, REGION = "111111111111", "eu-west-1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/jobs"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/11111111-2222-3333-4444-555555555555"


def arn(service: str, rest: str, account: str = ACCOUNT) -> str:
    return f"arn:aws:{service}:{REGION}:{account}:{rest}"


def asked(action: str, given: dict[str, Any], answer: dict[str, Any] | None = None) -> Any:
    prefix, operation = action.split(":")
    return describe(prefix, operation, given, answer or {}, ACCOUNT, REGION)


@pytest.mark.parametrize(
    ("action", "given", "answer", "resources"),
    [
        ("codecommit:GetBranch", {"repositoryName": "r", "branchName": "main"}, {}, ["codecommit|r"]),
        ("codebuild:BatchGetBuilds", {"ids": ["a:1", "a:2", "b:3"]}, {},
         ["codebuild|project/a", "codebuild|project/b"]),
        ("codebuild:StartBuild", {"projectName": "a"}, {"build": {"arn": "ignored"}}, ["codebuild|project/a"]),
        ("codepipeline:GetPipelineState", {"name": "p"}, {}, ["codepipeline|p"]),
        (
            "codepipeline:CreatePipeline",
            {"pipeline": {"name": "p", "roleArn": ROLE, "stages": [{"name": "s", "actions": [{"name": "a"}]}]}},
            {},
            ["codepipeline|p"],
        ),
        (
            "codepipeline:PutApprovalResult",
            {"pipelineName": "p", "stageName": "s", "actionName": "a", "token": "t"},
            {},
            ["codepipeline|p/s/a"],
        ),
        (
            "codeartifact:DescribePackageVersion",
            {"domain": "d", "repository": "r", "format": "pypi", "package": "x", "packageVersion": "1"},
            {},
            ["codeartifact|package/d/r/pypi//x"],
        ),
        ("codeartifact:CreateDomain", {"domain": "d"}, {}, ["*"]),
        (
            "servicecatalog:CreateProduct",
            {"Name": "n", "Owner": "o"},
            {"ProductViewDetail": {"ProductARN": "arn:aws:catalog:eu-west-1:111111111111:product/prod-1"}},
            ["catalog|product/prod-1"],
        ),
        ("servicecatalog:DescribeProduct", {"Id": "prod-1"}, {}, ["catalog|product/prod-1"]),
        ("servicecatalog:DescribeRecord", {"Id": "rec-1"}, {}, ["*"]),
        (
            "sagemaker:CreateEndpoint",
            {"EndpointName": "e", "EndpointConfigName": "c"},
            {},
            ["sagemaker|endpoint/e", "sagemaker|endpoint-config/c"],
        ),
        ("sagemaker:InvokeEndpoint", {"EndpointName": "e"}, {}, ["sagemaker|endpoint/e"]),
        (
            "sagemaker:DescribePipelineExecution",
            {"PipelineExecutionArn": arn("sagemaker", "pipeline/p/execution/x")},
            {},
            ["sagemaker|pipeline/p/execution/x"],
        ),
        ("sagemaker:ListModelPackages", {"ModelPackageGroupName": "g"}, {}, ["sagemaker|model-package/g/*"]),
        ("sagemaker:StopMlflowTrackingServer", {"TrackingServerName": "s"}, {},
         ["sagemaker|mlflow-tracking-server/s"]),
        (
            "sagemaker:CreateModelPackage",
            {"ModelPackageGroupName": "g"},
            {"ModelPackageArn": arn("sagemaker", "model-package/g/1")},
            ["sagemaker|model-package/g/1", "sagemaker|model-package-group/g"],
        ),
    ],
)  # fmt: skip
def test_each_call_names_the_resources_that_iam_asks_about(
    action: str, given: dict[str, Any], answer: dict[str, Any], resources: list[str]
) -> None:
    """Protects the replay: a wrong ARN would let a wrong policy pass, or refuse a right one."""
    wanted = [name if name == "*" else arn(*name.split("|")) for name in resources]
    assert list(asked(action, given, answer).resources) == wanted


def test_another_accounts_registry_is_named_by_its_account() -> None:
    """Protects cross-account pulls: the owner is in registryId, not the caller's account."""
    found = asked("ecr:BatchGetImage", {"registryId": "222222222222", "repositoryName": "a/b", "imageIds": []})
    assert found.resources == (arn("ecr", "repository/a/b", "222222222222"),)
    assert [item.action for item in found.implied] == ["ecr:GetDownloadUrlForLayer"]


def test_a_job_tells_its_conditions_its_role_and_its_key() -> None:
    """Protects conditions on jobs: subnets, keys and tags are what the policies of jobs go by."""
    found = asked("sagemaker:CreateTrainingJob", {
        "TrainingJobName": "t", "RoleArn": ROLE,
        "AlgorithmSpecification": {"TrainingImage": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/a/b@sha256:0"},
        "ResourceConfig": {"VolumeKmsKeyId": KEY, "InstanceType": "ml.m5.large"},
        "OutputDataConfig": {"KmsKeyId": "other"},
        "VpcConfig": {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]},
        "Tags": [{"Key": "Project", "Value": "p"}],
    })  # fmt: skip
    assert found.keys["sagemaker:VpcSubnets"] == ["subnet-1"]
    assert found.keys["sagemaker:VolumeKmsKey"] == KEY
    assert found.keys["sagemaker:OutputKmsKey"] == "other"
    assert found.keys["aws:RequestTag/Project"] == "p"
    by_caller = {(item.action, item.resource) for item in found.implied if not item.role}
    assert by_caller == {
        ("iam:PassRole", ROLE), ("kms:CreateGrant", KEY), ("sagemaker:AddTags", arn("sagemaker", "training-job/t")),
    }  # fmt: skip
    as_role = {item.action for item in found.implied if item.role == ROLE}
    assert {"ecr:BatchGetImage", "logs:PutLogEvents", "ec2:CreateNetworkInterfacePermission"} <= as_role


def test_a_transform_job_tells_its_model() -> None:
    """Protects policies that let a job use certain models: the request says a name, IAM goes by the ARN."""
    found = asked("sagemaker:CreateTransformJob", {
        "TransformJobName": "j", "ModelName": "m", "TransformOutput": {"KmsKeyId": "other"},
        "TransformResources": {"VolumeKmsKeyId": KEY, "InstanceType": "ml.m5.large", "InstanceCount": 1},
    })  # fmt: skip
    assert found.resources == (arn("sagemaker", "transform-job/j"),)
    assert found.keys["sagemaker:ModelArn"] == arn("sagemaker", "model/m")
    assert (found.keys["sagemaker:OutputKmsKey"], found.keys["sagemaker:VolumeKmsKey"]) == ("other", KEY)
    several = asked("sagemaker:CreateEndpointConfig", {
        "EndpointConfigName": "c", "ProductionVariants": [{"ModelName": "a"}, {"ModelName": "b"}],
    })  # fmt: skip
    assert several.keys["sagemaker:ModelArn"] == [arn("sagemaker", "model/a"), arn("sagemaker", "model/b")]


def test_only_the_pipelines_own_role_is_passed() -> None:
    """Protects against false alarms: an action's role is assumed by the pipeline's, not passed by who makes it."""
    action = {"name": "a", "roleArn": "arn:aws:iam::222222222222:role/deployer"}
    found = asked("codepipeline:CreatePipeline", {
        "pipeline": {"name": "p", "roleArn": ROLE, "stages": [{"name": "s", "actions": [action]}]}
    })  # fmt: skip
    assert [(item.action, item.resource) for item in found.implied] == [("iam:PassRole", ROLE)]
    launch = json.dumps({"RoleArn": ROLE})
    found = asked("servicecatalog:CreateConstraint", {"Type": "LAUNCH", "ProductId": "prod-1", "Parameters": launch})
    assert [(item.action, item.resource) for item in found.implied] == [("iam:PassRole", ROLE)]


def test_the_reference_is_that_of_parliament() -> None:
    """Protects against drift: the file is generated, never edited."""
    assert authorization_reference.TARGET.read_text() == authorization_reference.text(), (
        "write it anew: python -m tests.authorization_reference"
    )
