"""Whose is this job: an event as CloudTrail sends it, from the rule to the tag."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from slipway.functions import job_tags
from tests.localcloud.conftest import REGION, TOOLING
from tests.studio.conftest import NAMESPACE, Account

TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
)


def call(operation: str, arn: str, **more: Any) -> dict[str, Any]:
    """CloudTrail's record of a call (CloudTrail User Guide, record contents; SageMaker Developer Guide, entries)."""
    role = f"arn:aws:iam::{TOOLING}:role/{NAMESPACE}-studio"
    context: dict[str, Any] = {
        "sessionIssuer": {"type": "Role", "arn": role, "accountId": TOOLING, "userName": f"{NAMESPACE}-studio"}
    }
    if "source" in more:
        context["sourceIdentity"] = more["source"]
    return {
        "eventVersion": "1.11",
        "userIdentity": {
            "type": "AssumedRole",
            "principalId": "AROA:SageMaker",
            "arn": f"arn:aws:sts::{TOOLING}:assumed-role/{NAMESPACE}-studio/{more.get('session', 'SageMaker')}",
            "accountId": TOOLING,
            "sessionContext": context,
        },
        "eventTime": "2026-11-20T10:00:00Z",
        "eventSource": "sagemaker.amazonaws.com",
        "eventName": operation,
        "awsRegion": REGION,
        "requestParameters": more.get("request", {}),
        "responseElements": {"modelArn": arn},
        "eventType": "AwsApiCall",
        "recipientAccountId": TOOLING,
    }


@pytest.fixture(scope="module")
def tagging(account: Account) -> Iterator[Account]:
    sagemaker = account.client("sagemaker")
    domain = sagemaker.create_domain(
        DomainName="tagging", AuthMode="IAM", VpcId=account.vpc, SubnetIds=account.subnets,
        DefaultUserSettings={"ExecutionRole": f"arn:aws:iam::{TOOLING}:role/{NAMESPACE}-studio"},
        HomeEfsFileSystemCreation="Disabled",
    )["DomainId"]  # fmt: skip
    tags = [{"Key": "Project", "Value": "flight-delays"}, {"Key": "CostCenter", "Value": "cc-7"}]
    sagemaker.create_user_profile(DomainId=domain, UserProfileName="ada", Tags=tags)
    account.client("iam").create_role(
        RoleName=f"{NAMESPACE}-churn-execution", AssumeRolePolicyDocument=TRUST,
        Tags=[{"Key": "Project", "Value": "churn"}, {"Key": "CostCenter", "Value": "cc-9"},
              {"Key": "Namespace", "Value": NAMESPACE}],
    )  # fmt: skip
    account.publish("studio/domain-id", domain)
    account.deploy("tagging")
    yield account
    account.delete("tagging")
    account.client("iam").delete_role(RoleName=f"{NAMESPACE}-churn-execution")
    sagemaker.delete_user_profile(DomainId=domain, UserProfileName="ada")
    sagemaker.delete_domain(DomainId=domain)


def model(account: Account, **tags: str) -> str:
    """A model's ARN: something that costs when it is deployed, and needs nothing to exist."""
    made = account.client("sagemaker").create_model(
        ModelName=f"m-{uuid.uuid4().hex[:8]}",
        ExecutionRoleArn=f"arn:aws:iam::{TOOLING}:role/{NAMESPACE}-churn-execution",
        PrimaryContainer={"Image": f"763104351884.dkr.ecr.{REGION}.amazonaws.com/pytorch-inference:2.6.0-cpu-py312"},
        Tags=[{"Key": name, "Value": value} for name, value in tags.items()],
    )
    return str(made["ModelArn"])


def tags_of(account: Account, arn: str) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in account.client("sagemaker").list_tags(ResourceArn=arn)["Tags"]}


def invoke(account: Account, record: dict[str, Any]) -> dict[str, str]:
    """What the deployed function does with the event that the rule passes it."""
    event = {"source": "aws.sagemaker", "detail-type": "AWS API Call via CloudTrail", "detail": record}
    answer = account.client("lambda").invoke(FunctionName=f"{NAMESPACE}-job-tags", Payload=json.dumps(event).encode())
    payload = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, payload
    return dict(payload)


