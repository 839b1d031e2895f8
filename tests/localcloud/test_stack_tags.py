"""A stack's tags reach its resources, with CloudFormation's own, at creation and at a change of the stack's tags."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.localcloud.conftest import TOOLING, LocalCloud
from tests.localcloud.test_account_types import deleted, reasons, settled

Read = Callable[[LocalCloud, dict[str, str]], Any]


def name() -> str:
    return f"tagged-{uuid.uuid4().hex[:8]}"


def of(service: str, operation: str, member: str, answer: str, value: str = "{Ref}") -> Read:
    """Reads the tags by an operation; `value` names the resource by what the stack puts out."""

    def read(cloud: LocalCloud, outputs: dict[str, str]) -> Any:
        return getattr(cloud.client(service), operation)(**{member: value.format(**outputs)})[answer]

    return read


def ec2(kind: str) -> Read:
    def read(cloud: LocalCloud, outputs: dict[str, str]) -> Any:
        return cloud.client("ec2").describe_tags(
            Filters=[{"Name": "resource-id", "Values": [outputs["Ref"]]}, {"Name": "resource-type", "Values": [kind]}]
        )["Tags"]

    return read


def portfolio(cloud: LocalCloud, outputs: dict[str, str]) -> Any:
    return cloud.client("servicecatalog").describe_portfolio(Id=outputs["Ref"])["Tags"]


def kept(kind: str) -> Read:
    def read(cloud: LocalCloud, outputs: dict[str, str]) -> Any:
        from localcloud.core.store import Store

        store = Store(cloud.home / "localcloud.sqlite")
        found = {key: document for _, _, key, document in store.table(f"kept.{kind}").all()}
        store.close()
        return found[outputs["Ref"]]["properties"]["Tags"]

    return read


def example(kind: str) -> tuple[dict[str, Any], Read, tuple[str, ...]]:
    """(properties, what reads the tags, further attributes to put out)."""
    own = name()
    return {
        "AWS::CodeCommit::Repository": (
            {"RepositoryName": own},
            of("codecommit", "list_tags_for_resource", "resourceArn", "tags", "{Arn}"), ("Arn",),
        ),
        "AWS::CodeArtifact::Domain": (
            {"DomainName": own}, of("codeartifact", "list_tags_for_resource", "resourceArn", "tags"), (),
        ),
        "AWS::ECR::Repository": (
            {"RepositoryName": own}, of("ecr", "list_tags_for_resource", "resourceArn", "tags", "{Arn}"), ("Arn",),
        ),
        "AWS::ServiceCatalog::Portfolio": ({"DisplayName": own, "ProviderName": "p"}, portfolio, ()),
        "AWS::SageMaker::ModelPackageGroup": (
            {"ModelPackageGroupName": own}, of("sagemaker", "list_tags", "ResourceArn", "Tags"), (),
        ),
        "AWS::SageMaker::CodeRepository": (
            {"CodeRepositoryName": own, "GitConfig": {"RepositoryUrl": "https://example.org/x.git"}},
            of("sagemaker", "list_tags", "ResourceArn", "Tags"), (),
        ),
        "AWS::EC2::DHCPOptions": ({"DomainName": "example.org"}, ec2("dhcp-options"), ()),
        "AWS::CloudWatch::CompositeAlarm": (
            {"AlarmName": own, "AlarmRule": "FALSE"},
            of("cloudwatch", "list_tags_for_resource", "ResourceARN", "Tags", "{Arn}"), ("Arn",),
        ),
        "AWS::Budgets::Budget": (
            {"Budget": {"BudgetName": own, "BudgetType": "COST", "TimeUnit": "MONTHLY",
                        "BudgetLimit": {"Amount": 1, "Unit": "USD"}}},
            of("budgets", "list_tags_for_resource", "ResourceARN", "ResourceTags",
               f"arn:aws:budgets::{TOOLING}:budget/{{Ref}}"), (),
        ),
        "AWS::SSM::Document": (
            {"Name": own, "Content": {"schemaVersion": "2.2", "mainSteps": []}}, kept("AWS::SSM::Document"), (),
        ),
        "AWS::RAM::ResourceShare": ({"Name": own}, kept("AWS::RAM::ResourceShare"), ()),
    }[kind]  # fmt: skip


def plain(tags: Any) -> dict[str, str]:
    """Key → value of tags in whichever form."""
    if isinstance(tags, dict):
        return tags
    return {tag.get("Key", tag.get("key")): tag.get("Value", tag.get("value")) for tag in tags}


SYSTEM = ("AWS::RAM::ResourceShare", "AWS::SageMaker::CodeRepository")  # the schemas of these have no system tags


@pytest.mark.parametrize(
    "kind",
    [
        "AWS::CodeCommit::Repository", "AWS::CodeArtifact::Domain", "AWS::ECR::Repository",
        "AWS::ServiceCatalog::Portfolio", "AWS::SageMaker::ModelPackageGroup", "AWS::SageMaker::CodeRepository",
        "AWS::EC2::DHCPOptions", "AWS::CloudWatch::CompositeAlarm", "AWS::Budgets::Budget", "AWS::SSM::Document",
        "AWS::RAM::ResourceShare",
    ],
)  # fmt: skip
def test_a_stacks_tags_reach_its_resources(cloud: LocalCloud, kind: str) -> None:
    """The template's tags win; a change of the stack's tags changes the resource in place, and removes what is gone."""
    cloudformation, stack = cloud.client("cloudformation"), name()
    properties, read, attributes = example(kind)
    member = "ResourceTags" if kind == "AWS::Budgets::Budget" else "Tags"
    properties = {**properties, member: [{"Key": "Own", "Value": "template"}, {"Key": "Both", "Value": "template"}]}
    outputs = {"Ref": {"Value": {"Ref": "Subject"}}}
    outputs |= {path: {"Value": {"Fn::GetAtt": ["Subject", path]}} for path in attributes}
    body = json.dumps({"Resources": {"Subject": {"Type": kind, "Properties": properties}}, "Outputs": outputs})

    def done(operation: Any, status: str, **tags: str) -> dict[str, str]:
        operation(
            StackName=stack, TemplateBody=body, Tags=[{"Key": key, "Value": value} for key, value in tags.items()]
        )
        ended = settled(cloudformation, stack)
        assert ended["StackStatus"] == status, reasons(cloudformation, stack)
        return {"Id": ended["StackId"], **{one["OutputKey"]: one["OutputValue"] for one in ended["Outputs"]}}

    made = done(cloudformation.create_stack, "CREATE_COMPLETE", Both="stack", Team="risk", Old="x")
    system = {
        "aws:cloudformation:stack-name": stack,
        "aws:cloudformation:stack-id": made["Id"],
        "aws:cloudformation:logical-id": "Subject",
    }
    expected = {"Own": "template", "Both": "template", **({} if kind in SYSTEM else system)}
    assert plain(read(cloud, made)) == {**expected, "Team": "risk", "Old": "x"}
    changed = done(cloudformation.update_stack, "UPDATE_COMPLETE", Both="stack", Team="fraud")
    assert changed["Ref"] == made["Ref"]
    assert plain(read(cloud, changed)) == {**expected, "Team": "fraud"}
    deleted(cloudformation, stack)


def test_a_callers_own_system_tags_are_refused(cloud: LocalCloud) -> None:
    """aws: is AWS's: that CloudFormation may set such tags does not let callers do so."""
    with pytest.raises(ClientError, match="aws:"):
        cloud.client("codecommit").create_repository(
            repositoryName=name(), tags={"aws:cloudformation:stack-name": "mine"}
        )
