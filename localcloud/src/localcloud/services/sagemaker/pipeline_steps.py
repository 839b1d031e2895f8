"""How a step of each type is executed. What a step makes, it makes through the API as the pipeline's role."""

from __future__ import annotations

import json
import re
import secrets
import string
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore import xform_name
from botocore.exceptions import BotoCoreError, ClientError

from localcloud.services.sagemaker import pipeline_policies, pipeline_shapes
from localcloud.services.sagemaker.jobs import REASON_LIMIT, JobError, RoleSession, split_uri
from localcloud.services.sagemaker.pipeline_definition import Step
from localcloud.services.sagemaker.pipeline_functions import Scope
from localcloud.services.sagemaker.pipeline_shapes import StepKind

if TYPE_CHECKING:
    from localcloud.records import Record

NAME_LIMIT = 63
_POLL_SECONDS = 0.1
_RANDOM = string.ascii_letters + string.digits
_JOB_FAILED = ("Failed", "Stopped")


class StepFailure(Exception):
    """A step that failed, with its FailureReason."""


class StepStopped(Exception):
    """A step that ended because the execution is being stopped."""


@dataclass
class Outcome:
    """What a step that succeeded leaves.

    Args:
        metadata: for ListPipelineExecutionSteps.
        properties: what `Steps.<name>.…` reads.
        notes: further members of the step's record; those that begin with `_` are never shown.
    """

    metadata: dict[str, Any] = field(default_factory=dict)
    properties: Mapping[str, Any] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)


@dataclass
class StepContext:
    """What a running step needs of its execution."""

    execution_arn: str
    execution_id: str
    role: RoleSession
    scope: Callable[[dict[str, Any]], Scope]
    experiment: Mapping[str, Any]
    stopping: threading.Event
    note: Callable[[dict[str, Any]], None]
    find_cached: Callable[[Step, str], tuple[str, Record] | None]
    job: Callable[[StepKind, str], Record | None]
    joined: Mapping[str, Any] | None = None
    """The step's record where a restart found its job still at work: it is waited for, not made again."""


def run_step(step: Step, context: StepContext) -> Outcome:
    """Execute a step to its end.

    Raises:
        StepFailure: with the reason.
        StepStopped: the execution is being stopped.
        EvaluationError: an expression has no value.
    """
    if step.type in pipeline_shapes.KINDS:
        return _run_made(step, pipeline_shapes.KINDS[step.type], context)
    if step.type == "Condition":
        scope = context.scope({})
        values = [scope.condition(item) for item in step.arguments["Conditions"]]
        holds = all(values)
        return Outcome({"Condition": {"Outcome": str(holds)}}, {"Outcome": str(holds)})
    if step.type == "Lambda":
        return _run_lambda(step, context)
    message = str(context.scope({}).resolve(step.arguments["ErrorMessage"]))
    context.note({"Metadata": {"Fail": {"ErrorMessage": message[:3072]}}})
    raise StepFailure(message)


def restore(step: Step, record: Mapping[str, Any], role: RoleSession) -> Mapping[str, Any]:
    """The properties of a step that succeeded in an earlier attempt of the execution."""
    metadata = record.get("Metadata") or {}
    if step.type in pipeline_shapes.KINDS:
        return describe(pipeline_shapes.KINDS[step.type], record["_Made"], role)
    if step.type == "Condition":
        return dict(metadata["Condition"])
    return _lambda_properties((metadata.get("Lambda") or {}).get("OutputParameters") or [])


def describe(kind: StepKind, made: str, role: RoleSession) -> dict[str, Any]:
    """What a step made, as the Describe operation answers the pipeline's role."""
    client = role.client("sagemaker")
    answer = dict(getattr(client, xform_name(kind.describe))(**{kind.describe_by: made}))
    answer.pop("ResponseMetadata", None)
    if kind.listed:
        operation, member, request = kind.listed
        lowest = (answer["HyperParameterTuningJobConfig"].get("HyperParameterTuningJobObjective") or {}).get("Type")
        order = "Ascending" if lowest == "Minimize" else "Descending"
        found = getattr(client, xform_name(operation))(**{kind.describe_by: made}, **request, SortOrder=order)
        answer[member] = found[member]
    return answer


