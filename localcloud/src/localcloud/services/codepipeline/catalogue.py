"""Action providers and rule providers: what each takes, and which this service runs.

The facts are those of the "Action structure reference" and "Rule structure reference" in the CodePipeline User Guide.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

Action = dict[str, Any]
Check = Callable[[Action], Iterator[str]]


def configuration(action: Action) -> dict[str, str]:
    """The action's configuration, never None."""
    return dict(action.get("configuration") or {})


def is_true(value: str | None) -> bool:
    """How CodePipeline reads a Boolean in a configuration map of strings."""
    return str(value or "").strip().lower() == "true"


def _names(action: Action, member: str) -> list[str]:
    return [str(artifact["name"]) for artifact in action.get(member) or []]


def _has_reference(text: str | None) -> bool:
    """Whether the value is only known when the pipeline runs."""
    return "#{" in (text or "")


def _one_of(action: Action, key: str, allowed: tuple[str, ...]) -> Iterator[str]:
    value = configuration(action).get(key)
    if value is not None and not _has_reference(value) and value not in allowed:
        yield f"configuration '{key}' is '{value}'; allowed are {', '.join(allowed)}"


def _boolean(action: Action, key: str) -> Iterator[str]:
    value = configuration(action).get(key)
    if value is not None and not _has_reference(value) and value.lower() not in ("true", "false"):
        yield f"configuration '{key}' is '{value}'; allowed are true and false"


def _codecommit(action: Action) -> Iterator[str]:
    yield from _one_of(action, "OutputArtifactFormat", ("CODE_ZIP", "CODEBUILD_CLONE_REF"))
    yield from _boolean(action, "PollForSourceChanges")


_CONNECTION = re.compile(r"arn:aws(-[\w]+)*:(codeconnections|codestar-connections):[^:]+:\d{12}:connection/[\w-]+")


def _connection(action: Action) -> Iterator[str]:
    yield from _one_of(action, "OutputArtifactFormat", ("CODE_ZIP", "CODEBUILD_CLONE_REF"))
    yield from _boolean(action, "DetectChanges")
    given = configuration(action)
    arn, repository = given.get("ConnectionArn", ""), given.get("FullRepositoryId", "")
    if arn and not _has_reference(arn) and not _CONNECTION.fullmatch(arn):
        yield f"configuration 'ConnectionArn' is '{arn}', which is no ARN of a connection"
    if repository and not _has_reference(repository) and "/" not in repository:
        yield f"configuration 'FullRepositoryId' is '{repository}'; the form is owner/name"


def _s3_source(action: Action) -> Iterator[str]:
    yield from _boolean(action, "PollForSourceChanges")
    yield from _boolean(action, "AllowOverrideForS3ObjectKey")


ENVIRONMENT_TYPES = ("PLAINTEXT", "PARAMETER_STORE", "SECRETS_MANAGER")


def environment_problems(text: str) -> Iterator[str]:
    """What is wrong with a CodeBuild action's EnvironmentVariables, a JSON array of {name, value, type}."""
    try:
        entries = json.loads(text)
    except ValueError as error:
        yield f"configuration 'EnvironmentVariables' is not JSON ({error})"
        return
    if not isinstance(entries, list):
        yield "configuration 'EnvironmentVariables' must be a JSON array of objects with name, value and type"
        return
    for entry in entries:
        if not isinstance(entry, dict) or not {"name", "value"} <= set(entry) <= {"name", "value", "type"}:
            yield f"environment variable {json.dumps(entry)} must have name and value, and may have type"
        elif not all(isinstance(value, str) for value in entry.values()):
            yield f"environment variable '{entry['name']}' must have strings for name, value and type"
        elif entry.get("type", "PLAINTEXT") not in ENVIRONMENT_TYPES:
            yield f"environment variable '{entry['name']}' has type '{entry['type']}'; allowed are " + ", ".join(
                ENVIRONMENT_TYPES
            )


