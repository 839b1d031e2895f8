"""Reading templates as cfn-lint hands them over: plain objects with intrinsic functions in their long form."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

Path = list[str | int]

_ARN = "arn:aws:states:::placeholder"
_VARIABLE = re.compile(r"\$\{([^!}][^}]*)\}")


def resources(template: Any, *kinds: str) -> Iterator[tuple[str, dict[str, Any], Path]]:
    """Resources of these types (of all, without any), as (type, resource, path). What is malformed is left out."""
    found = template.get("Resources") if isinstance(template, dict) else None
    for name, resource in (found or {}).items():
        kind = resource.get("Type") if isinstance(resource, dict) else None
        if isinstance(kind, str) and (not kinds or kind in kinds):
            yield kind, resource, ["Resources", name]


def properties(resource: dict[str, Any]) -> dict[str, Any]:
    """The properties of a resource."""
    found = resource.get("Properties")
    return found if isinstance(found, dict) else {}


def objects(value: Any, path: Path) -> Iterator[tuple[dict[str, Any], Path]]:
    """Every object within a value, with where it is."""
    if isinstance(value, dict):
        yield value, path
        for key, item in value.items():
            yield from objects(item, [*path, key])
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from objects(item, [*path, index])


def items(value: Any, path: Path) -> Iterator[tuple[dict[str, Any], Path]]:
    """The objects of a list, those behind Fn::If as well, with where each is."""
    for index, item in enumerate(value if isinstance(value, list) else []):
        yield from _either(item, [*path, index])


def _either(item: Any, path: Path) -> Iterator[tuple[dict[str, Any], Path]]:
    if not isinstance(item, dict):
        return
    if set(item) == {"Fn::If"} and isinstance(item["Fn::If"], list):
        for side, alternative in enumerate(item["Fn::If"][1:], 1):
            yield from _either(alternative, [*path, "Fn::If", side])
    elif set(item) != {"Ref"}:
        yield item, path


def text(value: Any) -> str | None:
    """A text as CloudFormation would put it together, with a placeholder for what is known at deployment alone.

    Returns:
        None where it is no text, or one that cannot be known (Fn::ImportValue, a parameter).
    """
    if isinstance(value, str):
        return value
    if not isinstance(value, dict) or len(value) != 1:
        return None
    ((function, argument),) = value.items()
    if function == "Fn::Join" and isinstance(argument, list) and len(argument) == 2:
        return str(argument[0]).join(text(part) or _ARN for part in argument[1])
    if function == "Fn::Sub":
        pattern, names = argument if isinstance(argument, list) else (argument, {})
        for name, given in names.items():
            pattern = pattern.replace(f"${{{name}}}", text(given) or _ARN)
        return _VARIABLE.sub(_ARN, pattern).replace("${!", "${")
    return None


def resolved(value: Any) -> Any:
    """A value with every intrinsic function replaced by its text or a placeholder."""
    if isinstance(value, list):
        return [resolved(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        function = next(iter(value))
        if function in {"Ref", "Fn::GetAtt", "Fn::ImportValue", "Fn::Select", "Fn::FindInMap"}:
            return _ARN
        if function in {"Fn::Sub", "Fn::Join"}:
            return text(value)
        if function == "Fn::If":
            return resolved(value[function][1])
    return {key: resolved(item) for key, item in value.items()}


def listed(value: Any) -> list[Any]:
    """One or many as many."""
    return value if isinstance(value, list) else [value]
