"""Templates as the checks see them: parsed, with loops expanded, and with their intrinsic functions resolved."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDERS = ("cfn", "service-catalog")

# The longest value of everything that names are made of; the pattern of each parameter is checked against it.
LONGEST = {
    "Namespace": 10, "ProjectName": 24, "User": 37, "AWS::AccountId": 12, "AWS::Region": 14, "Environment": 10,
}  # fmt: skip

ACCOUNT, REGION = "123456789012", "eu-west-1"
PSEUDO = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::URLSuffix": "amazonaws.com",
    "AWS::StackName": "stack",
}


class Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short tags, in their long form."""


def _tag(loader: Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}": value}


Loader.add_multi_constructor("!", _tag)


@dataclass(frozen=True)
class Template:
    """A template, by its path (relative to the repository, or any name for a fixture) and its text."""

    name: str
    text: str

    @cached_property
    def body(self) -> dict[str, Any]:
        """The whole template."""
        return dict(yaml.load(self.text, Loader))

    @property
    def parameters(self) -> dict[str, dict[str, Any]]:
        """The Parameters section."""
        return dict(self.body.get("Parameters", {}))

    @cached_property
    def resources(self) -> dict[str, dict[str, Any]]:
        """The Resources section with loops expanded."""
        found: dict[str, dict[str, Any]] = {}
        for name, resource in self.body["Resources"].items():
            found.update(_expanded(name, resource, self.body.get("Mappings", {})))
        return found

    def of(self, *kinds: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Resources of these types, as (logical id, properties)."""
        for name, resource in self.resources.items():
            if resource["Type"] in kinds:
                yield name, resource.get("Properties", {})

    def argued(self, name: str, rule: str) -> bool:
        """True if the resource argues, in its own metadata, why the rule does not hold for it."""
        reason = self.resources[name].get("Metadata", {}).get("slipway", {}).get(rule, "")
        return len(str(reason).split()) >= 4

    def resolve(self, value: Any) -> Any:
        """A value with its intrinsic functions replaced by plausible values, for tools that read plain JSON."""
        return _resolve(value, self)


def _expanded(name: str, resource: Any, mappings: dict[str, Any]) -> dict[str, dict[str, Any]]:
    if not name.startswith("Fn::ForEach::"):
        return {name: resource}
    variable, values, fragment = resource
    found = {}
    for value in values:
        for pattern, body in fragment.items():
            found[pattern.replace(f"${{{variable}}}", value)] = _substituted(body, variable, value, mappings)
    return found


def _substituted(body: Any, variable: str, value: str, mappings: dict[str, Any]) -> Any:
    if isinstance(body, list):
        return [_substituted(item, variable, value, mappings) for item in body]
    if not isinstance(body, dict):
        return body
    if body == {"Ref": variable}:
        return value
    if set(body) == {"Fn::Sub"} and isinstance(body["Fn::Sub"], str):
        return {"Fn::Sub": body["Fn::Sub"].replace(f"${{{variable}}}", value)}
    changed = {key: _substituted(item, variable, value, mappings) for key, item in body.items()}
    if set(changed) == {"Fn::FindInMap"}:
        table, first, second = changed["Fn::FindInMap"]
        return mappings[table][first][second]
    return changed


def templates() -> list[Template]:
    """Every template of the repository."""
    paths = sorted(path for folder in FOLDERS for path in (REPOSITORY / folder).rglob("*.yaml"))
    return [Template(str(path.relative_to(REPOSITORY)), path.read_text(encoding="utf-8")) for path in paths]


def branches(value: Any) -> Iterator[Any]:
    """What a value may be: both sides of every Fn::If, lists taken apart, AWS::NoValue left out."""
    if isinstance(value, dict) and set(value) == {"Fn::If"}:
        for side in value["Fn::If"][1:]:
            yield from branches(side)
    elif isinstance(value, list):
        for item in value:
            yield from branches(item)
    elif value != {"Ref": "AWS::NoValue"}:
        yield value


def listed(value: Any) -> list[Any]:
    """A value as a list: IAM takes one or many."""
    return value if isinstance(value, list) else [value]


def substitutions(text: str) -> list[str]:
    """The names in the ${…} of an Fn::Sub, those of IAM's own variables (${!…}) left out."""
    return re.findall(r"\$\{([^!}][^}]*)\}", text)


# Types whose Ref is their ARN.
_REF_IS_ARN = {"AWS::IAM::ManagedPolicy", "AWS::SNS::Topic"}


def _named(name: str, template: Template) -> str:
    """A plausible value of a parameter or resource, by what its name or type says that it is."""
    if name in PSEUDO:
        return PSEUDO[name]
    resource = template.resources.get(name.split(".")[0])
    if resource is not None and (name.endswith("Arn") or resource["Type"] in _REF_IS_ARN):
        return _arn(resource["Type"], name.split(".")[0].lower())
    rules = (
        (r"KeyArn$", f"arn:aws:kms:{REGION}:{ACCOUNT}:key/0d9d6f2e-0000-4000-8000-000000000000"),
        (r"RoleArn$", f"arn:aws:iam::{ACCOUNT}:role/name"),
        (r"(Boundary|Policy)Arn$", f"arn:aws:iam::{ACCOUNT}:policy/name"),
        (r"TopicArn$", f"arn:aws:sns:{REGION}:{ACCOUNT}:name"),
        (r"QueueArn$", f"arn:aws:sqs:{REGION}:{ACCOUNT}:name"),
        (
            r"ConnectionArn$",
            f"arn:aws:codeconnections:{REGION}:{ACCOUNT}:connection/0d9d6f2e-0000-4000-8000-000000000000",
        ),
        (r"(Function|Runner)Arn$", f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:name"),
        (r"AccountIds?$", ACCOUNT),
        (r"Prefix$", "releases/0123456789abcdef"),
    )
    for pattern, value in rules:
        if re.search(pattern, name):
            return value
    return "name"


def _arn(kind: str, name: str) -> str:
    forms = {
        "AWS::S3::Bucket": f"arn:aws:s3:::{name}",
        "AWS::IAM::Role": f"arn:aws:iam::{ACCOUNT}:role/{name}",
        "AWS::IAM::ManagedPolicy": f"arn:aws:iam::{ACCOUNT}:policy/{name}",
        "AWS::Logs::LogGroup": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{name}:*",
        "AWS::KMS::Key": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/0d9d6f2e-0000-4000-8000-000000000000",
        "AWS::SageMaker::Domain": f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:domain/d-0123456789ab",
        "AWS::Events::Rule": f"arn:aws:events:{REGION}:{ACCOUNT}:rule/{name}",
        "AWS::SNS::Topic": f"arn:aws:sns:{REGION}:{ACCOUNT}:{name}",
        "AWS::SQS::Queue": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}",
    }
    return forms[kind]


def _resolve(value: Any, template: Template) -> Any:
    if isinstance(value, list):
        return [_resolve(item, template) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        (function, argument), *_ = value.items()
        if function == "Ref":
            return _named(argument, template)
        if function == "Fn::GetAtt":
            return _named(".".join(argument), template)
        if function == "Fn::Sub":
            text = argument if isinstance(argument, str) else argument[0]
            text = re.sub(r"\$\{([^!}][^}]*)\}", lambda match: _named(match[1], template), text)
            return text.replace("${!", "${")
        if function == "Fn::If":
            return _resolve(argument[1], template)
        if function in {"Fn::Join", "Fn::Select", "Fn::Split"}:
            return "name"
    return {key: _resolve(item, template) for key, item in value.items()}
