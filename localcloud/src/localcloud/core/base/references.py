"""Names that a template uses and does not have: AWS refuses such a template, ministack resolves them to nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_NAMES = re.compile(r"\$\{([^!${}][^${}]*)\}")
_BLOCKS = ("Resources", "Outputs")


def check(template: Any) -> None:
    """Refuse unresolved references. Templates with a transform are left to the transform.

    Raises:
        ValueError: as AWS words it.
    """
    if not isinstance(template, Mapping) or "Transform" in template:
        return
    known = {name for block in ("Resources", "Parameters") for name in (template.get(block) or {})}
    for block in _BLOCKS:
        missing = sorted({name for name in _used(template.get(block)) if "::" not in name} - known)
        if missing:
            raise ValueError(
                f"Template format error: Unresolved resource dependencies [{', '.join(missing)}] in the {block} block "
                "of the template"
            )


def _used(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _used(item)
    elif isinstance(value, Mapping):
        if len(value) == 1:
            ((function, argument),) = value.items()
            yield from _of(str(function), argument)
        for item in value.values():
            yield from _used(item)


def _of(function: str, argument: Any) -> Iterator[str]:
    if function == "Ref" and isinstance(argument, str):
        yield argument
    elif function == "Fn::GetAtt":
        first = argument.partition(".")[0] if isinstance(argument, str) else (argument or [None])[0]
        if isinstance(first, str):
            yield first
    elif function == "Fn::Sub":
        text, own = (argument, {}) if isinstance(argument, str) else ([*argument, {}])[:2]
        for name in _NAMES.findall(str(text)):
            if name.strip() not in own:
                yield name.strip().partition(".")[0]
