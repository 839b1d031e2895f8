"""This repository's own rules for templates. Each takes a template and yields what is wrong, in words to act on."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import yaml

from tests.templates.library import LONGEST, Loader, Template, branches, listed, substitutions
from tests.templates.policies import actions, condition_keys, policies

Rule = Callable[[Template], Iterator[str]]

SECTIONS = [
    "AWSTemplateFormatVersion", "Description", "Transform", "Metadata", "Parameters", "Mappings", "Rules", "Conditions",
    "Resources", "Outputs",
]  # fmt: skip
# Type → (property that names it, the longest name AWS takes).
NAMES = {
    "AWS::CodeBuild::Project": ("Name", 150),
    "AWS::CodeCommit::Repository": ("RepositoryName", 100),
    "AWS::CodePipeline::Pipeline": ("Name", 100),
    "AWS::CodeArtifact::Domain": ("DomainName", 50),
    "AWS::ECR::Repository": ("RepositoryName", 256),
    "AWS::Events::Rule": ("Name", 64),
    "AWS::IAM::ManagedPolicy": ("ManagedPolicyName", 128),
    "AWS::IAM::Role": ("RoleName", 64),
    "AWS::KMS::Alias": ("AliasName", 256),
    "AWS::Lambda::Function": ("FunctionName", 64),
    "AWS::Logs::LogGroup": ("LogGroupName", 512),
    "AWS::S3::Bucket": ("BucketName", 63),
    "AWS::SQS::Queue": ("QueueName", 80),
    "AWS::SSM::Parameter": ("Name", 1011),
    "AWS::SageMaker::Domain": ("DomainName", 63),
    "AWS::SageMaker::Endpoint": ("EndpointName", 63),
    "AWS::SageMaker::ModelPackageGroup": ("ModelPackageGroupName", 63),
}
VPC = {
    "AWS::CodeBuild::Project": "VpcConfig",
    "AWS::Lambda::Function": "VpcConfig",
    "AWS::SageMaker::Model": "VpcConfig",
    "AWS::SageMaker::Domain": "VpcId",
}
MAX_LINES = 500


def parameters(template: Template) -> Iterator[str]:
    """Every parameter is restricted, in one group, and labelled; that it is described, E2901 sees to."""
    interface = template.body.get("Metadata", {}).get("AWS::CloudFormation::Interface", {})
    grouped = [name for group in interface.get("ParameterGroups", []) for name in group["Parameters"]]
    labelled = set(interface.get("ParameterLabels", {}))
    for name, parameter in template.parameters.items():
        kind = parameter["Type"]
        limits = {"AllowedPattern", "AllowedValues", "MinValue"} & set(parameter)
        if not limits and not kind.startswith(("AWS::", "List<AWS::")):
            yield f"parameter {name} takes anything: give it AllowedPattern, AllowedValues or MinValue and MaxValue"
        if grouped.count(name) != 1:
            yield f"parameter {name} is in {grouped.count(name)} groups of the interface, not in one"
        if name not in labelled:
            yield f"parameter {name} has no label"
    for name in sorted((set(grouped) | labelled) - set(template.parameters)):
        yield f"the interface names {name}, which is no parameter"


def order(template: Template) -> Iterator[str]:
    """Sections stand in their order."""
    found = list(template.body)
    if found != [section for section in SECTIONS if section in found]:
        yield f"sections stand as {', '.join(found)}; the order is {', '.join(SECTIONS)}"
    if len(template.body.get("Description", "")) < 40:
        yield "no Description that a person can choose by"


def size(template: Template) -> Iterator[str]:
    """A template can be read in one sitting."""
    lines = template.text.count("\n")
    if lines > MAX_LINES:
        yield f"{lines} lines, at most {MAX_LINES}"


def wide_actions(template: Template) -> Iterator[str]:
    """No policy allows every action, or every action of a service."""
    for policy in policies(template):
        for statement in policy.statements:
            if statement["Effect"] != "Allow" or template.argued(policy.owner, "ceiling"):
                continue
            if "NotAction" in statement or "NotResource" in statement:
                yield f"{policy.owner} ({policy.name}) allows all but something: name what is allowed"
            for action in actions(statement):
                if action == "*" or (action.endswith(":*") and not _is_fence(template, policy.owner, statement)):
                    yield f"{policy.owner} ({policy.name}) allows {action}"


def _is_fence(template: Template, owner: str, statement: dict[str, Any]) -> bool:
    """A key that the account's IAM decides about, or an endpoint policy: neither grants anything to anybody."""
    kind = template.resources[owner]["Type"]
    if kind == "AWS::KMS::Key":
        root = {"AWS": {"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:root"}}
        return bool(statement.get("Principal") == root)
    if kind != "AWS::EC2::VPCEndpoint":
        return False
    own = all("${AWS::AccountId}" in str(resource) for resource in listed(statement["Resource"]))
    return own or "aws:PrincipalAccount" in condition_keys(statement)


