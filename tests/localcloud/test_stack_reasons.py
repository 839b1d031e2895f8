"""Why a stack failed is told soon and in words, also where ministack alone would wait or say nothing."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from localcloud.core.base.told import readable
from tests.localcloud.conftest import TOOLING, LocalCloud


def _ended(cloudformation: Any, name: str, seconds: float) -> str:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        status = str(cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"])
        if not status.endswith("_IN_PROGRESS"):
            return status
        time.sleep(0.1)
    raise AssertionError(f"{name} does not end")


def _failures(cloudformation: Any, name: str) -> dict[str, dict[str, Any]]:
    events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    return {event["LogicalResourceId"]: event for event in events if event["ResourceStatus"] == "CREATE_FAILED"}


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("def handler(event, context):\n    raise RuntimeError('no such table')\n", "no such table"),
        ("def handler(event, context:\n", "was never closed"),
    ],
    ids=["raises", "cannot be loaded"],
)
def test_a_custom_resource_whose_function_fails_does_not_wait_for_an_hour(
    cloud: LocalCloud, code: str, expected: str
) -> None:
    """Protects whoever launches a product: the stack fails with the function's error, not after 3,600 s."""
    name = f"custom-{abs(hash(code)) % 10**8}"
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
    template = {
        "Resources": {
            "Role": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": trust}},
            "Function": {
                "Type": "AWS::Lambda::Function",
                "Properties": {
                    "FunctionName": name, "Runtime": "python3.11", "Handler": "index.handler",
                    "Role": {"Fn::GetAtt": ["Role", "Arn"]}, "Code": {"ZipFile": code},
                },
            },
            "Asked": {"Type": "Custom::Asked", "Properties": {"ServiceToken": {"Fn::GetAtt": ["Function", "Arn"]}}},
        }
    }  # fmt: skip
    cloudformation = cloud.client("cloudformation")
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(template), Capabilities=["CAPABILITY_IAM"])
    assert _ended(cloudformation, name, 60) == "ROLLBACK_COMPLETE"
    reason = _failures(cloudformation, name)["Asked"]["ResourceStatusReason"]
    assert f"Function {name} ended without an answer" in reason
    assert expected in reason


def test_a_nested_stack_that_fails_is_named_and_says_why(cloud: LocalCloud) -> None:
    """Protects those who look for the cause: the parent's event leads to the nested stack, which says it."""
    s3, cloudformation = cloud.client("s3"), cloud.client("cloudformation")
    bucket, name = f"reasons-{TOOLING}", "reasons-parent"
    cloud.client("ssm").put_parameter(Name="/reasons/taken", Value="x", Type="String")
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    parameter = {
        "Type": "AWS::SSM::Parameter",
        "Properties": {"Name": "/reasons/taken", "Type": "String", "Value": "y"},
    }
    s3.put_object(Bucket=bucket, Key="nested.json", Body=json.dumps({"Resources": {"Taken": parameter}}).encode())
    url = f"https://{bucket}.s3.eu-west-1.amazonaws.com/nested.json"
    nested = {"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": url}}
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps({"Resources": {"Nested": nested}}))
    assert _ended(cloudformation, name, 30) == "ROLLBACK_COMPLETE"
    child = _failures(cloudformation, name)["Nested"]["PhysicalResourceId"]
    assert ":stack/reasons-parent-Nested-" in child
    reason = _failures(cloudformation, child)["Taken"]["ResourceStatusReason"]
    assert reason.startswith('Resource handler returned message: "The parameter already exists.')
    assert "Error Code: ParameterAlreadyExists" in reason
    assert reason.endswith("HandlerErrorCode: AlreadyExists)")


def test_what_is_no_refusal_stays_as_it_is() -> None:
    """Protects other reasons from being mangled."""
    for reason in ("", "Resource creation cancelled", "AWS::SSM::Parameter create failed: b'not json'"):
        assert readable(reason) == reason
