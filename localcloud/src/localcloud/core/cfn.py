"""CloudFormation resource types, declared: a resource is created by the API call that boto3 would make.

Properties become the operation's input guided by its shape in the service model: member names are matched without
regard to case, texts are turned into the numbers and booleans that the shape says, and tags into the form it says.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import jmespath
from botocore import xform_name
from botocore.exceptions import ClientError
from botocore.model import ListShape, MapShape, Shape, StructureShape

from localcloud.core import model

if TYPE_CHECKING:
    from localcloud.core.cloud import Cloud, Credentials

Properties = dict[str, Any]


@dataclass(frozen=True)
class Created:
    """What a create or update made: the value of Ref, and the attributes that Fn::GetAtt reads."""

    physical_id: str
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ResourceContext:
    """Where a resource is made."""

    cloud: Cloud
    account: str
    region: str
    stack_name: str
    logical_id: str
    name: Callable[[int], str]  # the default physical name, at most so many characters
    credentials: Credentials | None = None  # of the stack's role, or of who asked for the stack; None is the root

    def client(self, service: str) -> Any:
        """A client in the stack's account and region."""
        if self.credentials is not None:
            return self.cloud.client_of(self.credentials, service)
        return self.cloud.client(service, account=self.account, region=self.region)


CreateFunction = Callable[[ResourceContext, Properties], Created]
UpdateFunction = Callable[[ResourceContext, str, Properties, Properties], Created]
DeleteFunction = Callable[[ResourceContext, str, Properties], None]


