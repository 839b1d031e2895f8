"""Records into answers, and changes into records."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import jmespath
from botocore.model import ListShape, MapShape, Shape, StructureShape

from localcloud.records.types import Record

_MISSING = object()


def project(value: Any, shape: Shape) -> Any:
    """The part of a value that a shape has members for; what does not fit its type is left out."""
    shaped = _project(value, shape)
    return {} if shaped is _MISSING else shaped


def _nested(value: Any, shape: Shape) -> Any:
    """As `_project`; an empty structure is left out where the answer's shape, unlike the request's, wants members."""
    shaped = _project(value, shape)
    return _MISSING if shaped == {} and isinstance(shape, StructureShape) and shape.required_members else shaped


def _project(value: Any, shape: Shape) -> Any:
    if isinstance(shape, StructureShape):
        if not isinstance(value, Mapping):
            return _MISSING
        if getattr(shape, "is_document_type", False):
            return value
        shaped = {}
        for name, member in shape.members.items():
            item = value.get(name)
            if item is not None and (fitted := _nested(item, member)) is not _MISSING:
                shaped[name] = fitted
        return shaped
    if isinstance(shape, ListShape):
        if not isinstance(value, list | tuple):
            return _MISSING
        return [fitted for item in value if (fitted := _nested(item, shape.member)) is not _MISSING]
    if isinstance(shape, MapShape):
        if not isinstance(value, Mapping):
            return _MISSING
        return {key: fitted for key, item in value.items() if (fitted := _nested(item, shape.value)) is not _MISSING}
    return _MISSING if isinstance(value, Mapping | list | tuple) else value


def look(record: Record, path: str) -> Any:
    """What a JMESPath finds in a record. Plain names, also those with `_`, need no engine."""
    return record[path] if path in record else jmespath.search(path, record)


def renamed(record: Record, names: Mapping[str, str]) -> Record:
    """The record with further members computed from it."""
    extra = {name: found for name, path in names.items() if (found := look(record, path)) is not None}
    return {**record, **extra}


def merged(record: Record, changes: Mapping[str, Any], deep: tuple[str, ...] = ()) -> Record:
    """The record after an update: what is given replaces, `…ToRemove` removes keys, `deep` members are merged into.

    AWS merges a map by key where the request's model has a `…ToRemove` for it; the caller passes it as `deep`.
    """
    result = copy.deepcopy(record)
    removals = {name.removesuffix("ToRemove"): keys for name, keys in changes.items() if name.endswith("ToRemove")}
    for name, value in changes.items():
        if name.endswith("ToRemove"):
            continue
        current = result.get(name)
        if isinstance(current, dict) and isinstance(value, Mapping) and name in deep:
            result[name] = _merge(current, value)
        else:
            result[name] = copy.deepcopy(value)
    for name, keys in removals.items():
        if isinstance(result.get(name), dict):
            result[name] = {key: value for key, value in result[name].items() if key not in keys}
    return result


def _merge(current: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(current)
    for name, value in changes.items():
        present = result.get(name)
        result[name] = _merge(present, value) if isinstance(present, dict) and isinstance(value, Mapping) else value
    return result
