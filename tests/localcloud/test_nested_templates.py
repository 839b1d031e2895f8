"""A template that nests a type that is not served: refused before anything is made, wherever it stands."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.localcloud.conftest import LocalCloud
from tests.localcloud.test_account_types import reasons, settled

UNSERVED = "AWS::QuickSight::DataSet"
Resources = dict[str, Any]


def parameter(value: Any) -> Resources:
    return {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": value}}


def nested(url: Any, **given: Any) -> Resources:
    return {"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": url, "Parameters": given}}


class Templates:
    """A bucket of templates, and the stacks of a test."""

    def __init__(self, cloud: LocalCloud) -> None:
        self.cloudformation, self.s3 = cloud.client("cloudformation"), cloud.client("s3")
        self.ssm, self.iam = cloud.client("ssm"), cloud.client("iam")
        self.bucket, self.stack = f"templates-{uuid.uuid4().hex[:8]}", f"outer-{uuid.uuid4().hex[:8]}"
        self.s3.create_bucket(Bucket=self.bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})

    def put(self, key: str, resources: Resources, **sections: Any) -> str:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=json.dumps({"Resources": resources, **sections}))
        return f"https://{self.bucket}.s3.eu-west-1.amazonaws.com/{key}"

    def names(self) -> set[str]:
        return {
            stack["StackName"]
            for page in self.cloudformation.get_paginator("list_stacks").paginate()
            for stack in page["StackSummaries"]
            if stack["StackName"].startswith(self.stack)
        }

    def parameters(self) -> set[str]:
        pages = self.ssm.get_paginator("describe_parameters").paginate()
        return {found["Name"] for page in pages for found in page["Parameters"] if self.stack in found["Name"]}

    def refused(self, call: Any, resources: Resources, values: dict[str, str], **sections: Any) -> str:
        given = [{"ParameterKey": key, "ParameterValue": value} for key, value in values.items()]
        with pytest.raises(ClientError) as refusal:
            call(StackName=self.stack, TemplateBody=json.dumps({"Resources": resources, **sections}), Parameters=given)
        assert refusal.value.response["Error"]["Code"] == "ValidationError"
        return str(refusal.value.response["Error"]["Message"])


@pytest.fixture
def templates(cloud: LocalCloud) -> Templates:
    return Templates(cloud)


def deep(templates: Templates) -> tuple[Resources, dict[str, Any], dict[str, str]]:
    """(resources, sections, parameters) of a template whose grandchild has an unserved type where Kind is "bad".

    The URLs are composed of parameters, a mapping, a condition and a pseudo-parameter; the condition of the resource
    depends on a parameter that is passed down twice.
    """
    conditional = {"Conditions": {"Bad": {"Fn::Equals": [{"Ref": "Kind"}, "bad"]}}}
    kind = {"Parameters": {"Kind": {"Type": "String"}}}
    grandchild = templates.put(
        "grandchild.json",
        {"Kept": parameter("x"), "Data": {"Type": UNSERVED, "Condition": "Bad", "Properties": {}}},
        **kind, **conditional,
    )  # fmt: skip
    location = "https://${Bucket}.s3.${AWS::Region}.amazonaws.com/child.json"
    templates.put("child.json", {"First": parameter("y"), "Dns": nested(grandchild, Kind={"Ref": "Kind"})}, **kind)
    resources = {
        "Before": parameter("z"),
        "Network": nested(
            {"Fn::If": ["Bad", {"Fn::Sub": location}, {"Fn::Join": ["", ["https://", {"Ref": "Bucket"}, {
                "Fn::FindInMap": ["Places", "s3", "Path"]}]]}]}, Kind={"Ref": "Kind"},
        ),
    }  # fmt: skip
    sections = {
        "Parameters": {"Kind": {"Type": "String"}, "Bucket": {"Type": "String"}},
        "Mappings": {"Places": {"s3": {"Path": ".s3.eu-west-1.amazonaws.com/child.json"}}},
        **conditional,
    }
    return resources, sections, {"Bucket": templates.bucket}


def test_nothing_is_made_where_a_nested_template_has_an_unserved_type(templates: Templates) -> None:
    """CreateStack: no stack, no event, no resource; the message says where the type stands."""
    resources, sections, values = deep(templates)
    said = templates.refused(templates.cloudformation.create_stack, resources, {**values, "Kind": "bad"}, **sections)
    assert f"Unrecognized resource types: [{UNSERVED}]" in said
    assert f"resource Data of nested stack Network/Dns, template https://{templates.bucket}.s3." in said
    assert templates.names() == set() == templates.parameters()
    with pytest.raises(ClientError, match="does not exist"):
        templates.cloudformation.describe_stack_events(StackName=templates.stack)


def test_a_change_set_with_such_a_template_leaves_no_stack(templates: Templates) -> None:
    """CreateChangeSet of a new stack: refused, without a stack in REVIEW_IN_PROGRESS."""
    resources, sections, values = deep(templates)

    def call(**request: Any) -> Any:
        return templates.cloudformation.create_change_set(ChangeSetName="first", ChangeSetType="CREATE", **request)

    said = templates.refused(call, resources, {**values, "Kind": "bad"}, **sections)
    assert "of nested stack Network/Dns" in said
    assert UNSERVED in said
    assert templates.names() == set() == templates.parameters()


def test_an_update_to_such_a_template_changes_nothing(templates: Templates) -> None:
    """UpdateStack and a change set: refused, without an event; with the condition false the same template is served."""
    resources, sections, values = deep(templates)
    given = [{"ParameterKey": key, "ParameterValue": value} for key, value in {**values, "Kind": "good"}.items()]
    body = {"Resources": resources, **sections}
    templates.cloudformation.create_stack(StackName=templates.stack, TemplateBody=json.dumps(body), Parameters=given)
    stack = settled(templates.cloudformation, templates.stack)
    assert stack["StackStatus"] == "CREATE_COMPLETE", reasons(templates.cloudformation, templates.stack)
    stacks, parameters = templates.names(), templates.parameters()
    assert len(stacks) == len(parameters) == 3

    def events() -> int:
        return len(templates.cloudformation.describe_stack_events(StackName=templates.stack)["StackEvents"])

    def change_set(**request: Any) -> Any:
        return templates.cloudformation.create_change_set(ChangeSetName="second", ChangeSetType="UPDATE", **request)

    before = events()
    for call in (templates.cloudformation.update_stack, change_set):
        said = templates.refused(call, {**resources, "New": parameter("n")}, {**values, "Kind": "bad"}, **sections)
        assert "of nested stack Network/Dns" in said
        assert UNSERVED in said
    assert events() == before
    assert templates.names() == stacks
    assert templates.parameters() == parameters
    stack = templates.cloudformation.describe_stacks(StackName=templates.stack)["Stacks"][0]
    assert stack["StackStatus"] == "CREATE_COMPLETE"


def test_what_is_not_known_before_is_refused_before_its_own_stack_begins(templates: Templates) -> None:
    """A parameter that is another resource's attribute: the nested stack is refused then, and nothing of it is made."""
    url = templates.put(
        "late.json",
        {"Kept": parameter("x"), "Data": {"Type": UNSERVED, "Condition": "Bad", "Properties": {}}},
        Parameters={"Kind": {"Type": "String"}},
        Conditions={"Bad": {"Fn::Equals": [{"Ref": "Kind"}, "bad"]}},
    )
    resources = {"Says": parameter("bad"), "Late": nested(url, Kind={"Fn::GetAtt": ["Says", "Value"]})}
    templates.cloudformation.create_stack(StackName=templates.stack, TemplateBody=json.dumps({"Resources": resources}))
    assert settled(templates.cloudformation, templates.stack)["StackStatus"] == "ROLLBACK_COMPLETE"
    said = reasons(templates.cloudformation, templates.stack)
    assert f"[{UNSERVED}] (resource Data of nested stack Late, template {url})" in said
    assert templates.names() == {templates.stack}
    assert templates.parameters() == set()


