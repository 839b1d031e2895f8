"""A key that is no key: CloudFormation finds out when it makes the resource, or the service when it encrypts."""

from __future__ import annotations

import re
from typing import Any

from cfnlint.rules import CloudFormationLintRule, RuleMatch

from slipway.lint.templates import objects, properties, resources

# Properties that take a key, by their names in AWS's resource schemas.
PROPERTIES = re.compile(
    r"^(KmsKey(Id|Arn)?|KMSKey(Id|Arn|ID)?|KmsMasterKeyId|KMSMasterKeyID|SSEKMSKeyId|KMSEncryptionKeyARN"
    r"|(Volume|Output|Data|OnlineStore|OfflineStore)KmsKey(Id)?|EncryptionKey|TargetKeyId|KMSMasterKeyId)$"
)
# A key's id, its ARN, an alias' name or ARN. Multi-Region keys begin with mrk-.
LITERAL = re.compile(
    r"^((mrk-[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})|alias/[\w/-]+"
    r"|arn:[\w-]+:kms:[\w-]+:\d{12}:(key|alias)/[\w/-]+)$"
)
_BEGINNING = re.compile(r"^(arn:(aws[\w-]*|\$\{AWS::Partition\}):kms:|alias/|\$\{)")
_KEYS = {"AWS::KMS::Key", "AWS::KMS::Alias", "AWS::KMS::ReplicaKey"}


class KmsKeys(CloudFormationLintRule):
    """What a property of that name gets is a key's id or ARN, or an alias."""

    id = "E3906"
    shortdesc = "KMS keys are keys"
    description = "A property that takes a KMS key gets one: not a bucket, a role or a text of another form"
    source_url = "https://docs.aws.amazon.com/kms/latest/developerguide/concepts.html#key-id"
    tags = ["resources", "kms"]  # noqa: RUF012

    def match(self, cfn: Any) -> list[RuleMatch]:
        """Properties that get something else."""
        kinds = {str(path[-1]): kind for kind, _, path in resources(cfn.template)}
        found = []
        for _, resource, path in resources(cfn.template):
            for within, at in objects(properties(resource), [*path, "Properties"]):
                for key, value in within.items():
                    problem = _problem(value, kinds) if PROPERTIES.match(str(key)) else None
                    if problem:
                        found.append(
                            RuleMatch([*at, key], f"{key} is {problem}; allowed: a KMS key's id or ARN, or an alias")
                        )
        return found


def _problem(value: Any, kinds: dict[str, str]) -> str | None:
    if isinstance(value, str):
        return None if LITERAL.match(value) or value.startswith("{{resolve:") else f"'{value}'"
    if not isinstance(value, dict) or len(value) != 1:
        return None
    ((function, argument),) = value.items()
    if function == "Fn::Sub":
        pattern = argument if isinstance(argument, str) else argument[0]
        return None if _BEGINNING.match(str(pattern)) else f"'{pattern}'"
    if function in {"Ref", "Fn::GetAtt"}:
        name = argument if isinstance(argument, str) else argument[0]
        name = str(name).partition(".")[0]
        kind = kinds.get(name)
        outputs = kind == "AWS::CloudFormation::Stack" or (kind or "").startswith(
            ("Custom::", "AWS::CloudFormation::Cu")
        )
        return None if kind is None or kind in _KEYS or outputs else f"the {kind} {name}"
    return None