def test_a_notebooks_user_is_charged_for_what_the_notebook_starts(tagging: Account) -> None:
    """Protects: project and cost centre of the user's profile, and the user, are on what the session created."""
    arn = model(tagging)
    given = invoke(tagging, call("CreateModel", arn, source="ada"))
    assert given == {"Project": "flight-delays", "CostCenter": "cc-7", "User": "ada"}
    assert given.items() <= tags_of(tagging, arn).items()


def test_the_role_of_a_job_says_whose_it_is_where_no_user_does(tagging: Account) -> None:
    """Protects: a job that a pipeline or a person outside Studio starts is charged to the project of its role."""
    arn = model(tagging)
    role = {"roleArn": f"arn:aws:iam::{TOOLING}:role/{NAMESPACE}-churn-execution"}
    invoke(tagging, call("CreateTrainingJob", arn, session="grace@example.com", request=role))
    assert tags_of(tagging, arn) == {
        "Namespace": NAMESPACE, "Project": "churn", "CostCenter": "cc-9", "User": "grace@example.com",
    }  # fmt: skip


def test_a_tag_that_is_there_is_never_changed(tagging: Account) -> None:
    """Protects: what a pipeline said about its own job stands; running twice gives the same."""
    arn = model(tagging, Project="fraud", CostCenter="cc-1")
    record = call("CreateModel", arn, source="ada")
    assert invoke(tagging, record) == {"User": "ada"}
    assert invoke(tagging, record) == {}
    assert tags_of(tagging, arn)["Project"] == "fraud"


def test_a_failed_call_created_nothing(tagging: Account) -> None:
    """Protects: no tag and no error for a call that was refused, or for what is gone already."""
    refused = {**call("CreateModel", model(tagging)), "errorCode": "AccessDenied", "responseElements": None}
    assert invoke(tagging, refused) == {}
    gone = f"arn:aws:sagemaker:{REGION}:{TOOLING}:model/no-such-model"
    assert invoke(tagging, call("CreateModel", gone)) == {}


def test_a_session_of_a_service_is_named_by_its_role() -> None:
    """Protects: `User` names somebody who can be asked: a person, or the role that a service acted with."""
    arn = f"arn:aws:sagemaker:{REGION}:{TOOLING}:model/m"
    assert job_tags.user(call("CreateModel", arn, session="SageMaker")) == f"{NAMESPACE}-studio"
    assert job_tags.user(call("CreateModel", arn, session="AWSCodeBuild-1234")) == f"{NAMESPACE}-studio"
    assert job_tags.user(call("CreateModel", arn, session="a,b")) == "a-b"
    assert job_tags.user({"userIdentity": {"type": "Root", "arn": f"arn:aws:iam::{TOOLING}:root"}}) == "root"


def test_the_rule_knows_cloudtrails_event(tagging: Account) -> None:
    """Protects: the pattern takes the event that CloudTrail sends, and none of a call that failed."""
    events, arn = tagging.client("events"), f"arn:aws:sagemaker:{REGION}:{TOOLING}:model/m"
    pattern = events.describe_rule(Name=f"{NAMESPACE}-job-tags")["EventPattern"]
    event = {
        "version": "0", "id": str(uuid.uuid4()), "detail-type": "AWS API Call via CloudTrail",
        "source": "aws.sagemaker", "account": TOOLING, "time": "2026-11-20T10:00:00Z", "region": REGION,
        "resources": [], "detail": call("CreateTrainingJob", arn),
    }  # fmt: skip
    matches = [
        events.test_event_pattern(EventPattern=pattern, Event=json.dumps(event | {"detail": detail}))["Result"]
        for detail in (
            call("CreateTrainingJob", arn),
            {**call("CreateTrainingJob", arn), "errorCode": "AccessDenied"},
            call("DescribeTrainingJob", arn),
        )
    ]
    assert matches == [True, False, False]