def _codebuild(action: Action) -> Iterator[str]:
    given = configuration(action)
    inputs = _names(action, "inputArtifacts")
    yield from _boolean(action, "BatchEnabled")
    if is_true(given.get("BatchEnabled")) or is_true(given.get("CombineArtifacts")):
        yield "batch builds (BatchEnabled, CombineArtifacts) are not served by the local cloud"
    if len(inputs) > 1 and "PrimarySource" not in given:
        yield "configuration 'PrimarySource' is required when there is more than one input artifact"
    primary = given.get("PrimarySource")
    if primary is not None and not _has_reference(primary) and primary not in inputs:
        yield f"configuration 'PrimarySource' is '{primary}', which is not an input artifact ({', '.join(inputs)})"
    if "EnvironmentVariables" in given:
        yield from environment_problems(given["EnvironmentVariables"])


ACTION_MODES = ("CREATE_UPDATE", "DELETE_ONLY", "REPLACE_ON_FAILURE", "CHANGE_SET_REPLACE", "CHANGE_SET_EXECUTE")
_NEEDS_TEMPLATE = ("CREATE_UPDATE", "REPLACE_ON_FAILURE", "CHANGE_SET_REPLACE")


def _cloudformation(action: Action) -> Iterator[str]:
    given = configuration(action)
    mode = given.get("ActionMode", "")
    yield from _one_of(action, "ActionMode", ACTION_MODES)
    if mode in _NEEDS_TEMPLATE and "TemplatePath" not in given:
        yield f"configuration 'TemplatePath' is required for ActionMode {mode}"
    if mode in (*_NEEDS_TEMPLATE, "DELETE_ONLY") and "RoleArn" not in given:
        yield f"configuration 'RoleArn' is required for ActionMode {mode}"
    if mode.startswith("CHANGE_SET") and "ChangeSetName" not in given:
        yield f"configuration 'ChangeSetName' is required for ActionMode {mode}"
    inputs = _names(action, "inputArtifacts")
    for key in ("TemplatePath", "TemplateConfiguration"):
        value = given.get(key)
        if value is None or _has_reference(value):
            continue
        artifact, separator, path = value.partition("::")
        if not separator or not path:
            yield f"configuration '{key}' is '{value}'; the form is Artifactname::FileName"
        elif artifact not in inputs:
            yield f"configuration '{key}' names artifact '{artifact}', which is not an input artifact of the action"
    overrides = given.get("ParameterOverrides")
    if overrides is not None:
        try:
            parsed = json.loads(overrides)
        except ValueError as error:
            if not _has_reference(overrides):
                yield f"configuration 'ParameterOverrides' is not JSON ({error})"
        else:
            if not isinstance(parsed, dict):
                yield "configuration 'ParameterOverrides' must be a JSON object"
    if _names(action, "outputArtifacts") and "OutputFileName" not in given:
        yield "configuration 'OutputFileName' is required when there is an output artifact"


def _s3_deploy(action: Action) -> Iterator[str]:
    yield from _boolean(action, "Extract")
    given = configuration(action)
    if given.get("Extract", "").lower() == "false" and "ObjectKey" not in given:
        yield "configuration 'ObjectKey' is required when Extract is false"


def _step_functions(action: Action) -> Iterator[str]:
    yield from _one_of(action, "InputType", ("Literal", "FilePath"))
    given = configuration(action)
    if given.get("InputType") == "FilePath":
        if "Input" not in given:
            yield "configuration 'Input' is required when InputType is FilePath"
        if not _names(action, "inputArtifacts"):
            yield "an input artifact is required when InputType is FilePath"


def _nothing(_: Action) -> Iterator[str]:
    yield from ()


@dataclass(frozen=True)
class Provider:
    """One action type: artifact counts (lowest, highest) and configuration keys."""

    category: str
    name: str
    inputs: tuple[int, int]
    outputs: tuple[int, int]
    required: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    check: Check = field(default=_nothing)


def _keys(text: str) -> frozenset[str]:
    return frozenset(text.split())


