"""CloudFormation types of records: made, changed and deleted by the operations of their kind, as boto3 would."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from botocore import xform_name
from botocore.exceptions import ClientError

from localcloud.core import short_id
from localcloud.core.cfn import Created, Properties, ResourceContext, ResourceType
from localcloud.core.cfn import _members as fit
from localcloud.core.model import load
from localcloud.records.kind import Derived, Kind

_BUSY = re.compile(r"Creating|Updating|Pending|(Create|Update|Delete)?InProgress|RollingBack|Deleting", re.IGNORECASE)
_WAIT_SECONDS = 900
_POLL_SECONDS = 0.2

Extra = Callable[[ResourceContext, dict[str, Any], Properties], None]


@dataclass(frozen=True)
class RecordResource:
    """A CloudFormation type of a kind, in the words of its resource provider schema.

    Args:
        kind: the kind.
        ref: what Ref returns: members of the Describe answer, joined by "|" (the schema's primaryIdentifier).
        attributes: what Fn::GetAtt returns; each is a property or a member of the Describe answer.
        replace: createOnlyProperties; `A/B` is a part of a property. Where the kind has no Update operation, all but
            the tags are.
        name: (property, longest) that CloudFormation fills in where the template names none.
        rename: property, at any depth → member of the requests, where they differ.
        unpack: a property whose members are members of the request (`PipelineDefinition`).
        ask: identifying member → the member that Describe and Delete call it, where they differ.
        ready: waits, by the record's name, until a created or updated resource can be used; raises when it cannot.
        beside: properties that `after` takes care of, and Create and Update do not.
        after: called with context, Describe answer and properties after a create and an update.
    """

    kind: str
    ref: tuple[str, ...]
    attributes: tuple[str, ...] = ()
    replace: tuple[str, ...] = ()
    name: tuple[str, int] | None = None
    rename: Mapping[str, str] = field(default_factory=dict)
    unpack: str = ""
    ask: Mapping[str, str] = field(default_factory=dict)
    ready: Callable[[ResourceContext, str], None] | None = None
    beside: tuple[str, ...] = ()
    after: Extra | None = None


def resource_type(service: str, prefix: str, kind: Kind, declared: RecordResource) -> ResourceType:
    """The type that the local cloud's CloudFormation serves."""
    maker = _Maker(service, kind, declared)
    return ResourceType(
        f"{prefix}::{declared.kind}", service=service, create=maker.create, update=maker.update, delete=maker.delete
    )


class _Maker:
    """The three functions of a type."""

    def __init__(self, service: str, kind: Kind, declared: RecordResource) -> None:
        self.service = service
        self.kind = kind
        self.declared = declared
        self._derived: Derived | None = None

    @property
    def derived(self) -> Derived:
        """What the model says; the model is loaded when a stack first needs it."""
        if self._derived is None:
            self._derived = Derived(self.kind, load(self.service))
        return self._derived

    def create(self, context: ResourceContext, properties: Properties) -> Created:
        """Create, and wait until the record has settled."""
        given = dict(properties)
        if self.declared.name and not given.get(self.declared.name[0]):
            given[self.declared.name[0]] = context.name(self.declared.name[1])
        return self._create(context, given)

    def replace(self, context: ResourceContext, old: Properties, new: Properties) -> Created:
        """A new one beside the old, which CloudFormation deletes afterwards. It needs a name of its own."""
        given = dict(new)
        if self.declared.name and not given.get(self.declared.name[0]):
            member, longest = self.declared.name
            suffix = f"-{short_id(8)}"
            given[member] = context.name(longest - len(suffix)) + suffix
        named = [name for name in self._names() if name in new]
        if named and all(old.get(name) == new[name] for name in named):
            raise ValueError(
                "CloudFormation cannot update a stack when a custom-named resource requires replacing. Rename "
                f"{new[named[-1]]} and update the stack again."
            )
        return self._create(context, given)

    def _names(self) -> list[str]:
        """The properties by which a template names the resource itself."""
        back = {member: name for name, member in self.declared.rename.items()}
        return [back.get(member, member) for member in self.derived.identity if member not in self.kind.made]

    def _create(self, context: ResourceContext, given: Properties) -> Created:
        request = self._request("Create", given)
        answer = self._call(context, "Create", request)
        answer.pop("ResponseMetadata", None)
        identity = {name: {**request, **answer}.get(name) for name in self.derived.identity}
        arn = next((answer[name] for name in self.derived.arn_members if answer.get(name)), "")
        identity = {
            name: value if value is not None else self._from_arn(arn).get(name) for name, value in identity.items()
        }
        self._wait(context, identity)
        return self._made(context, given, {**request, **answer}, identity)

    def update(self, context: ResourceContext, physical_id: str, old: Properties, new: Properties) -> Created:
        """Change in place, or make a new one where a property changed that cannot be changed."""
        if any(_part(old, path) != _part(new, path) for path in self.declared.replace):
            return self.replace(context, old, new)
        apart = ("Tags", *self.declared.beside)
        changed = {name: value for name, value in new.items() if old.get(name) != value and name not in apart}
        gone = set(old) - set(new) - set(apart)
        if (changed or gone) and not self.derived.name_of("Update"):
            return self.replace(context, old, new)
        identity = self._identity(physical_id, new)
        if changed:
            shape = self.derived.request("Update")
            full = self._request("Update", new)
            part = self._request("Update", changed)
            needed = {name: full[name] for name in shape.required_members if name in full}
            arn = {name: physical_id for name in shape.members if name in self.derived.arn_members}
            named = {name: value for name, value in identity.items() if name in shape.members}
            if part:
                self._call(context, "Update", {**needed, **part, **arn, **named})
                self._wait(context, identity)
        made = self._made(context, new, {}, identity)
        self._change_tags(context, made, old.get("Tags") or [], new.get("Tags") or [])
        return Created(physical_id, made.attributes)

    def delete(self, context: ResourceContext, physical_id: str, properties: Properties) -> None:
        """Delete and wait until it is gone; one that is gone already is no error."""
        identity = self._identity(physical_id, properties)
        shape = self.derived.request("Delete")
        arn = {name: physical_id for name in shape.members if name in self.derived.arn_members}
        asked = {self.declared.ask.get(name, name): value for name, value in identity.items()}
        request = {name: value for name, value in {**asked, **arn}.items() if name in shape.members}
        if self._describe(context, identity) is None:
            return
        self._call(context, "Delete", request)
        end = time.monotonic() + _WAIT_SECONDS
        while self._describe(context, identity) is not None:
            if time.monotonic() > end:
                name = "|".join(map(str, identity.values()))
                raise RuntimeError(f"{self.kind.label} {name} is still there {_WAIT_SECONDS:.0f} s after its deletion")
            time.sleep(_POLL_SECONDS)

    # ---- inside

    def _made(
        self, context: ResourceContext, properties: Properties, known: Mapping[str, Any], identity: Mapping[str, Any]
    ) -> Created:
        described = self._settled(context, identity)
        found = {**properties, **known, **described}
        # Several schemas call the record's own ARN just that.
        found.setdefault("Arn", next((found[name] for name in self.derived.arn_members if found.get(name)), None))
        if self.declared.after:
            self.declared.after(context, found, properties)
        ref = "|".join(str(found.get(name, "")) for name in self.declared.ref)
        wanted = dict.fromkeys((*self.declared.attributes, *self.declared.ref))
        return Created(ref, {name: _attribute(found[name]) for name in wanted if found.get(name) is not None})

    def _wait(self, context: ResourceContext, identity: Mapping[str, Any]) -> None:
        if self.declared.ready:
            self.declared.ready(context, str(identity[self.derived.identity[-1]]))

    def _settled(self, context: ResourceContext, identity: Mapping[str, Any]) -> dict[str, Any]:
        """The Describe answer once nothing is in progress; a failure is the resource's failure."""
        end = time.monotonic() + _WAIT_SECONDS
        while True:
            described = self._describe(context, identity) or {}
            status = str(described.get(self.derived.status_member, "")) if self.derived.status_member else ""
            if "fail" in status.lower():
                reason = described.get("FailureReason") or "AWS gives no reason"
                raise RuntimeError(f"{self.kind.label} {'|'.join(map(str, identity.values()))} is {status}: {reason}")
            if not _BUSY.fullmatch(status) or time.monotonic() > end or context.cloud.stopping.is_set():
                return described
            time.sleep(_POLL_SECONDS)

    def _describe(self, context: ResourceContext, identity: Mapping[str, Any]) -> dict[str, Any] | None:
        shape = self.derived.request("Describe")
        asked = {self.declared.ask.get(name, name): value for name, value in identity.items()}
        request = {name: value for name, value in asked.items() if value is not None and name in shape.members}
        try:
            answer = self._call(context, "Describe", request)
        except ClientError as error:
            told = error.response["Error"]
            if "NotFound" in told["Code"] or told["Code"] == "ValidationException":
                return None
            raise
        answer.pop("ResponseMetadata", None)
        wrapped: dict[str, Any] = answer[self.kind.name] if self.derived.wrapped else answer
        return wrapped

    def _request(self, verb: str, properties: Properties) -> dict[str, Any]:
        shape = self.derived.request(verb)
        given = _renamed(properties, self.declared.rename)
        packed = given.pop(self.declared.unpack, None) if self.declared.unpack else None
        if isinstance(packed, Mapping):
            given.update(packed)
        members = shape.members if verb == "Create" else {n: s for n, s in shape.members.items() if n != "Tags"}
        return fit(given, members)

    def _identity(self, physical_id: str, properties: Properties) -> dict[str, Any]:
        """The identifying members, from the value of Ref first: names that were generated are only there."""
        found: dict[str, Any] = {}
        if physical_id.startswith("arn:"):
            found = self._from_arn(physical_id)
        elif len(self.declared.ref) == physical_id.count("|") + 1:
            found = dict(zip(self.declared.ref, physical_id.split("|"), strict=True))
        given = {self.declared.rename.get(name, name): value for name, value in properties.items()}
        identity = {name: given.get(name, found.get(name)) for name in self.derived.identity}
        if self.derived.identity == (self.derived.arn_member,):
            identity = {self.derived.arn_member: physical_id}
        return {name: value for name, value in identity.items() if value is not None}

    def _from_arn(self, arn: str) -> dict[str, Any]:
        resource = arn.split(":", 5)[-1]
        parts = re.split(r"{([^}]+)}", self.derived.arn_template)
        pattern = "".join(f"(?P<m{part}>.+?)" if index % 2 else re.escape(part) for index, part in enumerate(parts))
        found = re.fullmatch(pattern, resource)
        values: dict[str, Any] = {name[1:]: value for name, value in found.groupdict().items()} if found else {}
        shapes = self.derived.members("Describe")
        for name, value in values.items():
            if name in shapes and shapes[name].type_name == "integer":
                values[name] = int(value)
        return values

    def _change_tags(self, context: ResourceContext, made: Created, old: Any, new: Any) -> None:
        arn = next((v for v in (made.physical_id, *made.attributes.values()) if str(v).startswith("arn:")), None)
        before, after = _tags(old), _tags(new)
        if arn is None or before == after:
            return
        client = context.client(self.service)
        gone = [key for key in before if key not in after]
        if gone:
            client.delete_tags(ResourceArn=arn, TagKeys=gone)
        if after:
            client.add_tags(ResourceArn=arn, Tags=[{"Key": key, "Value": value} for key, value in after.items()])

    def _call(self, context: ResourceContext, verb: str, request: Mapping[str, Any]) -> dict[str, Any]:
        client = context.client(self.service)
        answer: dict[str, Any] = getattr(client, xform_name(self.derived.name_of(verb)))(**request)
        return answer


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    """The properties under the API's names, at every depth. A name that becomes empty is dropped."""
    if isinstance(value, Mapping):
        pairs = ((names.get(name, name), item) for name, item in value.items())
        return {name: _renamed(item, names) for name, item in pairs if name}
    return [_renamed(item, names) for item in value] if isinstance(value, list) else value


def _attribute(value: Any) -> Any:
    """An attribute as templates see it: times are text."""
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if isinstance(value, datetime) else value


def _part(properties: Mapping[str, Any], path: str) -> Any:
    value: Any = properties
    for name in path.split("/"):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _tags(tags: Any) -> dict[str, str]:
    if isinstance(tags, Mapping):
        return {str(key): str(value) for key, value in tags.items()}
    return {tag["Key"]: str(tag["Value"]) for tag in tags}