def made_name(execution_id: str, step: str, prefix: str = "", limit: int = NAME_LIMIT) -> str:
    """The name that Pipelines gives: pipelines-<execution>-<step>-<random>, or <prefix>-<execution>-<random>.

    Where a name has 32 characters at most it is <execution>-<step, cut>-<random>.
    """
    if limit < NAME_LIMIT:
        short = re.sub(r"[^A-Za-z0-9]", "", prefix or step)[:7] or "step"
        return f"{execution_id}-{short}-{''.join(secrets.choice(_RANDOM) for _ in range(10))}"[:limit].rstrip("-")
    random = "".join(secrets.choice(_RANDOM) for _ in range(10))
    room = NAME_LIMIT - len(execution_id) - len(random) - 2
    if prefix:
        return f"{prefix[:room].rstrip('-')}-{execution_id}-{random}"
    # 9 + 1 + 12 + 1 + 29 + 1 + 10 = 63: "pipelines", execution, step, random
    middle = re.sub(r"[^A-Za-z0-9]+", "-", step)[: room - len("pipelines-")].strip("-")
    return f"pipelines-{execution_id}-{middle}-{random}"


def _run_made(step: Step, kind: StepKind, context: StepContext) -> Outcome:
    """A step that creates something: cached, or tried as often as its policies say."""
    failed: dict[str, int] = {}
    began = time.monotonic()
    attempt = 1
    while True:
        prefix = str(step.arguments.get(kind.name) or "")
        name = made_name(context.execution_id, step.name, prefix, kind.limit) if kind.name else ""
        arguments = context.scope({kind.name: name} if kind.name else {}).resolve(dict(step.arguments))
        digest = pipeline_policies.signature(step.type, arguments)
        joined = context.joined if attempt == 1 else None
        if attempt == 1 and not joined and step.cache is not None and (hit := _cached(step, kind, digest, context)):
            return hit
        context.note({"AttemptCount": attempt})
        try:
            if joined:
                return _ended(kind, joined["_Made"], joined["Metadata"], joined["_Signature"], context)
            return _make(kind, name, arguments, digest, context)
        except _Retryable as error:
            delay = pipeline_policies.retry_delay(step.retry_policies, error.kind, failed, time.monotonic() - began)
            if delay is None:
                raise StepFailure(str(error)) from error
            failed[error.kind] = failed.get(error.kind, 0) + 1
            attempt += 1
            if context.stopping.wait(delay):
                raise StepStopped from error


class _Retryable(Exception):
    def __init__(self, reason: str, kind: str) -> None:
        super().__init__(reason[:REASON_LIMIT])
        self.kind = kind


def _cached(step: Step, kind: StepKind, digest: str, context: StepContext) -> Outcome | None:
    found = context.find_cached(step, digest) if digest else None
    if found is None:
        return None
    source, record = found
    try:
        properties = describe(kind, record["_Made"], context.role)
    except ClientError:  # deleted since: run it again
        return None
    hit = {"CacheHitResult": {"SourcePipelineExecutionArn": source}, "_Made": record["_Made"]}
    return Outcome(dict(record["Metadata"]), properties, hit)


def _make(kind: StepKind, name: str, arguments: dict[str, Any], digest: str, context: StepContext) -> Outcome:
    if context.stopping.is_set():
        raise StepStopped
    _complete(kind, name, arguments, context)
    answer = _create(kind, arguments, context)
    arn = str(answer[kind.arn])
    made = name or arn
    metadata = {kind.metadata: {"Arn": arn}}
    context.note({"Metadata": metadata, "_Made": made, "_Signature": digest})
    return _ended(kind, made, metadata, digest, context)


def _ended(kind: StepKind, made: str, metadata: Mapping[str, Any], digest: str, context: StepContext) -> Outcome:
    """What a step has made, once that has come to its end."""
    if kind.stop:
        _wait(kind, made, context)
    try:
        properties = describe(kind, made, context.role)
    except ClientError as error:
        raise _Retryable(_told(kind.describe, error), _error_type(error)) from error
    return Outcome(dict(metadata), properties, {"_Made": made, "_Signature": digest})


def _complete(kind: StepKind, name: str, arguments: dict[str, Any], context: StepContext) -> None:
    """What Pipelines adds to a request by itself."""
    if kind.name:
        arguments[kind.name] = name
    if kind.stop and context.experiment and kind.metadata != "TuningJob" and "ExperimentConfig" not in arguments:
        arguments["ExperimentConfig"] = dict(context.experiment)
    if kind.create == "CreateModelPackage":
        arguments["MetadataProperties"] = {
            **(arguments.get("MetadataProperties") or {}),
            "GeneratedBy": context.execution_arn,
        }


