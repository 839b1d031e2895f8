"""AWS's CloudFormation provider schemas, as cfn-lint ships them: what a type's properties must be.

cfn-lint itself is never imported, for it takes seconds: its data files are found and read when a stack first needs one.
"""

from __future__ import annotations

import copy
import importlib.util
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import regex

_FALLBACK = "us-east-1"
# everit-org's JSON schema library, which CloudFormation's messages come from, names Java's types.
_EXPECTED = {
    "string": "String", "integer": "Integer", "number": "Number", "boolean": "Boolean", "object": "JSONObject",
    "array": "JSONArray",
}  # fmt: skip


class Schema:
    """One resource type's schema. Paths of properties are written `Name`, `Part/Name`."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        self.type = str(document["typeName"])
        self.properties: Mapping[str, Any] = document["properties"]
        self.identifier = self._paths("primaryIdentifier")
        self.read_only = tuple(path for path in self._paths("readOnlyProperties") if "*" not in path)
        self.create_only = self._paths("createOnlyProperties")
        tagging = document.get("tagging") or {}
        place = str(tagging.get("tagProperty", "/properties/Tags")).removeprefix("/properties/")
        self.tags = place if tagging.get("taggable", True) and place in self.properties else ""
        self.system_tags = bool(self.tags and tagging.get("cloudFormationSystemTags", True))
        self.tags_updatable = bool(tagging.get("tagUpdatable", True)) and self.tags not in self.create_only

    def _paths(self, name: str) -> tuple[str, ...]:
        return tuple(str(path).removeprefix("/properties/") for path in self.document.get(name) or ())

    def resolved(self, node: Mapping[str, Any]) -> Mapping[str, Any]:
        """The node, or what its `$ref` names."""
        while "$ref" in node:
            found: Any = self.document
            for part in str(node["$ref"]).removeprefix("#/").split("/"):
                found = found[part]
            node = found
        return node

    def node(self, path: str) -> Mapping[str, Any] | None:
        """The schema of a property, or None where there is no such property."""
        node: Mapping[str, Any] = self.document
        for name in path.split("/"):
            inner = (self.resolved(node).get("properties") or {}).get(name)
            if inner is None:
                return None
            node = inner
        return self.resolved(node)

    def coerced(self, properties: Mapping[str, Any]) -> dict[str, Any]:
        """The properties with texts as numbers and booleans, and the other way round, as CloudFormation converts."""
        result: dict[str, Any] = self._coerced(copy.deepcopy(dict(properties)), self.document)
        return result

    def _coerced(self, value: Any, node: Mapping[str, Any]) -> Any:
        node = self.resolved(node)
        kinds = _kinds(node)
        if isinstance(value, dict):
            known = node.get("properties") or {}
            return {name: self._coerced(item, known.get(name, {})) for name, item in value.items()}
        if isinstance(value, list):
            return [self._coerced(item, node.get("items") or {}) for item in value]
        return _scalar(value, kinds)

    def with_defaults(self, properties: Mapping[str, Any]) -> dict[str, Any]:
        """The properties, completed by what the schema says is taken where nothing is given."""
        filled: dict[str, Any] = self._filled(copy.deepcopy(dict(properties)), self.document)
        return filled

    def _filled(self, value: Any, node: Mapping[str, Any]) -> Any:
        node = self.resolved(node)
        if isinstance(value, list):
            return [self._filled(item, node.get("items") or {}) for item in value]
        if not isinstance(value, dict):
            return value
        for name, inner in (node.get("properties") or {}).items():
            default = self.resolved(inner).get("default")
            if name not in value and default is not None:
                value[name] = default
        known = node.get("properties") or {}
        return {name: self._filled(item, known.get(name, {})) for name, item in value.items()}

    def problems(self, properties: Mapping[str, Any]) -> list[str]:
        """What is wrong with the properties, in CloudFormation's words; `#/A/0: …` says where."""
        found = [
            f"#: extraneous key [{path.split('/')[0]}] is not permitted"
            for path in self.read_only
            if _at(properties, path) is not None
        ]
        errors = sorted(self._validator.iter_errors(properties), key=lambda error: list(map(str, error.absolute_path)))
        return [*found, *(told for error in errors for told in _told(error))]

    def converted(self, path: str, value: Any) -> Any:
        """A property's value, or its text, in the type that the schema has."""
        return self._coerced(value, self.node(path) or {})

    def misfits(self, path: str, value: Any) -> list[str]:
        """What is wrong with the value of one property, e.g. of an attribute that was made here."""
        node = {"definitions": self.document.get("definitions") or {}, **(self.node(path) or {"not": {}})}
        return [told for error in _validator_class()(node).iter_errors(value) for told in _told(error)]

    @cached_property
    def _validator(self) -> Any:
        return _validator_class()(self.document)

    def changed(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
        """The create-only properties that differ: the change needs a new resource."""
        return [path for path in self.create_only if _at(old, path) != _at(new, path)]


def _at(value: Any, path: str) -> Any:
    for name in path.split("/"):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _kinds(node: Mapping[str, Any]) -> tuple[str, ...]:
    kinds = node.get("type") or ()
    return (kinds,) if isinstance(kinds, str) else tuple(kinds)


def _scalar(value: Any, kinds: Sequence[str]) -> Any:
    if isinstance(value, str) and "string" not in kinds:
        if "boolean" in kinds and value.lower() in ("true", "false"):
            return value.lower() == "true"
        if "integer" in kinds and regex.fullmatch(r"-?\d+", value):
            return int(value)
        if "number" in kinds and regex.fullmatch(r"-?\d+(\.\d+)?([eE][+-]?\d+)?", value):
            return float(value) if regex.search(r"[.eE]", value) else int(value)
    if kinds == ("string",) and isinstance(value, bool | int | float):
        return str(value).lower() if isinstance(value, bool) else str(value)
    return value


def _told(error: Any) -> Iterator[str]:
    place = "/".join(["#", *(str(part) for part in error.absolute_path)])
    if error.validator == "additionalProperties":
        yield f"{place}: extraneous key [{error.message}] is not permitted"
    elif error.validator in ("required", "dependentRequired"):
        yield f"{place}: required key [{error.message}] not found"
    elif error.validator == "type":
        wanted = " or ".join(_EXPECTED.get(kind, kind) for kind in _kinds(error.schema))
        yield f"{place}: expected type: {wanted}, found: {_java(error.instance)}"
    elif error.validator == "enum":
        yield f"{place}: {error.instance} is not a valid enum value"
    else:
        yield f"{place}: failed validation constraint for keyword [{error.validator}]"


def _java(value: Any) -> str:
    kinds = {bool: "Boolean", int: "Integer", float: "BigDecimal", dict: "JSONObject", list: "JSONArray"}
    return kinds.get(type(value), "String")


@lru_cache
def _validator_class() -> Any:
    """Draft 7, with the keywords that CloudFormation's schemas have beside it."""
    from jsonschema import Draft7Validator, ValidationError, validators

    def required(_: Any, names: Any, value: Any, schema: Any) -> Iterator[Any]:
        if isinstance(value, dict):
            yield from (ValidationError(name) for name in names if name not in value)

    def dependent(_: Any, needs: Any, value: Any, schema: Any) -> Iterator[Any]:
        if isinstance(value, dict):
            for name, others in needs.items():
                if name in value:
                    yield from (ValidationError(other) for other in others if other not in value)

    def exclusive(_: Any, names: Any, value: Any, schema: Any) -> Iterator[Any]:
        if isinstance(value, dict) and sum(name in value for name in names) != 1:
            yield ValidationError("exactly one")

    def extra(validator: Any, allowed: Any, value: Any, schema: Any) -> Iterator[Any]:
        if not isinstance(value, dict):
            return
        patterns = schema.get("patternProperties", {})
        for name, item in value.items():
            if name in schema.get("properties", {}) or any(regex.search(one, name) for one in patterns):
                continue
            if isinstance(allowed, dict):
                yield from validator.descend(item, allowed, path=name)
            elif allowed is False:
                yield ValidationError(name)

    def named(validator: Any, patterns: Any, value: Any, schema: Any) -> Iterator[Any]:
        for one, node in patterns.items() if isinstance(value, dict) else ():
            for name, item in value.items():
                if regex.search(one, name):
                    yield from validator.descend(item, node, path=name)

    def pattern(_: Any, text: Any, value: Any, schema: Any) -> Iterator[Any]:
        if isinstance(value, str) and not regex.search(text, value):
            yield ValidationError("pattern")

    def whichever_case(_: Any, allowed: Any, value: Any, schema: Any) -> Iterator[Any]:
        if str(value).lower() not in {str(one).lower() for one in allowed}:
            yield ValidationError("enum")

    return validators.extend(
        Draft7Validator,
        {
            "required": required, "dependentRequired": dependent, "requiredXor": exclusive, "pattern": pattern,
            "enumCaseInsensitive": whichever_case, "additionalProperties": extra, "patternProperties": named,
        },
    )  # fmt: skip


def _data() -> Path:
    # A top-level package is found without running it.
    spec = importlib.util.find_spec("cfnlint")
    if spec is None or spec.origin is None:
        raise RuntimeError("cfn-lint is not installed: its data holds AWS's resource schemas; run make to install it")
    return Path(spec.origin).parent / "data" / "schemas"


@lru_cache(maxsize=4)
def _providers(region: str) -> Mapping[str, Any]:
    path = _data() / "providers" / f"{region}.json"
    found: Mapping[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found


@lru_cache
def load(kind: str, region: str = _FALLBACK) -> Schema:
    """The schema of a resource type in a region.

    Raises:
        LookupError: AWS has no such type, or cfn-lint does not know it.
    """
    entry = _providers(region).get(kind) or _providers(_FALLBACK).get(kind)
    if entry is None:
        raise LookupError(f"there is no resource provider schema of {kind}")
    document = entry if isinstance(entry, dict) else json.loads((_data() / "resources" / f"{entry}.json").read_text())
    return Schema(document)