def test_a_nested_template_that_cannot_be_read_fails_at_its_creation(templates: Templates) -> None:
    """The check refuses types alone: a missing object is no reason to refuse, and is told by the resource's event."""
    url = f"https://{templates.bucket}.s3.eu-west-1.amazonaws.com/missing.json"
    templates.cloudformation.create_stack(
        StackName=templates.stack, TemplateBody=json.dumps({"Resources": {"Gone": nested(url)}})
    )
    assert settled(templates.cloudformation, templates.stack)["StackStatus"] == "ROLLBACK_COMPLETE"
    assert "missing.json" in reasons(templates.cloudformation, templates.stack)


def test_a_condition_knows_the_account_and_the_region(cloud: LocalCloud, templates: Templates) -> None:
    """Protects templates that ask whether something is in their own account: in the first deployment, and nested."""
    same = {"Fn::Equals": [{"Ref": "Other"}, {"Ref": "AWS::AccountId"}]}
    there = {"Fn::And": [{"Condition": "Same"}, {"Fn::Equals": [{"Ref": "AWS::Region"}, "eu-west-1"]}]}
    inner: Resources = {
        "Here": {**parameter("x"), "Condition": "SameAndHere"},
        "Always": {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": "y"}},
    }
    sections = {"Parameters": {"Other": {"Type": "String"}}, "Conditions": {"Same": same, "SameAndHere": there}}
    url = templates.put("inner.json", inner, **sections)
    outer = {"Inner": nested(url, Other={"Ref": "Other"})}
    body = json.dumps({"Resources": outer, "Parameters": {"Other": {"Type": "String"}}})
    for other, expected in (("222222222222", {"Always"}), ("111111111111", {"Always", "Here"})):
        call = templates.cloudformation.create_stack if other[0] == "2" else templates.cloudformation.update_stack
        call(
            StackName=templates.stack, TemplateBody=body,
            Parameters=[{"ParameterKey": "Other", "ParameterValue": other}],
        )  # fmt: skip
        settled(templates.cloudformation, templates.stack)
        (name,) = templates.names() - {templates.stack}
        found = templates.cloudformation.describe_stack_resources(StackName=name)["StackResources"]
        assert {one["LogicalResourceId"] for one in found} == expected


def test_a_name_that_is_taken_is_refused_and_stays_with_whom_has_it(templates: Templates) -> None:
    """Protects what another stack made: IAM refuses a second role or policy of a name, and a rollback leaves the first.

    The nested stack in which it happened goes with its parent's rollback.
    """
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}
    role, policy = f"{templates.stack}-role", f"{templates.stack}-policy"
    kinds: dict[str, Resources] = {
        "Role": {"Type": "AWS::IAM::Role", "Properties": {"RoleName": role, "AssumeRolePolicyDocument": trust}},
        "Policy": {
            "Type": "AWS::IAM::ManagedPolicy",
            "Properties": {"ManagedPolicyName": policy, "PolicyDocument": document},
        },
    }
    cloudformation, first = templates.cloudformation, f"{templates.stack}-first"
    capable = {"Capabilities": ["CAPABILITY_NAMED_IAM"]}
    cloudformation.create_stack(StackName=first, TemplateBody=json.dumps({"Resources": kinds}), **capable)
    assert settled(cloudformation, first)["StackStatus"] == "CREATE_COMPLETE"
    for name, resource in kinds.items():
        second = f"{templates.stack}-{name.lower()}"
        body = {"Resources": {"Inner": nested(templates.put(f"{name}.json", {name: resource}))}}
        cloudformation.create_stack(StackName=second, TemplateBody=json.dumps(body), **capable)
        assert settled(cloudformation, second)["StackStatus"] == "ROLLBACK_COMPLETE"
        events = cloudformation.describe_stack_events(StackName=second)["StackEvents"]
        inner = next(event["PhysicalResourceId"] for event in events if event["ResourceStatus"] == "CREATE_FAILED")
        assert "already exists" in reasons(cloudformation, inner)
        standing = {stack["StackName"] for stack in cloudformation.describe_stacks()["Stacks"]}
        assert {found for found in standing if found.startswith(second)} == {second}
        cloudformation.delete_stack(StackName=second)
    templates.iam.get_role(RoleName=role)
    assert any(found["PolicyName"] == policy for found in templates.iam.list_policies(Scope="Local")["Policies"])
    cloudformation.delete_stack(StackName=first)