_BUILD_KEYS = _keys("PrimarySource BatchEnabled CombineArtifacts EnvironmentVariables BuildspecOverride")
_PROVIDERS = (
    Provider(
        "Source",
        "CodeCommit",
        (0, 0),
        (1, 1),
        _keys("RepositoryName BranchName"),
        _keys("PollForSourceChanges OutputArtifactFormat"),
        _codecommit,
    ),
    Provider(
        "Source",
        "S3",
        (0, 0),
        (1, 1),
        _keys("S3Bucket S3ObjectKey"),
        _keys("PollForSourceChanges AllowOverrideForS3ObjectKey"),
        _s3_source,
    ),
    Provider(
        "Source",
        "CodeStarSourceConnection",
        (0, 0),
        (1, 1),
        _keys("ConnectionArn FullRepositoryId BranchName"),
        _keys("DetectChanges OutputArtifactFormat"),
        _connection,
    ),
    Provider("Source", "ECR", (0, 0), (1, 1), _keys("RepositoryName"), _keys("ImageTag")),
    Provider("Build", "CodeBuild", (1, 5), (0, 5), _keys("ProjectName"), _BUILD_KEYS, _codebuild),
    Provider("Test", "CodeBuild", (1, 5), (0, 5), _keys("ProjectName"), _BUILD_KEYS, _codebuild),
    Provider("Approval", "Manual", (0, 0), (0, 0), frozenset(), _keys("NotificationArn CustomData ExternalEntityLink")),
    Provider(
        "Deploy",
        "CloudFormation",
        (0, 10),
        (0, 1),
        _keys("ActionMode StackName"),
        _keys(
            "Capabilities ChangeSetName RoleArn TemplatePath OutputFileName ParameterOverrides TemplateConfiguration"
        ),
        _cloudformation,
    ),
    Provider(
        "Deploy",
        "S3",
        (1, 1),
        (0, 0),
        _keys("BucketName Extract"),
        _keys("ObjectKey KMSEncryptionKeyARN CannedACL CacheControl"),
        _s3_deploy,
    ),
    Provider("Invoke", "Lambda", (0, 5), (0, 5), _keys("FunctionName"), _keys("UserParameters")),
    Provider(
        "Invoke",
        "StepFunctions",
        (0, 1),
        (0, 1),
        _keys("StateMachineArn"),
        _keys("ExecutionNamePrefix InputType Input"),
        _step_functions,
    ),
)
PROVIDERS: dict[tuple[str, str], Provider] = {(p.category, p.name): p for p in _PROVIDERS}

NOT_SERVED: frozenset[tuple[str, str]] = frozenset(
    {
        ("Build", "ECRBuildAndPublish"),
        ("Compute", "Commands"),
        ("Deploy", "AppConfig"),
        ("Deploy", "CloudFormationStackSet"),
        ("Deploy", "CloudFormationStackInstances"),
        ("Deploy", "CodeDeploy"),
        ("Deploy", "CodeDeployToECS"),
        ("Deploy", "EC2"),
        ("Deploy", "ECS"),
        ("Deploy", "EKS"),
        ("Deploy", "ElasticBeanstalk"),
        ("Deploy", "Lambda"),
        ("Deploy", "OpsWorks"),
        ("Deploy", "ServiceCatalog"),
        ("Invoke", "CodePipeline"),
        ("Invoke", "InspectorScan"),
        ("Test", "DeviceFarm"),
    }
)
"""Action types that AWS has and that are refused by name."""


@dataclass(frozen=True)
class Rule:
    """One rule type of a stage condition."""

    name: str
    required: frozenset[str]
    optional: frozenset[str] = frozenset()
    may_skip: bool = False


RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule("VariableCheck", _keys("Variable Value Operator"), may_skip=True),
        Rule("CloudWatchAlarm", _keys("AlarmName"), _keys("AlarmStates WaitTime")),
    )
}
RULES_NOT_SERVED = frozenset({"CodeBuild", "Commands", "DeploymentWindow", "LambdaInvoke"})
OPERATORS = ("EQ", "NE", "CONTAINS", "MATCHES")
