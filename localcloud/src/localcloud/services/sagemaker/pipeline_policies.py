"""How a step is cached and how often it is tried again."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

# https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-default-keys.html
CACHE_KEYS: Mapping[str, tuple[str, ...]] = {
    "Processing": ("AppSpecification", "Environment", "ProcessingInputs"),
    "Training": (
        "AlgorithmSpecification", "CheckpointConfig", "DebugHookConfig", "DebugRuleConfigurations", "Environment",
        "HyperParameters", "InputDataConfig",
    ),
    "Tuning": ("HyperParameterTuningJobConfig", "TrainingJobDefinition", "TrainingJobDefinitions"),
    "Transform": ("DataProcessing", "Environment", "ModelName", "TransformInput"),
}  # fmt: skip
_DEFINITION_KEYS = (
    "AlgorithmSpecification", "HyperParameterRanges", "InputDataConfig", "StaticHyperParameters", "TuningObjective",
)  # fmt: skip

RETRY_STEPS = ("Processing", "Training", "Tuning", "Transform", "Model", "RegisterModel")
SERVICE_FAULT, THROTTLING = "Step.SERVICE_FAULT", "Step.THROTTLING"
JOB_INTERNAL_ERROR, CAPACITY_ERROR = "SageMaker.JOB_INTERNAL_ERROR", "SageMaker.CAPACITY_ERROR"
RESOURCE_LIMIT = "SageMaker.RESOURCE_LIMIT"
EXCEPTION_TYPES = (
    SERVICE_FAULT, THROTTLING, JOB_INTERNAL_ERROR, CAPACITY_ERROR, "SageMaker.JOB_CAPACITY_ERROR", RESOURCE_LIMIT
)  # fmt: skip

_DURATION = re.compile(
    r"P?(?:(?P<years>\d+)Y)?(?:(?P<months>\d+)M)?(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?)?",
    re.IGNORECASE,
)
_DEFAULT_RETRIES = 5


def duration(text: str) -> timedelta:
    """An ISO 8601 duration of years to minutes, `P` optional, as CacheConfig.ExpireAfter has it.

    Raises:
        ValueError: it is none.
    """
    found = _DURATION.fullmatch(text)
    parts = {name: int(value) for name, value in found.groupdict().items() if value} if found else {}
    if not parts:
        raise ValueError(f"'{text}' is not an ISO 8601 duration such as P30D, PT1H or 30dT5h")
    days = parts.pop("years", 0) * 365 + parts.pop("months", 0) * 30 + parts.pop("days", 0)
    return timedelta(days=days, **parts)


def signature(kind: str, arguments: Mapping[str, Any]) -> str:
    """The digest of what decides whether an earlier run of a step can be reused; "" where the type has no cache."""
    if kind not in CACHE_KEYS:
        return ""
    chosen = {key: _signed(key, arguments[key]) for key in CACHE_KEYS[kind] if arguments.get(key)}
    return hashlib.sha256(json.dumps([kind, chosen], sort_keys=True, default=str).encode()).hexdigest()


def _signed(key: str, value: Any) -> Any:
    """Of a training job definition only what makes another model counts: not its role, its output or its instances."""
    if key == "TrainingJobDefinition":
        return {name: value[name] for name in _DEFINITION_KEYS if value.get(name)}
    if key == "TrainingJobDefinitions":
        return [_signed("TrainingJobDefinition", item) for item in value]
    return value


def check_retry_policies(kind: str, policies: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is wrong with a step's RetryPolicies."""
    if policies and kind not in RETRY_STEPS:
        return [f"a step of type {kind} takes no RetryPolicies; these do: {', '.join(RETRY_STEPS)}"]
    problems = []
    for index, policy in enumerate(policies):
        where = f"RetryPolicies[{index}]"
        unknown = [name for name in policy.get("ExceptionType", []) if name not in EXCEPTION_TYPES]
        if unknown or not policy.get("ExceptionType"):
            problems.append(f"{where}.ExceptionType is {unknown}; allowed are {', '.join(EXCEPTION_TYPES)}")
        if "MaxAttempts" in policy and "ExpireAfterMin" in policy:
            problems.append(f"{where} has both MaxAttempts and ExpireAfterMin; only one can be given")
        for name, most in (("MaxAttempts", 20), ("ExpireAfterMin", 14400), ("IntervalSeconds", 43200)):
            if not 0 <= policy.get(name, 0) <= most:
                problems.append(f"{where}.{name} is {policy[name]}; allowed are 0 to {most}")
    return problems


def retry_delay(
    policies: Sequence[Mapping[str, Any]], error: str, failed: Mapping[str, int], elapsed: float
) -> float | None:
    """Seconds until the next attempt, or None when there is to be none.

    Args:
        error: the type of what went wrong, one of EXCEPTION_TYPES, or "" for an error that no policy covers.
        failed: how often each type of error came before this one.
        elapsed: seconds since the step began.
    """
    policy = next((item for item in policies if error and error in item["ExceptionType"]), None)
    if policy is None:
        if error not in (SERVICE_FAULT, THROTTLING):
            return None
        policy = {"MaxAttempts": _DEFAULT_RETRIES}  # Pipelines retries these two by itself
    attempts = sum(failed.get(name, 0) for name in policy.get("ExceptionType", [error]))
    if "ExpireAfterMin" in policy:
        if elapsed >= policy["ExpireAfterMin"] * 60:
            return None
    elif attempts >= policy.get("MaxAttempts", _DEFAULT_RETRIES):
        return None
    return float(policy.get("IntervalSeconds", 1)) * float(policy.get("BackoffRate", 2.0)) ** attempts


def error_type(code: str, status: int = 400) -> str:
    """The retry type of an error that a create call answered with."""
    if "Throttl" in code or code == "TooManyRequestsException":
        return THROTTLING
    if code in ("ResourceLimitExceeded", "LimitExceededException"):
        return RESOURCE_LIMIT
    return SERVICE_FAULT if status >= 500 else ""


def failure_type(reason: str) -> str:
    """The retry type of a job's FailureReason."""
    if reason.startswith("InternalServerError"):
        return JOB_INTERNAL_ERROR
    return CAPACITY_ERROR if reason.startswith("CapacityError") else ""
