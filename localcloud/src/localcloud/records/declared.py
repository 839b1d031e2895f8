"""CloudFormation types by AWS's own schema: properties validated, names unique, replacement where the schema says so.

A type either calls an API (`Backend`), or is kept as a record without behaviour (`records.kept`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from localcloud.core import short_id
from localcloud.core.cfn import Created, Properties, ResourceContext, ResourceType
from localcloud.core.schema import Schema, load

_SYSTEM_TAG = "aws:"


class Backend(Protocol):
    """What makes, changes and removes the thing itself. Each answers with the read-only attributes, by path."""

    def create(self, context: ResourceContext, schema: Schema, properties: Properties) -> dict[str, Any]:
        """Make it."""

    def update(
        self, context: ResourceContext, schema: Schema, physical_id: str, old: Properties, new: Properties
    ) -> dict[str, Any]:
        """Change it in place."""

    def delete(self, context: ResourceContext, schema: Schema, physical_id: str, properties: Properties) -> None:
        """Remove it; that it is gone already is no error."""


@dataclass(frozen=True)
class Declared:
    """A type.

    Args:
        type: e.g. "AWS::GuardDuty::Detector".
        backend: what makes it.
        name: (property, longest) that CloudFormation fills in where the template names none.
        ref: paths whose values, joined by "|", are the value of Ref, where it is not the schema's primaryIdentifier.
        also: attributes that Fn::GetAtt reads although the schema does not list them as read-only.
        complete: adds what AWS derives from the properties; raises ValueError where AWS refuses them although the
            schema does not.
    """

    type: str
    backend: Backend
    name: tuple[str, int] | None = None
    ref: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    complete: Callable[[Properties], Properties] | None = None

    def resource_type(self) -> ResourceType:
        """As the local cloud's CloudFormation takes it."""
        maker = _Maker(self)
        return ResourceType(self.type, maker.create, maker.delete, update=maker.update)


class _Maker:
    """The three functions of a type."""

    def __init__(self, declared: Declared) -> None:
        self.declared = declared

    def create(self, context: ResourceContext, properties: Properties) -> Created:
        schema = load(self.declared.type, context.region)
        given = self._checked(context, schema, properties)
        return self._create(context, schema, self._named(context, given))

    def update(self, context: ResourceContext, physical_id: str, old: Properties, new: Properties) -> Created:
        schema = load(self.declared.type, context.region)
        given = self._checked(context, schema, new)
        before = self._completed(schema, schema.coerced(old))
        named = self._identified(schema, physical_id, before)
        member = self.declared.name[0] if self.declared.name else ""
        kept = given
        if member in named and member not in before and not given.get(member):
            kept = {**given, member: named[member]}
        if schema.changed(named, kept):
            return self._replace(context, schema, before, given)
        given = kept
        found = self.declared.backend.update(context, schema, physical_id, named, given)
        return Created(physical_id, self._attributes(schema, given, found))

    def delete(self, context: ResourceContext, physical_id: str, properties: Properties) -> None:
        schema = load(self.declared.type, context.region)
        named = self._identified(schema, physical_id, schema.coerced(properties))
        self.declared.backend.delete(context, schema, physical_id, named)

    # ---- inside

    def _checked(self, context: ResourceContext, schema: Schema, properties: Properties) -> Properties:
        given = schema.coerced(properties)
        problems = schema.problems(_without_system_tags(schema, given))
        if problems:
            raise ValueError(
                f"Properties validation failed for resource {context.logical_id} with message:\n" + "\n".join(problems)
            )
        return self._completed(schema, given)

    def _completed(self, schema: Schema, given: Properties) -> Properties:
        given = schema.with_defaults(given)
        return self.declared.complete(given) if self.declared.complete else given

    def _named(self, context: ResourceContext, given: Properties, suffix: str = "") -> Properties:
        if self.declared.name and not given.get(self.declared.name[0]):
            member, longest = self.declared.name
            return {**given, member: context.name(longest - len(suffix)) + suffix}
        return given

    def _create(self, context: ResourceContext, schema: Schema, given: Properties) -> Created:
        found = self.declared.backend.create(context, schema, given)
        attributes = self._attributes(schema, given, found)
        known = {**flat(given), **found}
        ref = self.declared.ref or schema.identifier
        return Created("|".join(str(known[path]) for path in ref), attributes)

    def _replace(self, context: ResourceContext, schema: Schema, old: Properties, new: Properties) -> Created:
        """A new one beside the old, which CloudFormation deletes afterwards. It needs a name of its own."""
        member = self.declared.name[0] if self.declared.name else ""
        if old.get(member) and old.get(member) == new.get(member):
            raise ValueError(
                "CloudFormation cannot update a stack when a custom-named resource requires replacing. Rename "
                f"{new[member]} and update the stack again."
            )
        return self._create(context, schema, self._named(context, new, f"-{short_id(8)}"))

    def _identified(self, schema: Schema, physical_id: str, properties: Properties) -> Properties:
        """The properties, with those that identify it read from the value of Ref where the template has none."""
        ref = self.declared.ref or schema.identifier
        values = dict(zip(ref, physical_id.split("|"), strict=False))
        filled = copy.deepcopy(properties)
        for path, value in values.items():
            if "/" not in path and path not in schema.read_only:
                filled.setdefault(path, value)
        member = self.declared.name[0] if self.declared.name else ""
        if member and member not in filled and physical_id.startswith("arn:"):
            filled[member] = physical_id.rsplit("/", 1)[-1].rsplit(":", 1)[-1]
        return filled

    def _attributes(self, schema: Schema, given: Properties, found: Mapping[str, Any]) -> dict[str, Any]:
        known = {**flat(given), **found}
        paths = (*schema.read_only, *self.declared.also)
        return {path.replace("/", "."): known[path] for path in paths if known.get(path) is not None}


def flat(properties: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Path → value, of every property and of the parts of structures."""
    found: dict[str, Any] = {}
    for name, value in properties.items():
        found[prefix + name] = value
        if isinstance(value, Mapping):
            found.update(flat(value, f"{prefix}{name}/"))
    return found


def _without_system_tags(schema: Schema, given: Properties) -> Properties:
    """Schemas forbid what CloudFormation itself adds: aws:cloudformation:stack-name and its like."""
    tags = given.get(schema.tags) if schema.tags else None
    if isinstance(tags, list):
        kept: Any = [tag for tag in tags if not (isinstance(tag, Mapping) and _is_system(tag.get("Key")))]
    elif isinstance(tags, Mapping):
        kept = {key: value for key, value in tags.items() if not _is_system(key)}
    else:
        return given
    return {**given, schema.tags: kept}


def _is_system(key: Any) -> bool:
    return str(key).startswith(_SYSTEM_TAG)
