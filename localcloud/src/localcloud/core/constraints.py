"""The constraints of a service model, checked and worded as AWS's servers do.

    1 validation error detected: Value 'my_job' at 'trainingJobName' failed to satisfy constraint: Member must satisfy
    regular expression pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}

botocore's own validator knows types, required members and lower bounds; enums, patterns and upper bounds it leaves to
the server, which here is us. The form is that of the JSON services: member names begin in lower case, list items are
numbered from 1 (`tags.1.member.key`), and what a list's or a map's plain items break is reported at the container.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import regex  # re has no \p{L}, which half of the models' patterns use
from botocore.model import ListShape, MapShape, Shape, StructureShape

_TEXT = ("string", "character")
# How Java's UTF-16 writes the characters beyond the basic plane; the models of eight services hold it.
_SURROGATES = r"\uD800\uDC00-\uDBFF\uDFFF"
_NUMBER = ("integer", "long", "float", "double")


def check(shape: Shape, value: Any) -> list[str]:
    """Problems of a request, one text each; an empty list where there are none.

    Values whose type is not the shape's are passed over: that is a serialization error, which is not decided here.
    """
    return list(_walk(shape, value, ""))


def summary(problems: list[str]) -> str:
    """The message of the one ValidationException that AWS answers with for all problems together."""
    return f"{len(problems)} validation error{'s' if len(problems) > 1 else ''} detected: " + "; ".join(problems)


def _walk(shape: Shape, value: Any, path: str) -> Iterator[str]:
    if isinstance(shape, StructureShape):
        if isinstance(value, Mapping):
            yield from _structure(shape, value, path)
    elif isinstance(shape, ListShape):
        if isinstance(value, list | tuple):
            yield from _problem(value, path, _size(shape, len(value)))
            yield from _items(shape.member, value, path, "Member must satisfy constraint", value)
    elif isinstance(shape, MapShape):
        if isinstance(value, Mapping):
            yield from _problem(value, path, _size(shape, len(value)))
            yield from _items(shape.key, list(value), path, "Map keys must satisfy constraint", value)
            yield from _map_values(shape, value, path)
    else:
        yield from _problem(value, path, _scalar(shape, value))


def _structure(shape: StructureShape, value: Mapping[str, Any], path: str) -> Iterator[str]:
    for name in shape.required_members:
        if value.get(name) is None:
            yield f"Value null at '{_join(path, name)}' failed to satisfy constraint: Member must not be null"
    members = shape.members
    for name, item in value.items():
        if item is not None and name in members:
            yield from _walk(members[name], item, _join(path, name))
    if getattr(shape, "is_tagged_union", False) and sum(1 for item in value.values() if item is not None) > 1:
        given = ", ".join(name for name, item in value.items() if item is not None)
        yield f"Value '[{given}]' at '{path}' failed to satisfy constraint: Exactly one member of the union must be set"


def _items(shape: Shape, items: Any, path: str, words: str, shown: Any) -> Iterator[str]:
    """Items of a list, or keys of a map: nested ones one by one, plain ones together at the container."""
    if isinstance(shape, StructureShape | ListShape | MapShape):
        for index, item in enumerate(items, 1):
            yield from _walk(shape, item, f"{path}.{index}.member")
    elif any(_scalar(shape, item) for item in items):
        yield _told(shown, path, f"{words}: [{', '.join(_described(shape))}]")


def _map_values(shape: MapShape, value: Mapping[str, Any], path: str) -> Iterator[str]:
    if isinstance(shape.value, StructureShape | ListShape | MapShape):
        for key, item in value.items():
            yield from _walk(shape.value, item, f"{path}.{key}.member")
    elif any(_scalar(shape.value, item) for item in value.values()):
        yield _told(value, path, f"Map value must satisfy constraint: [{', '.join(_described(shape.value))}]")


def _scalar(shape: Shape, value: Any) -> list[str]:
    """The constraints that a plain value breaks."""
    kind = shape.type_name
    if kind in _TEXT and isinstance(value, str):
        enum = getattr(shape, "enum", None)
        if enum:
            return [] if value in enum else [_enum(enum)]
        broken = _size(shape, len(value))
        pattern = str(shape.metadata.get("pattern") or "")
        compiled = _compiled(pattern) if pattern else None
        if compiled is not None and compiled.fullmatch(value) is None:
            broken.append(_pattern(pattern))
        return broken
    if kind in _NUMBER and isinstance(value, int | float) and not isinstance(value, bool):
        low, high = shape.metadata.get("min"), shape.metadata.get("max")
        if high is not None and value > high:
            return [f"Member must have value less than or equal to {high}"]
        if low is not None and value < low:
            return [f"Member must have value greater than or equal to {low}"]
    if kind == "blob" and isinstance(value, bytes | bytearray):
        return _size(shape, len(value))
    return []


def _size(shape: Shape, length: int) -> list[str]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if high is not None and length > high:
        return [f"Member must have length less than or equal to {high}"]
    if low is not None and length < low:
        return [f"Member must have length greater than or equal to {low}"]
    return []


def _described(shape: Shape) -> list[str]:
    """All constraints of a plain shape: AWS lists them all when an item of a container breaks one."""
    enum = getattr(shape, "enum", None)
    if enum:
        return [_enum(enum)]
    noun = "value" if shape.type_name in _NUMBER else "length"
    words = []
    if (high := shape.metadata.get("max")) is not None:
        words.append(f"Member must have {noun} less than or equal to {high}")
    if (low := shape.metadata.get("min")) is not None:
        words.append(f"Member must have {noun} greater than or equal to {low}")
    if pattern := shape.metadata.get("pattern"):
        words.append(_pattern(str(pattern)))
    return words


def _enum(values: list[str]) -> str:
    return f"Member must satisfy enum value set: [{', '.join(values)}]"


def _pattern(pattern: str) -> str:
    return f"Member must satisfy regular expression pattern: {pattern}"


def _problem(value: Any, path: str, broken: list[str]) -> Iterator[str]:
    for constraint in broken:
        yield _told(value, path, constraint)


def _told(value: Any, path: str, constraint: str) -> str:
    return f"Value '{_shown(value)}' at '{path}' failed to satisfy constraint: {constraint}"


def _shown(value: Any) -> str:
    """A value as Java prints it, which is what AWS's messages hold."""
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_shown(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}={_shown(item)}" for key, item in value.items()) + "}"
    return str(value)


def _join(path: str, name: str) -> str:
    lower = name[:1].lower() + name[1:]
    return f"{path}.{lower}" if path else lower


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> regex.Pattern[str] | None:
    """The pattern, in Java's dialect (`\\p{L}`); None for one that cannot be read, which then constrains nothing."""
    try:
        return regex.compile(pattern.replace(_SURROGATES, r"\U00010000-\U0010FFFF"))
    except regex.error:
        return None
