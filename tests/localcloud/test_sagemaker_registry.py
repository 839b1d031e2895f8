"""SageMaker's model registry: groups and their policies, versions, approval, events, and use from another account."""

from __future__ import annotations

import json
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.localcloud.conftest import PRODUCTION, REGION, STAGING, TOOLING, LocalCloud

IMAGE = f"763104351884.dkr.ecr.{REGION}.amazonaws.com/pytorch-inference:2.6.0-cpu-py312"
SPECIFICATION = {
    "Containers": [{"Image": IMAGE, "Environment": {"A": "1"}}],
    "SupportedContentTypes": ["text/csv"],
    "SupportedResponseMIMETypes": ["text/csv"],
}
ARN = f"arn:aws:sagemaker:{REGION}:{TOOLING}"


def refused(call: Any, **request: Any) -> tuple[str, str]:
    """Code and message of a refusal."""
    with pytest.raises(ClientError) as error:
        call(**request)
    told = error.value.response["Error"]
    return told["Code"], told["Message"]


@pytest.fixture
def sagemaker(cloud: LocalCloud) -> Any:
    return cloud.client("sagemaker")


@pytest.fixture
def group(sagemaker: Any) -> str:
    name = f"group-{uuid.uuid4().hex[:8]}"
    made = sagemaker.create_model_package_group(ModelPackageGroupName=name, Tags=[{"Key": "project", "Value": name}])
    assert made == {
        "ModelPackageGroupArn": f"{ARN}:model-package-group/{name}",
        "ResponseMetadata": made["ResponseMetadata"],
    }
    return name


def register(sagemaker: Any, group: str, **more: Any) -> str:
    made = sagemaker.create_model_package(ModelPackageGroupName=group, InferenceSpecification=SPECIFICATION, **more)
    return str(made["ModelPackageArn"])


def test_a_version_waits_for_approval_and_keeps_what_it_is_given(sagemaker: Any, group: str) -> None:
    """Protects: what a pipeline registers is what a release reads; nothing is approved by itself."""
    properties = {"version": "V1.0.0", "commit": "abc"}
    metrics = {"ModelQuality": {"Statistics": {"ContentType": "application/json", "S3Uri": "s3://b/evaluation.json"}}}
    arn = register(
        sagemaker, group, CustomerMetadataProperties=properties, ModelMetrics=metrics, ModelPackageDescription="first"
    )
    assert arn == f"{ARN}:model-package/{group}/1"
    shown = sagemaker.describe_model_package(ModelPackageName=arn)
    assert shown["ModelPackageVersion"] == 1
    assert shown["ModelPackageGroupName"] == group
    assert shown["ModelApprovalStatus"] == "PendingManualApproval"
    assert shown["ModelPackageStatus"] == "Completed"
    assert shown["CustomerMetadataProperties"] == properties
    assert shown["ModelMetrics"] == metrics
    assert shown["InferenceSpecification"]["Containers"][0]["Environment"] == {"A": "1"}
    assert shown["CreatedBy"]["IamIdentity"]["Arn"] == f"arn:aws:iam::{TOOLING}:root"
    described = sagemaker.describe_model_package_group(ModelPackageGroupName=f"{ARN}:model-package-group/{group}")
    assert (described["ModelPackageGroupName"], described["ModelPackageGroupStatus"]) == (group, "Completed")


def test_numbers_are_given_once_whoever_asks_at_the_same_time(sagemaker: Any, group: str) -> None:
    """Protects: two pipelines that register at once make two versions; a deleted number is not given again."""
    with ThreadPoolExecutor(8) as pool:
        arns = list(pool.map(lambda _: register(sagemaker, group), range(12)))
    assert sorted(int(arn.rsplit("/", 1)[1]) for arn in arns) == list(range(1, 13))
    last = f"{ARN}:model-package/{group}/12"
    sagemaker.delete_model_package(ModelPackageName=last)
    assert refused(sagemaker.describe_model_package, ModelPackageName=last) == (
        "ValidationException", f"ModelPackage {last} does not exist.",
    )  # fmt: skip
    assert register(sagemaker, group).endswith("/13")


def test_a_repeated_request_registers_once(sagemaker: Any, group: str) -> None:
    """Protects: a client that retries after a lost answer does not make a second version."""
    token = uuid.uuid4().hex
    assert register(sagemaker, group, ClientToken=token) == register(sagemaker, group, ClientToken=token)
    assert len(sagemaker.list_model_packages(ModelPackageGroupName=group)["ModelPackageSummaryList"]) == 1


