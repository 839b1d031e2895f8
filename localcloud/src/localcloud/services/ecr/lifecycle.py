"""Lifecycle policies: checked when put, and applied as ECR applies them.

https://docs.aws.amazon.com/AmazonECR/latest/userguide/LifecyclePolicies.html
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from localcloud.core import Fault

_RULE_MEMBERS = {"rulePriority", "description", "selection", "action"}
_SELECTION_MEMBERS = {"tagStatus", "tagPrefixList", "tagPatternList", "countType", "countUnit", "countNumber"}


def check(text: str) -> list[dict[str, Any]]:
    """The rules of a policy, by priority.

    Raises:
        Fault: InvalidParameterException with the reason, as ECR gives it.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise _invalid(f"it is not JSON: {error}") from None
    rules = document.get("rules") if isinstance(document, dict) else None
    if not isinstance(rules, list) or not rules:
        raise _invalid("'rules' must be a list with one rule at least")
    priorities: set[int] = set()
    for rule in rules:
        _check_rule(rule)
        if rule["rulePriority"] in priorities:
            raise _invalid(f"rulePriority {rule['rulePriority']} is given twice")
        priorities.add(rule["rulePriority"])
    anything = [rule for rule in rules if rule["selection"]["tagStatus"] == "any"]
    if len(anything) > 1 or (anything and anything[0]["rulePriority"] != max(priorities)):
        raise _invalid("only one rule may have tagStatus any, and it must have the highest rulePriority")
    return sorted(rules, key=lambda rule: int(rule["rulePriority"]))


def _check_rule(rule: Any) -> None:
    if not isinstance(rule, dict) or set(rule) - _RULE_MEMBERS:
        raise _invalid(f"a rule may have {', '.join(sorted(_RULE_MEMBERS))}; given: {rule}")
    priority, selection = rule.get("rulePriority"), rule.get("selection")
    if not isinstance(priority, int) or priority < 1:
        raise _invalid(f"rulePriority must be a number from 1; given: {priority}")
    if rule.get("action") != {"type": "expire"}:
        raise _invalid(f'the action must be {{"type": "expire"}}; given: {rule.get("action")}')
    if not isinstance(selection, dict) or set(selection) - _SELECTION_MEMBERS:
        raise _invalid(f"a selection may have {', '.join(sorted(_SELECTION_MEMBERS))}; given: {selection}")
    status, kind = selection.get("tagStatus"), selection.get("countType")
    if status not in ("tagged", "untagged", "any"):
        raise _invalid(f"tagStatus must be tagged, untagged or any; given: {status}")
    named = [member for member in ("tagPrefixList", "tagPatternList") if selection.get(member)]
    if status == "tagged" and not named:
        raise _invalid("tagStatus tagged needs tagPatternList or tagPrefixList")
    if status != "tagged" and named:
        raise _invalid(f"{named[0]} needs tagStatus tagged")
    if len(named) > 1:
        raise _invalid("tagPatternList and tagPrefixList exclude each other")
    if kind not in ("imageCountMoreThan", "sinceImagePushed"):
        raise _invalid(f"countType must be imageCountMoreThan or sinceImagePushed; given: {kind}")
    if (kind == "sinceImagePushed") != (selection.get("countUnit") == "days"):
        raise _invalid("countUnit days goes with countType sinceImagePushed, and only with it")
    number = selection.get("countNumber")
    if not isinstance(number, int) or number < 1:
        raise _invalid(f"countNumber must be a number from 1; given: {number}")


def _invalid(reason: str) -> Fault:
    return Fault(
        "InvalidParameterException",
        "Invalid parameter at 'LifecyclePolicyText' failed to satisfy constraint: "
        f"'Lifecycle policy validation failure: {reason}'",
    )


def expired(
    rules: Sequence[Mapping[str, Any]], images: Sequence[Mapping[str, Any]], now: datetime
) -> list[tuple[Mapping[str, Any], int]]:
    """(image, priority of the rule) of what a policy expires. An image belongs to the first rule that selects it.

    Args:
        images: documents with `tags` and `pushed_at`.
    """
    found: list[tuple[Mapping[str, Any], int]] = []
    claimed: set[int] = set()
    for rule in rules:
        selection = rule["selection"]
        chosen = [image for image in images if id(image) not in claimed and _selects(selection, image["tags"])]
        claimed.update(id(image) for image in chosen)
        newest_first = sorted(chosen, key=lambda image: image["pushed_at"], reverse=True)
        if selection["countType"] == "imageCountMoreThan":
            going = newest_first[selection["countNumber"] :]
        else:
            limit = now - timedelta(days=selection["countNumber"])
            going = [image for image in newest_first if image["pushed_at"] < limit]
        found += [(image, int(rule["rulePriority"])) for image in going]
    return found


def _selects(selection: Mapping[str, Any], tags: Sequence[str]) -> bool:
    status = selection["tagStatus"]
    if status != "tagged":
        return status == "any" or not tags
    prefixes, patterns = selection.get("tagPrefixList") or [], selection.get("tagPatternList") or []
    # Every prefix or pattern of the list has to fit one of the image's tags.
    return bool(tags) and all(
        any(tag.startswith(prefix) for tag in tags) for prefix in prefixes
    ) and all(any(fnmatch.fnmatchcase(tag, pattern) for tag in tags) for pattern in patterns)  # fmt: skip
