"""A condition on a key that does not exist: it never holds, or always, and nobody says so."""

from __future__ import annotations

import difflib
import re
import warnings
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from cfnlint.rules import CloudFormationLintRule, RuleMatch

from slipway.lint.templates import objects, properties, resources

# Newer than parliament's list of 2023; each from the Service Authorization Reference or the IAM User Guide.
_NEWER = {
    "aws:sourceorgid",
    "aws:sourceorgpaths",
    "aws:sourceownerid",
    "aws:vpceaccount",
    "aws:vpceorgid",
    "aws:vpceorgpaths",
}


class ConditionKeys(CloudFormationLintRule):
    """Every key of a policy's conditions is a global one or one of a service."""

    id = "E3908"
    shortdesc = "Condition keys exist"
    description = "A policy's conditions use global keys, or keys that the service of their prefix has"
    source_url = "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html"
    tags = ["resources", "iam"]  # noqa: RUF012

    def match(self, cfn: Any) -> list[RuleMatch]:
        """Unknown keys."""
        found = []
        for _, resource, path in resources(cfn.template):
            for within, at in objects(properties(resource), [*path, "Properties"]):
                conditions = within.get("Condition")
                if within.get("Effect") not in ("Allow", "Deny") or not isinstance(conditions, dict):
                    continue
                for test, keys in conditions.items():
                    for key, where in _keys(keys, [*at, "Condition", test]):
                        problem = unknown(key)
                        if problem:
                            found.append(RuleMatch(where, problem))
        return found


def _keys(keys: Any, at: list[Any]) -> Iterator[tuple[Any, list[Any]]]:
    """The keys of a test and where they stand; those of every alternative of an Fn::If."""
    if not isinstance(keys, dict):
        return
    for key, value in keys.items():
        if key == "Fn::If" and isinstance(value, list):
            for index, alternative in enumerate(value[1:], 1):
                yield from _keys(alternative, [*at, key, index])
        elif key != "Ref":  # AWS::NoValue
            yield key, [*at, key]


@lru_cache
def _catalogue() -> dict[str, list[str]]:
    """Prefix → its condition keys, in lower case as AWS compares them; `aws` has the global ones."""
    with warnings.catch_warnings():  # of pkg_resources, which parliament imports
        warnings.simplefilter("ignore")
        import parliament
        from parliament.statement import GLOBAL_CONDITION_KEYS

    found: dict[str, list[str]] = {"aws": [str(key).lower() for key in GLOBAL_CONDITION_KEYS] + sorted(_NEWER)}
    for service in parliament.iam_definition:
        for condition in service["conditions"]:
            key = str(condition["condition"]).lower()
            found.setdefault(key.partition(":")[0], []).append(key)
    return found


def unknown(key: Any) -> str | None:
    """What is wrong with a condition key, or None."""
    if not isinstance(key, str) or "${" in key:
        return None
    prefix, colon, _ = key.partition(":")
    keys = _catalogue().get(prefix.lower())
    if not colon or keys is None:
        return f"condition key '{key}' has the prefix of no service"
    if any(re.fullmatch(_pattern(known), key.lower()) for known in keys):
        return None
    near = difflib.get_close_matches(key.lower(), keys, 1)
    return f"condition key '{key}' does not exist" + (f"; do you mean {near[0]}?" if near else "")


def _pattern(known: str) -> str:
    """A key with a variable part (`aws:RequestTag/${TagKey}`, `aws:PrincipalTag/*`) as an expression."""
    fixed = re.split(r"\$\{[^}]*\}|<[^>]*>|\*", known)
    return ".+".join(re.escape(part) for part in fixed) + (".+" if known.endswith("/") else "")