def test_approval_and_what_else_can_be_updated(sagemaker: Any, group: str) -> None:
    """Protects: a person's decision is kept with its reason; metadata is merged, never lost."""
    arn = register(sagemaker, group, CustomerMetadataProperties={"a": "1", "b": "2"})
    sagemaker.update_model_package(
        ModelPackageArn=arn, ModelApprovalStatus="Approved", ApprovalDescription="good enough",
        CustomerMetadataProperties={"c": "3"}, CustomerMetadataPropertiesToRemove=["a"],
        ModelLifeCycle={"Stage": "Staging", "StageStatus": "Approved"},
    )  # fmt: skip
    shown = sagemaker.describe_model_package(ModelPackageName=arn)
    assert (shown["ModelApprovalStatus"], shown["ApprovalDescription"]) == ("Approved", "good enough")
    assert shown["CustomerMetadataProperties"] == {"b": "2", "c": "3"}
    assert shown["ModelLifeCycle"]["Stage"] == "Staging"
    assert shown["LastModifiedBy"]["IamIdentity"]["Arn"].startswith("arn:aws:iam:")
    assert (
        refused(sagemaker.update_model_package, ModelPackageArn=arn, ModelApprovalStatus="Yes")[0]
        == "ValidationException"
    )


def test_lists(sagemaker: Any, group: str) -> None:
    """Protects: "the last approved version" is found as on AWS."""
    arns = [register(sagemaker, group) for _ in range(3)]
    for arn in arns[:2]:
        sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")
    found = sagemaker.list_model_packages(
        ModelPackageGroupName=group,
        ModelApprovalStatus="Approved",
        SortBy="CreationTime",
        SortOrder="Descending",
        MaxResults=1,
    )
    assert [item["ModelPackageArn"] for item in found["ModelPackageSummaryList"]] == [arns[1]]
    assert found["NextToken"]
    single = f"single-{group}"
    alone = sagemaker.create_model_package(ModelPackageName=single, InferenceSpecification=SPECIFICATION)[
        "ModelPackageArn"
    ]
    assert alone == f"{ARN}:model-package/{single}"
    assert "ModelApprovalStatus" not in sagemaker.describe_model_package(ModelPackageName=single)
    names = {
        item.get("ModelPackageName")
        for item in sagemaker.list_model_packages(MaxResults=100)["ModelPackageSummaryList"]
    }
    assert single in names
    batch = sagemaker.batch_describe_model_package(ModelPackageArnList=[arns[0], f"{ARN}:model-package/none/1"])
    assert batch["ModelPackageSummaries"][arns[0]]["ModelPackageVersion"] == 1
    assert list(batch["BatchDescribeModelPackageErrorMap"]) == [f"{ARN}:model-package/none/1"]


def test_what_is_refused(sagemaker: Any, group: str) -> None:
    """Protects: each mistake has AWS's code and says what is wrong."""
    assert refused(sagemaker.create_model_package_group, ModelPackageGroupName=group) == (
        "ValidationException", f"Model Package Group already exists: {ARN}:model-package-group/{group}",
    )  # fmt: skip
    assert refused(sagemaker.create_model_package, ModelPackageGroupName="none") == (
        "ValidationException", f"ModelPackageGroup {ARN}:model-package-group/none does not exist.",
    )  # fmt: skip
    assert refused(sagemaker.create_model_package)[0] == "ValidationException"
    local = f"{TOOLING}.dkr.ecr.{REGION}.amazonaws.com/never-built:1"
    bad = {**SPECIFICATION, "Containers": [{"Image": local}]}
    assert refused(sagemaker.create_model_package, ModelPackageGroupName=group, InferenceSpecification=bad) == (
        "ValidationException", f"Requested image {local} not found.",
    )  # fmt: skip
    register(sagemaker, group)
    code, message = refused(sagemaker.delete_model_package_group, ModelPackageGroupName=group)
    assert code == "ConflictException"
    assert "contains 1" in message