def wide_resources(template: Template) -> Iterator[str]:
    """`*` as a resource of an identity policy says why beside it."""
    lines = template.text.splitlines()
    for node in _mappings(yaml.compose(template.text, Loader)):
        keys = {key.value: value for key, value in node.value if isinstance(key, yaml.ScalarNode)}
        effect, resource = keys.get("Effect"), keys.get("Resource")
        if effect is None or effect.value != "Allow" or resource is None or "Principal" in keys:
            continue
        scalars = resource.value if isinstance(resource, yaml.SequenceNode) else [resource]
        for scalar in scalars:
            if scalar.value == "*" and "#" not in lines[scalar.start_mark.line]:
                yield f"line {scalar.start_mark.line + 1}: Resource * without a comment that says why"


def _mappings(node: yaml.Node | None) -> Iterator[yaml.MappingNode]:
    if isinstance(node, yaml.MappingNode):
        yield node
        for _, value in node.value:
            yield from _mappings(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _mappings(value)


def boundaries(template: Template) -> Iterator[str]:
    """Every role has the permission boundary."""
    for name, properties in template.of("AWS::IAM::Role"):
        if "PermissionsBoundary" not in properties:
            yield f"{name} has no PermissionsBoundary"


def confused_deputies(template: Template) -> Iterator[str]:
    """A service acts for this account alone, wherever it is trusted."""
    for policy in policies(template):
        for statement in policy.statements:
            principal = statement.get("Principal")
            if statement["Effect"] != "Allow" or not isinstance(principal, dict) or "Service" not in principal:
                continue
            keys = condition_keys(statement)
            bound = {"aws:SourceAccount", "aws:SourceArn", "aws:SourceOrgID"} & keys
            if not bound and not any(key.startswith("kms:EncryptionContext:aws:") for key in keys):
                yield f"{policy.owner} ({policy.name}) trusts {principal['Service']} for whomever it acts"


def other_accounts(template: Template) -> Iterator[str]:
    """Another account is trusted for named roles only."""
    own = "${AWS::AccountId}"
    for policy in policies(template):
        for statement in policy.statements:
            principal = statement.get("Principal")
            if policy.kind == "identity" or statement["Effect"] != "Allow" or not isinstance(principal, dict):
                continue
            texts = [str(item) for item in listed(principal.get("AWS", []))]
            foreign = [text for text in texts if ":root" in text and own not in text]
            # A model package group's policy takes no such condition: what it allows is to read models.
            if template.resources[policy.owner]["Type"] == "AWS::SageMaker::ModelPackageGroup":
                continue
            if foreign and "aws:PrincipalArn" not in condition_keys(statement):
                yield f"{policy.owner} ({policy.name}) trusts every principal of another account"


def denials(template: Template) -> Iterator[str]:
    """A refusal by a negated test has a Null beside it: where the key is missing, a negated test is true."""
    for policy in policies(template):
        for statement in policy.statements:
            if statement["Effect"] != "Deny" or policy.kind == "identity":
                continue
            tests = statement.get("Condition", {})
            present = set(tests.get("Null", {}))
            for test, keys in tests.items():
                if "Not" in test and (loose := sorted(set(keys) - present)):
                    yield f"{policy.owner} ({policy.name}) refuses requests without {', '.join(loose)}: add Null"


def passed_roles(template: Template) -> Iterator[str]:
    """A role is passed to one service, and only roles that are named."""
    for policy in policies(template):
        for statement in policy.statements:
            if statement["Effect"] != "Allow" or "iam:PassRole" not in actions(statement):
                continue
            if "iam:PassedToService" not in condition_keys(statement):
                yield f"{policy.owner} ({policy.name}) passes a role to any service"
            if "*" in listed(statement["Resource"]):
                yield f"{policy.owner} ({policy.name}) passes any role"


def vpc(template: Template) -> Iterator[str]:
    """Every build, function, model and notebook is in the VPC."""
    for name, resource in template.resources.items():
        needed = VPC.get(resource["Type"])
        if needed and needed not in resource["Properties"] and not template.argued(name, "outside-vpc"):
            yield f"{name} is not in the VPC ({needed}) and does not say why (Metadata: slipway: outside-vpc)"


def buckets(template: Template) -> Iterator[str]:
    """Every bucket refuses plain HTTP."""
    refusing = set()
    for _, properties in template.of("AWS::S3::BucketPolicy"):
        for statement in branches(properties["PolicyDocument"]["Statement"]):
            if statement["Effect"] == "Deny" and statement.get("Condition") == {
                "Bool": {"aws:SecureTransport": "false"}
            }:
                refusing.add(str(properties["Bucket"]))
    for name, properties in template.of("AWS::S3::Bucket"):
        if str({"Ref": name}) not in refusing:
            yield f"{name} has no policy that refuses requests without TLS"
        if properties.get("VersioningConfiguration", {}).get("Status") != "Enabled":
            yield f"{name} is not versioned"


def keys_and_logs(template: Template) -> Iterator[str]:
    """Keys rotate; log groups are encrypted and end."""
    for name, properties in template.of("AWS::KMS::Key"):
        if properties.get("EnableKeyRotation") is not True:
            yield f"{name} does not rotate"
    for name, properties in template.of("AWS::Logs::LogGroup"):
        for needed in ("KmsKeyId", "RetentionInDays"):
            if needed not in properties:
                yield f"{name} has no {needed}"


def name_lengths(template: Template) -> Iterator[str]:
    """The longest name that the parameters allow is one that AWS takes."""
    for name, resource in template.resources.items():
        if resource["Type"] not in NAMES:
            continue
        key, limit = NAMES[resource["Type"]]
        value = resource["Properties"].get(key)
        text = value if isinstance(value, str) else (value or {}).get("Fn::Sub") or f"${{{(value or {}).get('Ref')}}}"
        parts = substitutions(text)
        if unknown := sorted(set(parts) - set(LONGEST)):
            yield f"the length of {name}'s {key} depends on {', '.join(unknown)}: extend LONGEST"
            continue
        longest = len(re.sub(r"\$\{[^}]*\}", "", text)) + sum(LONGEST[part] for part in parts)
        if longest > limit:
            yield f"{name}'s {key} may be {longest} characters long, at most {limit}"


def secrets(template: Template) -> Iterator[str]:
    """A secret is made by AWS, encrypted under a key of ours, and rotates; nobody ever types one into a template."""
    rotating = {
        str(properties.get("SecretId"))
        for _, properties in template.of("AWS::SecretsManager::RotationSchedule")
        if properties.get("RotationRules")
    }
    for name, properties in template.of("AWS::SecretsManager::Secret"):
        if "SecretString" in properties:
            yield f"{name} has its value in the template: let GenerateSecretString make it"
        if "KmsKeyId" not in properties:
            yield f"{name} has no KmsKeyId"
        if str({"Ref": name}) not in rotating and not template.argued(name, "fixed-secret"):
            yield f"{name} does not rotate and does not say why (Metadata: slipway: fixed-secret)"
    for name, parameter in template.parameters.items():
        if re.search(r"(?i)password|secret$|token$|apikey", name) and not parameter["Type"].startswith("AWS::SSM"):
            yield f"parameter {name} takes a secret: name a secret of Secrets Manager instead"


def described_rules(template: Template) -> Iterator[str]:
    """Every rule of a security group says what it is for."""
    for name, properties in template.of("AWS::EC2::SecurityGroup"):
        given = [*properties.get("SecurityGroupIngress", []), *properties.get("SecurityGroupEgress", [])]
        for rule in (rule for item in given for rule in branches(item)):
            if not rule.get("Description"):
                yield f"{name} has a rule without a description"
    for name, properties in template.of("AWS::EC2::SecurityGroupIngress", "AWS::EC2::SecurityGroupEgress"):
        if not properties.get("Description"):
            yield f"{name} has no description"


def fences(template: Template) -> Iterator[str]:
    """An endpoint lets own principals reach own resources, and of others' only what is named in full."""
    for name, properties in template.of("AWS::EC2::VPCEndpoint"):
        if "PolicyDocument" not in properties:
            yield f"{name} lets everybody reach everything: it has no PolicyDocument"
            continue
        for statement in listed(properties["PolicyDocument"]["Statement"]):
            resources = [str(resource) for resource in listed(statement["Resource"])]
            if all(_is_named(resource) for resource in resources):
                continue
            for test in branches(statement.get("Condition", {}).get("StringEquals", {})):
                lacking = [
                    side
                    for side in ("Principal", "Resource")
                    if not {f"aws:{side}Account", f"aws:{side}OrgID"} & set(test)
                ]
                if lacking:
                    yield f"{name} ({statement.get('Sid')}) lets any {' and any '.join(lacking).lower()} pass"


def _is_named(resource: str) -> bool:
    """True for an ARN of this account, or of a bucket or service of AWS whose name holds no `*`."""
    return "${AWS::AccountId}" in resource or ("arn:" in resource and "*" not in resource.split("/")[0])


RULES: tuple[Rule, ...] = (
    parameters, order, size, wide_actions, wide_resources, boundaries, confused_deputies,
    other_accounts, denials, passed_roles, vpc, buckets, keys_and_logs, name_lengths, described_rules, secrets, fences,
)  # fmt: skip