@dataclass(frozen=True)
class ResourceType:
    """One CloudFormation type.

    Args:
        type: e.g. "AWS::CodeCommit::Repository".
        service: botocore's name of the service (that of the declaring service when empty).
        create, read, update, delete: operations of the model, or functions.
        ref: JMESPath of the value of Ref over {"input", "create", "read"}.
        identifier: the member by which read, update and delete name the resource, and its JMESPath as `ref`'s;
            (member, path).
        attributes: attribute → JMESPath over {"input", "create", "read"}.
        rename: property → member, where names differ by more than case. A value of "" drops the property.
        wrap: the input member that holds all the others, e.g. "pipeline".
        default_name: (property, maximum length) that CloudFormation fills in where the template names none.
        replace_on: properties whose change makes a new resource.
        ready: waits until the resource can be used; raises with the reason when it cannot.
        missing: error codes that say that the resource is gone already.
    """

    type: str
    create: str | CreateFunction
    delete: str | DeleteFunction | None
    service: str = ""
    read: str | None = None
    update: str | UpdateFunction | None = None
    ref: str = ""
    identifier: tuple[str, str] = ("", "")
    attributes: Mapping[str, str] = field(default_factory=dict)
    rename: Mapping[str, str] = field(default_factory=dict)
    wrap: str = ""
    default_name: tuple[str, int] | None = None
    replace_on: Sequence[str] = ()
    ready: Callable[[ResourceContext, str], None] | None = None
    missing: Sequence[str] = ()

    def do_create(self, context: ResourceContext, properties: Properties) -> Created:
        """Create the resource and wait until it is ready."""
        if callable(self.create):
            return self.create(context, properties)
        given = dict(properties)
        if self.default_name and not given.get(self.default_name[0]):
            given[self.default_name[0]] = context.name(self.default_name[1])
        answer, request = self._call(context, self.create, given)
        found: dict[str, Any] = {"input": request, "create": answer, "properties": given}
        if self.ready:
            self.ready(context, str(jmespath.search(self.identifier[1], found)))
        return self._created(context, found)

    def do_update(self, context: ResourceContext, physical_id: str, old: Properties, new: Properties) -> Created:
        """Change the resource in place, or make a new one where a property of `replace_on` changed."""
        if callable(self.update):
            return self.update(context, physical_id, old, new)
        if self.update is None or any(old.get(name) != new.get(name) for name in self.replace_on):
            return self.do_create(context, new)
        given = dict(new)
        if self.default_name and not given.get(self.default_name[0]):
            given[self.default_name[0]] = context.name(self.default_name[1])
        named = self._named(physical_id, given)
        answer, request = self._call(context, self.update, given, named)
        found = {"input": {**request, **named}, "create": answer, "properties": given}
        if self.ready:
            self.ready(context, str(next(iter(named.values()), physical_id)))
        return self._created(context, found, named, physical_id)

    def do_delete(self, context: ResourceContext, physical_id: str, properties: Properties) -> None:
        """Delete the resource; one that is gone already is no error."""
        if self.delete is None:
            return
        if callable(self.delete):
            self.delete(context, physical_id, properties)
            return
        operation = self._operation(self.delete)
        assert operation.input_shape is not None
        named = self._named(physical_id, properties)
        extra = _fit(
            {k: v for k, v in properties.items() if k not in self.rename}, operation.input_shape, only_required=True
        )
        client = context.client(operation.service_model.service_name)
        try:
            getattr(client, xform_name(self.delete))(**{**extra, **named})
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code not in self.missing and "NotFound" not in code and "DoesNotExist" not in code:
                raise

    def _named(self, physical_id: str, properties: Properties) -> dict[str, str]:
        member, path = self.identifier
        if not member:
            return {}
        if path.startswith("properties."):
            return {member: str(jmespath.search(path, {"properties": properties}) or physical_id)}
        return {member: physical_id}

    def _created(
        self,
        context: ResourceContext,
        found: dict[str, Any],
        named: dict[str, str] | None = None,
        physical_id: str | None = None,
    ) -> Created:
        if self.read:
            request = named or {self.identifier[0]: str(jmespath.search(self.identifier[1], found))}
            client = context.client(self._operation(self.read).service_model.service_name)
            found["read"] = getattr(client, xform_name(self.read))(**request)
        attributes = {name: jmespath.search(path, found) for name, path in self.attributes.items()}
        ref = physical_id if physical_id is not None else jmespath.search(self.ref or self.identifier[1], found)
        return Created(str(ref), attributes)

    def _operation(self, name: str) -> Any:
        return model.load(self.service).operation_model(name)

    def _call(
        self, context: ResourceContext, name: str, properties: Properties, named: Mapping[str, str] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        operation = self._operation(name)
        shape = operation.input_shape
        renamed = {self.rename.get(key, key): value for key, value in properties.items() if self.rename.get(key, key)}
        if self.wrap:
            request = {self.wrap: _fit(renamed, shape.members[self.wrap])}
            outer = {key: value for key, value in shape.members.items() if key != self.wrap}
            request.update(_members(renamed, outer))
        else:
            request = _fit(renamed, shape)
        request.update(named or {})
        client = context.client(self.service)
        answer = getattr(client, xform_name(name))(**request)
        answer.pop("ResponseMetadata", None)
        return answer, request


def _fit(value: Any, shape: Shape, only_required: bool = False) -> Any:
    """The value in the form that the shape has."""
    if isinstance(shape, StructureShape) and isinstance(value, Mapping):
        members = shape.members
        if only_required:
            members = {name: member for name, member in members.items() if name in shape.required_members}
        return _members(value, members)
    if isinstance(shape, ListShape):
        if isinstance(value, Mapping):  # tags as a map where the API wants a list
            keys = list(shape.member.members) if isinstance(shape.member, StructureShape) else []
            if len(keys) == 2:
                return [{keys[0]: key, keys[1]: _fit_scalar(item, "string")} for key, item in value.items()]
        items = value if isinstance(value, list) else [value]
        return [_fit(item, shape.member) for item in items]
    if isinstance(shape, MapShape):
        if isinstance(value, list):  # tags as a list where the API wants a map
            return {_either(item, "Key", "key"): str(_either(item, "Value", "value")) for item in value}
        return {str(key): _fit(item, shape.value) for key, item in value.items()}
    return _fit_scalar(value, shape.type_name)


def _either(item: Mapping[str, Any], first: str, second: str) -> Any:
    return item[first] if first in item else item[second]


def _members(value: Mapping[str, Any], members: Mapping[str, Shape]) -> dict[str, Any]:
    by_name = {name.lower(): name for name in members}
    fitted = {}
    for key, item in value.items():
        name = by_name.get(key.lower())
        if name is not None and item is not None:
            fitted[name] = _fit(item, members[name])
    return fitted


def _fit_scalar(value: Any, kind: str) -> Any:
    if kind == "boolean":
        return value if isinstance(value, bool) else str(value).lower() == "true"
    with contextlib.suppress(TypeError, ValueError):
        if kind in ("integer", "long"):
            return int(value)
        if kind in ("float", "double"):
            return float(value)
    if kind == "string" and not isinstance(value, str):
        import json

        if isinstance(value, bool):
            return str(value).lower()
        return json.dumps(value) if isinstance(value, Mapping | list) else str(value)
    return value
