"""What an operation asks IAM besides itself: a role that is passed, a key that is used, what a job's role does later.

Services use keys with the caller's permissions (`kms:ViaService` names the service), and do a part of their work as the
role that a job is given. Where the local cloud does that work otherwise than through the API, it is said here, as the
guides have it: SageMaker Developer Guide "How to use SageMaker AI execution roles", CodeBuild User Guide "Create a
CodeBuild service role" and "VPC", ECR User Guide "Pushing an image" and "Encryption at rest".
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_JOBS = {
    "CreateTrainingJob": "TrainingJobs",
    "CreateProcessingJob": "ProcessingJobs",
    "CreateHyperParameterTuningJob": "TrainingJobs",
    "CreateTransformJob": "TransformJobs",
    "CreateModel": "Endpoints",
}
_PUSH = ("BatchCheckLayerAvailability", "InitiateLayerUpload", "UploadLayerPart", "CompleteLayerUpload")
_INTERFACES = (
    "CreateNetworkInterface", "CreateNetworkInterfacePermission", "DeleteNetworkInterface",
    "DeleteNetworkInterfacePermission",
)  # fmt: skip
_FIND_NETWORK = (
    "DescribeDhcpOptions", "DescribeNetworkInterfaces", "DescribeSecurityGroups", "DescribeSubnets", "DescribeVpcs",
)  # fmt: skip
# Members that name the key under which a service keeps what the operation makes, and what it asks of the caller.
_GRANTS = ("kms:CreateGrant", "kms:DescribeKey")
_KEYS = {
    "ecr:CreateRepository": ("kmsKey", _GRANTS),
    "codeartifact:CreateDomain": ("encryptionKey", _GRANTS),
    "sagemaker:CreateTrainingJob": ("VolumeKmsKeyId", ("kms:CreateGrant",)),
    "sagemaker:CreateProcessingJob": ("VolumeKmsKeyId", ("kms:CreateGrant",)),
    "sagemaker:CreateHyperParameterTuningJob": ("VolumeKmsKeyId", ("kms:CreateGrant",)),
    "sagemaker:CreateTransformJob": ("VolumeKmsKeyId", ("kms:CreateGrant",)),
    "sagemaker:CreateEndpointConfig": ("KmsKeyId", _GRANTS),
    "sagemaker:CreateDomain": ("KmsKeyId", _GRANTS),
}


@dataclass(frozen=True)
class Asked:
    """One more question to IAM. `role` is the ARN of the role that is asked about; "" is the caller."""

    action: str
    resource: str = "*"
    keys: Mapping[str, Any] = field(default_factory=dict)
    role: str = ""

    def as_json(self) -> dict[str, Any]:
        """For the record."""
        return {"action": self.action, "resource": self.resource, "keys": dict(self.keys), "role": self.role}


def of(
    prefix: str, operation: str, given: Mapping[str, Any], resources: Sequence[str], keys: Mapping[str, Any],
    dependent: Sequence[str], account: str, region: str,
) -> Iterator[Asked]:  # fmt: skip
    """Everything that the operation asks besides itself.

    Args:
        resources, keys: those of the operation.
        dependent: the actions that the reference calls dependent.
    """
    tags = {key: value for key, value in keys.items() if key.startswith("aws:RequestTag/") or key == "aws:TagKeys"}
    if tags:
        if prefix == "sagemaker":
            tags["sagemaker:TaggingAction"] = operation
        tagging = [action for action in dependent if action.endswith((":AddTags", ":TagResource"))]
        yield from (Asked(action, resource, tags) for action in tagging for resource in resources[:1])
    for role in sorted(set(_passed(prefix, operation, given))):
        yield Asked("iam:PassRole", role, {"iam:PassedToService": f"{prefix}.amazonaws.com"})
    for connection in sorted(set(_connections(given))) if prefix == "codepipeline" else ():
        service = connection.split(":")[2]
        to = {f"{service}:PassedToService": f"{prefix}.amazonaws.com"}
        yield Asked(f"{service}:PassConnection", connection, to)
    member, actions = _KEYS.get(f"{prefix}:{operation}", ("", ()))
    for key in sorted({str(value) for name, value in _members(given) if name == member}):
        arn = key if key.startswith("arn:") else f"arn:aws:kms:{region}:{account}:key/{key}"
        via = {"kms:ViaService": f"{prefix}.{region}.amazonaws.com"}
        yield from (Asked(action, arn, via) for action in actions)
    if prefix == "ecr" and operation == "PutImage":
        yield from (Asked(f"ecr:{action}", resource) for action in _PUSH for resource in resources)
    if prefix == "ecr" and operation == "BatchGetImage":
        yield from (Asked("ecr:GetDownloadUrlForLayer", resource) for resource in resources)
    if prefix == "sagemaker" and operation in _JOBS:
        yield from _job(operation, given, account, region)


def _members(node: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield str(key), value
            yield from _members(value)
    elif isinstance(node, list):
        for item in node:
            yield from _members(item)


def _passed(prefix: str, operation: str, given: Mapping[str, Any]) -> Iterator[str]:
    """The roles that a request hands to the service: its own members, not those that actions of a pipeline assume."""
    if not operation.startswith(("Create", "Update")):
        return
    if (prefix, operation) == ("servicecatalog", "CreateConstraint"):
        given = _parsed(given.get("Parameters")) if given.get("Type") == "LAUNCH" else {}
    if (prefix, operation) == ("sagemaker", "CreateProject"):
        given = {}  # CloudFormation is asked to take the role, in the caller's session: that request says so
    if prefix == "codepipeline":
        given = {"roleArn": given.get("pipeline", {}).get("roleArn", "")}
    for name, value in _members(given):
        if isinstance(value, str) and ":role/" in value and name.lower().endswith(("role", "rolearn")):
            yield value


def _connections(given: Mapping[str, Any]) -> Iterator[str]:
    """The connections that a pipeline's source actions name."""
    for name, value in _members(given):
        if name == "ConnectionArn" and isinstance(value, str) and value.startswith("arn:"):
            yield value


