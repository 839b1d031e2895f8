"""A backend that calls an API: the operation that boto3 would call, with the properties in the form that it takes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import jmespath
from botocore import xform_name
from botocore.exceptions import ClientError

from localcloud.core import model
from localcloud.core.cfn import Properties, ResourceContext, _fit
from localcloud.core.schema import Schema

Extra = Callable[[ResourceContext, Properties, Properties], None]


@dataclass(frozen=True)
class Api:
    """Operations, and what is read from their answers.

    Args:
        service: botocore's name of the service.
        create, update, delete: operations. Without `update` a change is a deletion and a creation.
        named: member by which update and delete name it → JMESPath over {"properties", "id", "account"}.
        values: read-only path → JMESPath over {"answer", "input", "properties", "id", "account", "region"}; read after
            a creation and after an update, `read` answering where it is given.
        read: operation that answers with the current state, called with `named`.
        rename: property, at any depth → member of the requests; "" where the operation does not take it.
        wrap: the input member that holds all others.
        fixed: member → JMESPath as `named`'s, added to the create request.
        tagging: (operation that adds tags, operation that removes them, the read-only path or "" for the value of Ref
            that names it) where the update operation takes no tags.
        after: called with context, old and new properties after a creation (old is {}) and an update.
        before_delete: called with context, properties and {} before the deletion.
    """

    service: str
    create_with: str
    update_with: str = ""
    delete_with: str = ""
    named: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)
    read_with: str = ""
    rename: Mapping[str, str] = field(default_factory=dict)
    wrap: str = ""
    fixed: Mapping[str, str] = field(default_factory=dict)
    tagging: tuple[str, str, str] | None = None
    after: Extra | None = None
    before_delete: Extra | None = None

    def create(self, context: ResourceContext, schema: Schema, properties: Properties) -> dict[str, Any]:
        """Call the create operation."""
        request = {**self._request(self.create_with, properties), **self._named(self.fixed, context, properties, "")}
        answer = self.call(context, self.create_with, request)
        found = self._found(context, properties, request, answer)
        if self.after:
            self.after(context, {}, {**properties, **found})
        return found

    def update(
        self, context: ResourceContext, schema: Schema, physical_id: str, old: Properties, new: Properties
    ) -> dict[str, Any]:
        """Call the update operation."""
        if not self.update_with:
            self.delete(context, schema, physical_id, old)
            return self.create(context, schema, new)
        members = model.load(self.service).operation_model(self.update_with).input_shape.members
        named = self._named(self.named, context, new, physical_id)
        request = self._request(self.update_with, new) | {name: named[name] for name in named if name in members}
        answer = self.call(context, self.update_with, request)
        found = self._found(context, new, request, answer, physical_id)
        self.retag(context, schema, found.get(self.tagging[2], physical_id) if self.tagging else "", old, new)
        if self.after:
            self.after(context, old, {**new, **found})
        return found

    def delete(self, context: ResourceContext, schema: Schema, physical_id: str, properties: Properties) -> None:
        """Call the delete operation."""
        with gone_is_fine():
            if self.before_delete:
                self.before_delete(context, properties, {})
            request = self._named(self.named, context, properties, physical_id)
            self.call(context, self.delete_with, request)

    def retag(self, context: ResourceContext, schema: Schema, named: str, old: Properties, new: Properties) -> None:
        """Give it the tags of its new properties, where `tagging` says how."""
        added, gone = tag_changes(old, new, schema.tags)
        for operation, value in zip((self.tagging or ())[:2], (added, gone), strict=False):
            if value:
                shape: Any = model.load(self.service).operation_model(operation).input_shape
                name, tags = shape.required_members
                self.call(context, operation, {name: named, tags: _fit(value, shape.members[tags])})

    def call(self, context: ResourceContext, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """The answer of an operation of the service."""
        answer: dict[str, Any] = getattr(context.client(self.service), xform_name(operation))(**request)
        answer.pop("ResponseMetadata", None)
        return answer

    def _request(self, operation: str, properties: Properties) -> dict[str, Any]:
        shape: Any = model.load(self.service).operation_model(operation).input_shape
        given = _renamed(properties, self.rename)
        if self.wrap:
            return {self.wrap: _fit(given, shape.members[self.wrap])}
        request: dict[str, Any] = _fit(given, shape)
        return request

    def _named(
        self, paths: Mapping[str, str], context: ResourceContext, properties: Properties, physical_id: str
    ) -> dict[str, Any]:
        known = {"properties": properties, "id": physical_id, "account": context.account, "region": context.region}
        return {member: jmespath.search(path, known) for member, path in paths.items()}

    def _found(
        self, context: ResourceContext, properties: Properties, request: Any, answer: Any, physical_id: str = ""
    ) -> dict[str, Any]:
        if self.read_with:
            answer = self.call(context, self.read_with, self._named(self.named, context, properties, physical_id))
        known = {
            "answer": answer, "input": request, "properties": properties, "id": physical_id,
            "account": context.account, "region": context.region,
        }  # fmt: skip
        found = {path: jmespath.search(expression, known) for path, expression in self.values.items()}
        return {path: value for path, value in found.items() if value is not None}


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        pairs = ((names.get(name, name), item) for name, item in value.items())
        return {name: _renamed(item, names) for name, item in pairs if name}
    return [_renamed(item, names) for item in value] if isinstance(value, list) else value


@contextlib.contextmanager
def gone_is_fine() -> Iterator[None]:
    """What is gone already needs no deletion."""
    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if not any(word in code for word in ("NotFound", "NoSuch", "DoesNotExist", "NotExist")):
            raise


def tags_of(properties: Properties, name: str = "Tags") -> dict[str, str]:
    """Key → value of the property that holds tags, in whichever form."""
    tags = properties.get(name) or {}
    return dict(tags) if isinstance(tags, Mapping) else {tag["Key"]: str(tag["Value"]) for tag in tags}


def tag_changes(old: Properties, new: Properties, name: str = "Tags") -> tuple[dict[str, str], list[str]]:
    """(tags to set, keys to remove)."""
    before, after = tags_of(old, name), tags_of(new, name)
    changed = {key: value for key, value in after.items() if before.get(key) != value}
    return changed, [key for key in before if key not in after]
