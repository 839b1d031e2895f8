"""CloudTrail's events on EventBridge: sent while a trail logs, of AWS's shape, with who called and what was asked."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.localcloud.conftest import REGION, STAGING, LocalCloud
from tests.localcloud.sagemaker_support import unique, wait

DETAIL_TYPE = "AWS API Call via CloudTrail"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"AWS": STAGING}, "Action": "sts:AssumeRole"}],
}


@pytest.fixture
def calls(cloud: LocalCloud) -> Callable[[], list[dict[str, Any]]]:
    """Catches the events of an account in which no other test works."""
    events, sqs = cloud.client("events", STAGING), cloud.client("sqs", STAGING)
    name = unique("calls")
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_rule(Name=name, EventPattern=json.dumps({"detail-type": [DETAIL_TYPE], "source": ["aws.sagemaker"]}))
    events.put_targets(Rule=name, Targets=[{"Id": "1", "Arn": arn}])
    caught: list[dict[str, Any]] = []

    def read() -> list[dict[str, Any]]:
        for message in sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", []):
            caught.append(json.loads(message["Body"]))
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        return caught

    return read


@pytest.fixture
def trail(cloud: LocalCloud) -> Any:
    """A trail that logs, in all regions; removed at the end."""
    client, name = cloud.client("cloudtrail", STAGING), unique("trail")
    client.create_trail(Name=name, S3BucketName="logs", IsMultiRegionTrail=True)
    client.start_logging(Name=name)
    yield name
    client.delete_trail(Name=name)


def group(cloud: LocalCloud, name: str, **keys: str) -> None:
    """A cheap call that changes something."""
    cloud.client("sagemaker", STAGING, **keys).create_model_package_group(
        ModelPackageGroupName=name, Tags=[{"Key": "Project", "Value": "p"}]
    )


def test_a_call_of_a_role_is_told_as_cloudtrail_writes_it(cloud: LocalCloud, calls: Any, trail: str) -> None:
    """Protects every rule on API calls: the members that AWS documents, with AWS's names."""
    role = unique("visitor")
    role_id = cloud.client("iam", STAGING).create_role(RoleName=role, AssumeRolePolicyDocument=json.dumps(TRUST))[
        "Role"
    ]["RoleId"]
    session = cloud.client("sts", STAGING).assume_role(
        RoleArn=f"arn:aws:iam::{STAGING}:role/{role}", RoleSessionName="ann"
    )["Credentials"]
    keys = {"access_key": session["AccessKeyId"], "secret_key": session["SecretAccessKey"]}
    name = unique("told")
    group(cloud, name, **keys, token=session["SessionToken"])
    (event,) = wait(calls, what="the event")
    assert event["detail-type"] == DETAIL_TYPE
    assert (event["source"], event["account"], event["region"]) == ("aws.sagemaker", STAGING, REGION)
    detail = event["detail"]
    assert detail["eventSource"] == "sagemaker.amazonaws.com"
    assert detail["eventName"] == "CreateModelPackageGroup"
    assert (detail["eventType"], detail["readOnly"], detail["eventCategory"]) == ("AwsApiCall", False, "Management")
    assert (detail["awsRegion"], detail["recipientAccountId"]) == (REGION, STAGING)
    assert detail["requestParameters"] == {"modelPackageGroupName": name, "tags": [{"key": "Project", "value": "p"}]}
    arn = f"arn:aws:sagemaker:{REGION}:{STAGING}:model-package-group/{name}"
    assert detail["responseElements"] == {"modelPackageGroupArn": arn}
    assert "Boto3" in detail["userAgent"]
    assert detail["eventID"] != detail["requestID"]
    identity = detail["userIdentity"]
    assert identity["type"] == "AssumedRole"
    assert identity["principalId"] == f"{role_id}:ann"
    assert identity["arn"] == f"arn:aws:sts::{STAGING}:assumed-role/{role}/ann"
    assert identity["accessKeyId"] == session["AccessKeyId"]
    issuer = identity["sessionContext"]["sessionIssuer"]
    assert (issuer["userName"], issuer["arn"]) == (role, f"arn:aws:iam::{STAGING}:role/{role}")


def test_a_refused_call_is_told_with_its_error_and_a_reading_one_not_at_all(
    cloud: LocalCloud, calls: Any, trail: str
) -> None:
    """Protects rules that count refusals, and those that would drown in reads."""
    sagemaker, name = cloud.client("sagemaker", STAGING), unique("twice")
    group(cloud, name)
    sagemaker.describe_model_package_group(ModelPackageGroupName=name)
    with pytest.raises(ClientError):
        group(cloud, name)
    found = wait(lambda: calls() if len(calls()) > 1 else None, what="both events")
    assert [event["detail"]["eventName"] for event in found] == ["CreateModelPackageGroup"] * 2
    refused = next(event["detail"] for event in found if "errorCode" in event["detail"])
    assert refused["errorCode"] == "ValidationException"
    assert refused["responseElements"] is None
    assert refused["userIdentity"]["type"] == "Root"


def test_nothing_is_told_while_no_trail_logs(cloud: LocalCloud, calls: Any, trail: str) -> None:
    """Protects the conclusion that a rule works: on AWS no trail means no event."""
    client = cloud.client("cloudtrail", STAGING)
    client.stop_logging(Name=trail)
    group(cloud, unique("unseen"))
    client.start_logging(Name=trail)
    reads = {"ReadWriteType": "ReadOnly", "IncludeManagementEvents": True}
    client.put_event_selectors(TrailName=trail, EventSelectors=[reads])
    group(cloud, unique("unseen"))
    advanced = {
        "FieldSelectors": [{"Field": "eventCategory", "Equals": ["Management"]}],
        "Name": "management",
    }
    client.put_event_selectors(TrailName=trail, AdvancedEventSelectors=[advanced])
    seen = unique("seen")
    group(cloud, seen)
    wait(calls, what="the event")
    time.sleep(0.5)
    assert [event["detail"]["requestParameters"]["modelPackageGroupName"] for event in calls()] == [seen]
