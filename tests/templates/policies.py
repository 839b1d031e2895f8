"""Every policy document of a template, with what it is for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.templates.library import Template, branches, listed

# Where a resource keeps a policy of its own: type → property.
RESOURCE_POLICIES = {
    "AWS::KMS::Key": "KeyPolicy",
    "AWS::S3::BucketPolicy": "PolicyDocument",
    "AWS::SQS::QueuePolicy": "PolicyDocument",
    "AWS::SNS::TopicPolicy": "PolicyDocument",
    "AWS::EC2::VPCEndpoint": "PolicyDocument",
    "AWS::ECR::Repository": "RepositoryPolicyText",
    "AWS::CodeArtifact::Domain": "PermissionsPolicyDocument",
    "AWS::CodeArtifact::Repository": "PermissionsPolicyDocument",
    "AWS::SageMaker::ModelPackageGroup": "ModelPackageGroupPolicy",
}


@dataclass(frozen=True)
class Policy:
    """A policy document: `kind` is identity, trust or resource; `owner` the logical id of the resource that has it."""

    owner: str
    name: str
    kind: str
    document: dict[str, Any]

    @property
    def statements(self) -> list[dict[str, Any]]:
        """The statements, always as a list; of Fn::If every alternative."""
        return [found for item in listed(self.document["Statement"]) for found in _alternatives(item)]


def _alternatives(item: Any) -> Iterator[dict[str, Any]]:
    if set(item) == {"Fn::If"}:
        for alternative in item["Fn::If"][1:]:
            yield from _alternatives(alternative)
    elif item != {"Ref": "AWS::NoValue"}:
        yield item


def policies(template: Template) -> Iterator[Policy]:
    """Every policy of the template."""
    for owner, resource in template.resources.items():
        kind, properties = resource["Type"], resource.get("Properties", {})
        if kind == "AWS::IAM::Role":
            yield Policy(owner, "trust", "trust", properties["AssumeRolePolicyDocument"])
            for inline in properties.get("Policies", []):
                yield Policy(owner, inline["PolicyName"], "identity", inline["PolicyDocument"])
        elif kind in {"AWS::IAM::ManagedPolicy", "AWS::IAM::Policy", "AWS::IAM::RolePolicy"}:
            yield Policy(owner, owner, "identity", properties["PolicyDocument"])
        elif RESOURCE_POLICIES.get(kind) in properties:
            for document in branches(properties[RESOURCE_POLICIES[kind]]):
                yield Policy(owner, RESOURCE_POLICIES[kind], "resource", document)
        elif kind == "AWS::Logs::ResourcePolicy":  # which takes its document as text
            yield Policy(
                owner, "PolicyDocument", "resource", _substituted(json.loads(_text(properties["PolicyDocument"])))
            )


def _text(document: Any) -> str:
    return document["Fn::Sub"] if isinstance(document, dict) else str(document)


def _substituted(value: Any) -> Any:
    """A document whose text was put together by Fn::Sub, as if each text in it had been."""
    if isinstance(value, dict):
        return {key: _substituted(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_substituted(item) for item in value]
    return {"Fn::Sub": value} if isinstance(value, str) and "${" in value else value


def actions(statement: dict[str, Any]) -> list[str]:
    """The actions of a statement that are written out."""
    return [action for action in listed(statement.get("Action", [])) if isinstance(action, str)]


def condition_keys(statement: dict[str, Any]) -> set[str]:
    """The condition keys of a statement, those of every alternative of an Fn::If together."""
    return {key for test in statement.get("Condition", {}).values() for keys in branches(test) for key in keys}
