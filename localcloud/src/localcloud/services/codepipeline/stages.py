"""Stage conditions: their declaration, and what a rule says of the variables of an execution."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from localcloud.core import Fault
from localcloud.services.codepipeline.catalogue import OPERATORS, RULES, RULES_NOT_SERVED

# What may follow when a condition is not met. ROLLBACK is AWS's, and refused here by name.
RESULTS = {"beforeEntry": ("FAIL", "SKIP"), "onSuccess": ("FAIL",), "onFailure": ("FAIL", "RETRY")}


def conditions(stage: dict[str, Any], member: str) -> list[dict[str, Any]]:
    """The conditions of `beforeEntry`, `onSuccess` or `onFailure`."""
    return list((stage.get(member) or {}).get("conditions") or [])


def rules(stage: dict[str, Any], member: str) -> Iterator[dict[str, Any]]:
    """Every rule of these conditions, with a configuration."""
    for condition in conditions(stage, member):
        for rule in condition.get("rules") or []:
            yield {**rule, "configuration": rule.get("configuration") or {}}


def _fault(stage: dict[str, Any], message: str) -> Fault:
    return Fault("InvalidStageDeclarationException", f"Stage [{stage['name']}]: {message}")


def validate(stage: dict[str, Any], pipeline: dict[str, Any]) -> None:
    """Refuse conditions that AWS refuses or that are not served.

    Raises:
        Fault: InvalidStageDeclarationException.
    """
    for member, allowed in RESULTS.items():
        block = stage.get(member)
        if not block:
            continue
        if stage is pipeline["stages"][0] and member == "beforeEntry":
            raise _fault(stage, "the first stage, which contains the source actions, cannot have entry conditions")
        results = [condition.get("result") for condition in conditions(stage, member)]
        if member == "onFailure":
            results.append(block.get("result"))
        for result in results:
            if result == "ROLLBACK":
                raise _fault(stage, f"{member} result ROLLBACK is not served by the local cloud")
            if result is not None and result not in allowed:
                raise _fault(stage, f"{member} result is {result}; allowed are {', '.join(allowed)}")
        if member == "onFailure":
            _retry(stage, block)
        for condition in conditions(stage, member):
            if not condition.get("rules"):
                raise _fault(stage, f"{member} has a condition without rules")
            for rule in condition["rules"]:
                _rule(stage, rule, skips=condition.get("result") == "SKIP")


def _retry(stage: dict[str, Any], block: dict[str, Any]) -> None:
    if block.get("retryConfiguration") and block.get("result") != "RETRY":
        raise _fault(stage, f"onFailure has a retryConfiguration and result {block.get('result')}; it needs RETRY")


def _rule(stage: dict[str, Any], rule: dict[str, Any], *, skips: bool) -> None:
    kind, given = rule["ruleTypeId"], rule.get("configuration") or {}
    provider = kind["provider"]
    if provider in RULES_NOT_SERVED:
        raise _fault(
            stage,
            f"rule '{rule['name']}' has provider {provider}, which is not served by the local cloud. Served are "
            + ", ".join(RULES),
        )
    known = RULES.get(provider)
    if known is None or kind.get("version", "1") != "1":
        raise _fault(stage, f"rule '{rule['name']}' has unknown provider {provider} version {kind.get('version', '1')}")
    if skips and not known.may_skip:
        raise _fault(stage, f"rule '{rule['name']}': provider {provider} cannot be used with result SKIP")
    for key in sorted(known.required - set(given)):
        raise _fault(stage, f"configuration for rule '{rule['name']}' is missing required configuration '{key}'")
    for key in sorted(set(given) - known.required - known.optional):
        raise _fault(stage, f"configuration for rule '{rule['name']}' contains unknown configuration '{key}'")
    if provider == "VariableCheck":
        if given["Operator"] not in OPERATORS:
            raise _fault(
                stage, f"rule '{rule['name']}' has Operator '{given['Operator']}'; allowed are {', '.join(OPERATORS)}"
            )
        if given["Operator"] == "MATCHES" and "#{" not in given["Value"]:
            try:
                re.compile(given["Value"])
            except re.error as error:
                raise _fault(
                    stage, f"rule '{rule['name']}' has a Value that is no regular expression: {error}"
                ) from error


def variable_check(operator: str, variable: str, value: str) -> bool:
    """Whether a VariableCheck rule passes. MATCHES is java.util.regex's `matches`: the whole text must match."""
    if operator == "EQ":
        return variable == value
    if operator == "NE":
        return variable != value
    if operator == "CONTAINS":
        return value in variable
    return re.fullmatch(value, variable) is not None
