"""SNS by e-mail: nobody is told anything before they agree, and what they are told can be read."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.localcloud.conftest import LocalCloud
from tests.localcloud.inbox import follow, mails, text

STAGING = "222222222222"


def topic(sns: Any) -> str:
    return str(sns.create_topic(Name=f"t-{uuid.uuid4().hex[:8]}")["TopicArn"])


def address() -> str:
    return f"{uuid.uuid4().hex[:8]}@example.com"


def listed(sns: Any, arn: str) -> list[str]:
    return [found["SubscriptionArn"] for found in sns.list_subscriptions_by_topic(TopicArn=arn)["Subscriptions"]]


def only(event: str) -> dict[str, str]:
    return {"FilterPolicyScope": "MessageBody", "FilterPolicy": json.dumps({"event": [event]})}


def test_who_agreed_is_told_what_the_filter_lets_through_until_they_leave(cloud: LocalCloud) -> None:
    """Protects: consent first, the filter, the link out; also in another account than the first, and after kill -9."""
    sns, who = cloud.client("sns", STAGING), address()
    arn = topic(sns)
    given = {"TopicArn": arn, "Protocol": "email", "Endpoint": who, "Attributes": only("failed")}
    assert sns.subscribe(**given)["SubscriptionArn"] == "pending confirmation"
    kept = sns.subscribe(**given, ReturnSubscriptionArn=True)["SubscriptionArn"]
    assert sns.get_subscription_attributes(SubscriptionArn=kept)["Attributes"]["PendingConfirmation"] == "true"
    assert listed(sns, arn) == ["PendingConfirmation"]
    sns.publish(TopicArn=arn, Message='{"event": "failed"}')
    asked = mails(cloud.home, who)
    assert [mail["Subject"] for mail in asked] == ["AWS Notification - Subscription Confirmation"] * 2
    follow(asked[0])
    cloud.kill()
    cloud.start()
    assert listed(sns, arn) == [kept]
    for event in ("failed", "released"):
        sns.publish(TopicArn=arn, Message=json.dumps({"event": event}), Subject="News")
    told = mails(cloud.home, who)[2:]
    assert [mail["Subject"] for mail in told] == ["News"]
    assert text(told[0]).startswith('{"event": "failed"}\n')
    follow(told[0])
    assert listed(sns, arn) == []
    sns.publish(TopicArn=arn, Message='{"event": "failed"}')
    assert len(mails(cloud.home, who)) == 3


def test_another_filter_for_an_address_and_no_address_are_refused(cloud: LocalCloud) -> None:
    """Protects: AWS changes no subscription by subscribing again; a mistake is told."""
    sns, who = cloud.client("sns"), address()
    arn = topic(sns)
    sns.subscribe(TopicArn=arn, Protocol="email", Endpoint=who, Attributes=only("failed"))
    with pytest.raises(ClientError, match="Subscription already exists with different attributes"):
        sns.subscribe(TopicArn=arn, Protocol="email", Endpoint=who, Attributes=only("released"))
    with pytest.raises(ClientError, match="Invalid parameter: Email address"):
        sns.subscribe(TopicArn=arn, Protocol="email", Endpoint="nobody")


def test_whom_a_stack_subscribes_is_asked_too(cloud: LocalCloud) -> None:
    """Protects: CloudFormation has its own way to a subscription."""
    who, name = address(), f"s-{uuid.uuid4().hex[:8]}"
    resource = {
        "Type": "AWS::SNS::Topic", "Properties": {"Subscription": [{"Protocol": "email", "Endpoint": who}]}
    }  # fmt: skip
    stacks = cloud.client("cloudformation")
    stacks.create_stack(StackName=name, TemplateBody=json.dumps({"Resources": {"Topic": resource}}))
    stacks.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    arn = stacks.describe_stack_resources(StackName=name)["StackResources"][0]["PhysicalResourceId"]
    assert listed(cloud.client("sns"), arn) == ["PendingConfirmation"]
    assert len(mails(cloud.home, who)) == 1