def _create(kind: StepKind, arguments: dict[str, Any], context: StepContext) -> dict[str, Any]:
    client = context.role.client("sagemaker")
    create = getattr(client, xform_name(kind.create))
    try:
        return dict(create(**arguments))
    except ClientError as error:
        group = arguments.get("ModelPackageGroupName")
        if kind.create != "CreateModelPackage" or not group or not _is_missing_group(client, group):
            raise _Retryable(_told(kind.create, error), _error_type(error)) from error
    except BotoCoreError as error:  # the request does not fit the model
        raise StepFailure(f"ClientError: Failed to invoke sagemaker:{kind.create}. Error Details: {error}") from error
    try:  # a RegisterModel step makes its group where there is none
        client.create_model_package_group(ModelPackageGroupName=group)
        return dict(create(**arguments))
    except ClientError as error:
        raise _Retryable(_told(kind.create, error), _error_type(error)) from error


def _is_missing_group(client: Any, group: str) -> bool:
    try:
        client.describe_model_package_group(ModelPackageGroupName=group)
    except ClientError as error:
        return error.response["Error"]["Code"] in ("ValidationException", "ResourceNotFound")
    return False


def _wait(kind: StepKind, made: str, context: StepContext) -> None:
    """Wait for a job. An execution that is being stopped stops its jobs."""
    asked = False
    status = f"{kind.kind}Status"
    while True:
        record = context.job(kind, made)
        if record is None:
            raise _Retryable(f"InternalServerError: {made} is gone", pipeline_policies.JOB_INTERNAL_ERROR)
        if record[status] == "Completed":
            return
        if record[status] in _JOB_FAILED:
            if record[status] == "Stopped" and context.stopping.is_set():
                raise StepStopped
            reason = record.get("FailureReason") or f"ClientError: job {made} ended with status {record[status]}"
            raise _Retryable(reason, pipeline_policies.failure_type(reason))
        if context.stopping.is_set() and not asked:
            asked = True
            _ask_to_stop(kind, made, context)
        time.sleep(_POLL_SECONDS)


def _ask_to_stop(kind: StepKind, made: str, context: StepContext) -> None:
    try:
        getattr(context.role.client("sagemaker"), xform_name(kind.stop))(**{kind.name: made})
    except ClientError as error:
        if "rejected because" not in str(error):  # it has ended by itself in the meantime
            raise StepFailure(_told(kind.stop, error)) from error


def _told(operation: str, error: ClientError) -> str:
    message = error.response["Error"]["Message"]
    return f"ClientError: Failed to invoke sagemaker:{operation}. Error Details: {message}"


def _error_type(error: ClientError) -> str:
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
    return pipeline_policies.error_type(error.response["Error"]["Code"], status)


def _run_lambda(step: Step, context: StepContext) -> Outcome:
    scope = context.scope({})
    arn = str(scope.resolve(step.raw["FunctionArn"]))
    payload = json.dumps(scope.resolve(dict(step.arguments)), default=_text).encode()
    context.note({"Metadata": {"Lambda": {"Arn": arn}}, "AttemptCount": 1})
    try:
        answer = context.role.client("lambda").invoke(FunctionName=arn, Payload=payload)
    except (ClientError, BotoCoreError) as error:
        raise StepFailure(f"ClientError: Failed to invoke lambda:Invoke of {arn}. Error Details: {error}") from error
    text = answer["Payload"].read().decode()
    if answer.get("FunctionError"):
        raise StepFailure(f"ClientError: Lambda function {arn} failed: {text}"[:REASON_LIMIT])
    try:
        returned = json.loads(text or "null")
    except ValueError:
        returned = None
    values = returned if isinstance(returned, dict) else {}
    missing = [name for name in step.lambda_outputs if name not in values]
    if missing:
        raise StepFailure(f"ClientError: Lambda function {arn} did not return the outputs {', '.join(missing)}")
    parameters = [{"Name": name, "Value": _as_output(values[name])} for name in step.lambda_outputs]
    typed = {name: values[name] for name in step.lambda_outputs}
    metadata = {"Lambda": {"Arn": arn, "OutputParameters": parameters}}
    return Outcome(metadata, {"OutputParameters": typed}, {"_Outputs": typed})


def _lambda_properties(parameters: list[dict[str, str]]) -> dict[str, Any]:
    return {"OutputParameters": {item["Name"]: item["Value"] for item in parameters}}


def _as_output(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def read_json(role: RoleSession, uri: str) -> Any:
    """A JSON document in S3, read as the pipeline's role.

    Raises:
        StepFailure: it cannot be read, or is no JSON.
    """
    try:
        bucket, key = split_uri(uri)
        return json.loads(role.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read())
    except (ClientError, JobError, ValueError) as error:
        raise StepFailure(f"ClientError: cannot read the JSON document {uri} as {role.role_arn}: {error}") from error