def _parsed(text: Any) -> Mapping[str, Any]:
    """An object that a request holds as text; what is none passes no role, and the service refuses it."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, Mapping) else {}


def _logs(role: str, group: str) -> Iterator[Asked]:
    for action in ("CreateLogGroup", "DescribeLogStreams"):
        yield Asked(f"logs:{action}", f"{group}:*", role=role)
    for action in ("CreateLogStream", "PutLogEvents"):
        yield Asked(f"logs:{action}", f"{group}:log-stream:*", role=role)


def _job(operation: str, given: Mapping[str, Any], account: str, region: str) -> Iterator[Asked]:
    """What SageMaker does as the role of a job or of a model."""
    definitions = [given.get("TrainingJobDefinition") or {}, *(given.get("TrainingJobDefinitions") or [])]
    named = next((str(item["RoleArn"]) for item in definitions if item.get("RoleArn")), "")
    role = str(given.get("RoleArn") or given.get("ExecutionRoleArn") or named)
    if not role:
        return
    if operation != "CreateModel":  # an endpoint's log bears its name, which a model does not know
        yield from _logs(role, f"arn:aws:logs:{region}:{account}:log-group:/aws/sagemaker/{_JOBS[operation]}")
    yield Asked("cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": f"/aws/sagemaker/{_JOBS[operation]}"}, role)
    yield Asked("ecr:GetAuthorizationToken", "*", role=role)
    images = {str(value) for name, value in _members(given) if name in ("TrainingImage", "ImageUri", "Image")}
    for image in sorted(images):
        registry, _, rest = image.partition(".dkr.ecr.")
        name = rest.partition("/")[2].partition("@")[0].partition(":")[0]
        if name:
            arn = f"arn:aws:ecr:{region}:{registry}:repository/{name}"
            for action in ("BatchCheckLayerAvailability", "BatchGetImage", "GetDownloadUrlForLayer"):
                yield Asked(f"ecr:{action}", arn, role=role)
    if any(name == "VpcConfig" and value for name, value in _members(given)):
        for action in _FIND_NETWORK:
            yield Asked(f"ec2:{action}", "*", role=role)
        interface = f"arn:aws:ec2:{region}:{account}:network-interface/*"
        for action in _INTERFACES:
            yield Asked(f"ec2:{action}", interface, role=role)