def test_changes_are_told_to_eventbridge(cloud: LocalCloud, sagemaker: Any, group: str) -> None:
    """Protects: a rule on approvals fires, with AWS's fields, and can tell approval from other updates."""
    sqs, events = cloud.client("sqs"), cloud.client("events")
    url = sqs.create_queue(QueueName=group)["QueueUrl"]
    queue = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = {
        "source": ["aws.sagemaker"],
        "detail-type": ["SageMaker Model Package State Change"],
        "detail": {
            "ModelPackageGroupName": [group], "ModelApprovalStatus": ["Approved"],
            "UpdatedModelPackageFields": ["ModelApprovalStatus"],
        },
    }  # fmt: skip
    events.put_rule(Name=group, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=group, Targets=[{"Id": "q", "Arn": queue}])
    arn = register(sagemaker, group, CustomerMetadataProperties={"version": "V1.0.0"})
    sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved", ApprovalDescription="yes")
    sagemaker.update_model_package(ModelPackageArn=arn, CustomerMetadataProperties={"deployed": "yes"})

    received: list[dict[str, Any]] = []
    end = time.monotonic() + 5
    while not received and time.monotonic() < end:
        received += [
            json.loads(m["Body"]) for m in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        ]
    time.sleep(0.3)
    received += [
        json.loads(m["Body"]) for m in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
    ]
    assert len(received) == 1
    event = received[0]
    assert (event["account"], event["region"], event["resources"]) == (TOOLING, REGION, [arn])
    detail = event["detail"]
    assert detail["ModelPackageArn"] == arn
    assert detail["ModelPackageVersion"] == 1
    assert detail["ModelPackageStatus"] == "Completed"
    assert detail["ApprovalDescription"] == "yes"
    assert detail["UpdatedModelPackageFields"] == ["ModelApprovalStatus", "ApprovalDescription"]
    assert detail["CustomerMetadataProperties"] == {"version": "V1.0.0"}
    assert detail["CreationTime"].endswith("Z")


def test_another_account_sees_a_package_only_by_the_groups_policy(
    cloud: LocalCloud, sagemaker: Any, group: str
) -> None:
    """Protects: staging can use what tooling shares with it, and production cannot until it is shared too."""
    arn = register(sagemaker, group)
    staging, production = cloud.client("sagemaker", STAGING), cloud.client("sagemaker", PRODUCTION)
    code, message = refused(staging.describe_model_package, ModelPackageName=arn)
    assert code == "AccessDeniedException"
    assert "sagemaker:DescribeModelPackage" in message
    assert refused(sagemaker.get_model_package_group_policy, ModelPackageGroupName=group) == (
        "ValidationException", f"Cannot find resource policy for: {ARN}:model-package-group/{group}",
    )  # fmt: skip
    assert refused(
        sagemaker.put_model_package_group_policy, ModelPackageGroupName=group, ResourcePolicy="{}"
    )[0] == "ValidationException"  # fmt: skip
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "Use", "Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{STAGING}:root"},
                "Action": ["sagemaker:DescribeModelPackage", "sagemaker:ListModelPackages", "sagemaker:CreateModel"],
                "Resource": [f"{ARN}:model-package-group/{group}", f"{ARN}:model-package/{group}/*"],
            }
        ],
    }  # fmt: skip
    sagemaker.put_model_package_group_policy(ModelPackageGroupName=group, ResourcePolicy=json.dumps(policy))
    assert staging.describe_model_package(ModelPackageName=arn)["ModelPackageVersion"] == 1
    listed = staging.list_model_packages(ModelPackageGroupName=f"{ARN}:model-package-group/{group}")
    assert [item["ModelPackageArn"] for item in listed["ModelPackageSummaryList"]] == [arn]
    assert refused(staging.update_model_package, ModelPackageArn=arn, ModelApprovalStatus="Approved")[0] == (
        "AccessDeniedException"
    )
    assert refused(production.describe_model_package, ModelPackageName=arn)[0] == "AccessDeniedException"

    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
    iam = cloud.client("iam", STAGING)
    role = iam.create_role(RoleName=group, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    model = {"ModelName": group, "ExecutionRoleArn": role, "PrimaryContainer": {"ModelPackageName": arn}}
    code, message = refused(staging.create_model, **model)
    assert code == "ValidationException"
    assert "PendingManualApproval" in message
    sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")
    assert staging.create_model(**model)["ModelArn"] == f"arn:aws:sagemaker:{REGION}:{STAGING}:model/{group}"
    assert staging.describe_model(ModelName=group)["PrimaryContainer"] == {"ModelPackageName": arn}

    sagemaker.delete_model_package_group_policy(ModelPackageGroupName=group)
    assert refused(staging.describe_model_package, ModelPackageName=arn)[0] == "AccessDeniedException"


def test_versions_survive_a_power_cut(own_cloud: LocalCloud) -> None:
    """Protects: what was registered is there after kill -9, and numbering goes on where it was."""
    sagemaker = own_cloud.client("sagemaker")
    sagemaker.create_model_package_group(ModelPackageGroupName="kept")
    register(sagemaker, "kept")
    own_cloud.kill()
    own_cloud.start()
    assert sagemaker.describe_model_package(ModelPackageName=f"{ARN}:model-package/kept/1")["ModelPackageVersion"] == 1
    assert register(sagemaker, "kept").endswith("/2")
