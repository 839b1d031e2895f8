"""The records of one kind: kept in the store, served as the operations that the model has for them."""

from __future__ import annotations

import builtins
import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from localcloud.core import Call, Conflict, Fault, now
from localcloud.records import listing
from localcloud.records.kind import Derived, Kind
from localcloud.records.shaping import merged, project, renamed
from localcloud.records.types import Handler, Record

if TYPE_CHECKING:
    from localcloud.records.service import RecordService


class Records:
    """All records of a kind. Keys are the identifying members joined by "/"."""

    def __init__(self, service: RecordService, kind: Kind) -> None:
        self.service = service
        self.kind = kind
        self.derived = Derived(kind, service.model)
        self.table = service.cloud.store.table(f"{service.name}.{kind.name}")

    # ---- for behaviour

    def key(self, record: Mapping[str, Any]) -> str:
        """The key under which a record is kept."""
        return "/".join(str(record.get(member, "")) for member in self.derived.identity)

    def get(self, account: str, region: str, key: str) -> Record | None:
        """The record, or None."""
        return self.table.get(account, region, key)

    def put(self, account: str, region: str, record: Record) -> Record:
        """Keep a record, new or changed, without hooks."""
        self.table.put(account, region, self.key(record), record)
        return record

    def list(self, account: str, region: str) -> list[Record]:
        """All records of an account and region, oldest first."""
        return self.table.list(account, region)

    def all(self) -> builtins.list[tuple[str, str, Record]]:
        """(account, region, record) of every record, oldest first."""
        return [(account, region, record) for account, region, _, record in self.table.all()]

    def update(self, account: str, region: str, key: str, change: Callable[[Record], Record | None]) -> Record | None:
        """Change a record in one step; sets the time of the last change. None when it is gone."""

        def change_and_stamp(record: Record) -> Record:
            changed = change(record)
            result = record if changed is None else changed
            result[self.derived.modified_member] = now()
            return result

        return self.table.update(account, region, key, change_and_stamp)

    def update_status(self, account: str, region: str, key: str, status: str, **members: Any) -> Record | None:
        """Set the status, and further members with it. A member given as None is removed."""

        def change(record: Record) -> None:
            record[self.derived.status_member] = status
            for name, value in members.items():
                if value is None:
                    record.pop(name, None)
                else:
                    record[name] = value

        return self.update(account, region, key, change)

    def delete(self, account: str, region: str, key: str) -> None:
        """Forget a record, without hooks."""
        self.table.delete(account, region, key)

    def arn(self, account: str, region: str, record: Mapping[str, Any]) -> str:
        """The ARN of a record."""
        resource = self.derived.arn_template.format_map(_Blank(record))
        return f"arn:aws:{self.service.name}:{region}:{account}:{resource}"

    def by_arn(self, arn: str) -> tuple[str, str, Record] | None:
        """(account, region, record) of an ARN of this kind, or None."""
        parts = arn.split(":", 5)
        if len(parts) != 6:
            return None
        account, region = parts[4], parts[3]
        for record in self.list(account, region):
            if record.get(self.derived.arn_member) == arn:
                return account, region, record
        return None

    def require(self, call: Call, **members: Any) -> Record:
        """The record that the call's request (or the members given) identifies.

        Raises:
            Fault: as AWS answers when there is none.
        """
        return self.locate(call, members or None)[2]

    def missing(self, call: Call, identity: Mapping[str, Any]) -> Fault:
        """AWS's answer to a request about a record that does not exist."""
        operation = self.service.model.operation_model(call.operation)
        modelled = {shape.name for shape in operation.error_shapes}
        code = self.kind.missing_code or (
            "ResourceNotFound" if "ResourceNotFound" in modelled else "ValidationException"
        )
        return Fault(code, self.kind.missing.format(**self._told(call.account, call.region, identity)))

    def create(self, call: Call, members: Mapping[str, Any]) -> Record:
        """Create a record as the API would, hooks included, on behalf of the caller of another operation."""
        answer = self.serve_create(replace(call, operation=self.kind.create_operation, input=dict(members)))
        known = {**members, **answer}
        identity = (*self.derived.identity, *self.derived.arn_members)
        return self.require(call, **{name: known[name] for name in identity if name in known})

    # ---- operations

    def handlers(self) -> dict[str, Handler]:
        """Operation → handler, for the operations that the model has for this kind and that can be served."""
        served: dict[str, Handler] = {}
        for verb, handler in (
            ("Create", self.serve_create),
            ("Describe", self.serve_describe),
            ("List", self.serve_list),
            ("Update", self.serve_update),
            ("Delete", self.serve_delete),
        ):
            name = self.derived.name_of(verb)
            if name and not (verb == "Create" and self.kind.acts and not self._hooked("after_create")):
                served[name] = handler
        return served

    def serve_create(self, call: Call) -> dict[str, Any]:
        """Create: what was given, completed, kept."""
        record: Record = {**copy.deepcopy(dict(self.kind.defaults)), **copy.deepcopy(call.input)}
        for member, make in self.kind.made.items():
            record[member] = make()
        self._check_parents(call, record)
        self._stamp(call, record)
        self._run("before_create", call, record)
        key = self.key(record)
        try:
            self.table.insert(call.account, call.region, key, record)
        except Conflict:
            raise self._conflict(call, record) from None
        self._run("after_create", call, record)
        return self._answer("Create", record)

    def serve_describe(self, call: Call) -> dict[str, Any]:
        """Describe: the record in the shape of the answer."""
        return self.describe(call, self.locate(call)[2])

    def describe(self, call: Call, record: Record) -> dict[str, Any]:
        """The Describe answer for a record."""
        shown = self.current(call, copy.deepcopy(record))
        self._run("describe", call, shown)
        assert self.derived.described is not None
        answer = project(renamed(shown, self.kind.shown), self.derived.described)
        return {self.kind.name: answer} if self.derived.wrapped else answer

    def current(self, call: Call, record: Record) -> Record:
        """The record with the status that it has now."""
        for hook in self.service.hooks(self.kind.name, "status_of"):
            status = hook(call, record)
            if status:
                record[self.derived.status_member] = status
        return record

    def serve_list(self, call: Call) -> dict[str, Any]:
        """List: filtered, sorted, paged."""
        return self.listed(call, call.input, self.list(call.account, call.region))

    def listed(self, call: Call, request: Mapping[str, Any], records: Sequence[Record]) -> dict[str, Any]:
        """The List answer for a request, over the records given."""
        return listing.answer(self.derived, request, [self.current(call, record) for record in records])

    def serve_update(self, call: Call) -> dict[str, Any]:
        """Update: merges the members that the request has."""
        account, region, before = self.locate(call)
        fixed = {*self.derived.identity, *self.derived.arn_members}
        changes = {name: value for name, value in call.input.items() if name not in fixed}
        keyed = [name for name in self.derived.members("Update") if f"{name}ToRemove" in self.derived.members("Update")]
        after = merged(before, changes, (*self.kind.merge, *keyed))
        if self.derived.described and "LastModifiedBy" in self.derived.described.members:
            after["LastModifiedBy"] = user_context(call)
        self._run("before_update", call, after)
        changed = {name: value for name, value in after.items() if name not in before or before[name] != value}
        gone = set(before) - set(after)

        def change(record: Record) -> Record:
            return {**{name: value for name, value in record.items() if name not in gone}, **changed}

        stored = self.update(account, region, self.key(before), change)
        if stored is None:
            raise self.missing(call, before)
        self._run("after_update", call, stored)
        return self._answer("Update", stored)

    def serve_delete(self, call: Call) -> dict[str, Any]:
        """Delete, unless something depends on it."""
        account, region, record = self.locate(call)
        self._check_children(call, record)
        self._run("before_delete", call, record)
        if record.pop("_keep", False):
            self.put(account, region, record)
        else:
            self.delete(account, region, self.key(record))
            self._run("after_delete", call, record)
        return self._answer("Delete", record)

    def locate(self, call: Call, members: Mapping[str, Any] | None = None) -> tuple[str, str, Record]:
        """(account, region, record) that a request identifies, by its members or by an ARN in their place.

        Raises:
            Fault: as AWS answers when there is none, or when it is another account's and not shared.
        """
        given = dict(call.input if members is None else members)
        self._run("identify", call, given)
        identity = {member: given[member] for member in self.derived.identity if given.get(member) is not None}
        arn = next((given[name] for name in self.derived.arn_members if given.get(name)), None)
        if len(self.derived.identity) == 1 and identity:
            value = str(next(iter(identity.values())))
            arn = value if value.startswith("arn:") else arn
        if arn:
            found = self.by_arn(str(arn))
            if found is None:
                raise self.missing(call, {**identity, self.derived.arn_member: arn})
            if found[0] != call.account and not self._is_shared(call, found[2]):
                raise Fault(
                    "AccessDeniedException",
                    f"User: {call.principal} is not authorized to perform: {self.service.name}:{call.operation} "
                    f"on resource: {arn} because no resource-based policy allows the {self.service.name}:"
                    f"{call.operation} action",
                    403,
                )
            return found
        record = self.get(call.account, call.region, self.key(identity))
        if record is None:
            raise self.missing(call, identity)
        return call.account, call.region, record

    # ---- inside

    def _stamp(self, call: Call, record: Record) -> None:
        moment = now()
        derived = self.derived
        record[derived.created_member] = moment
        record[derived.modified_member] = moment
        arn = self.arn(call.account, call.region, record)
        for member in derived.arn_members:
            record[member] = arn
        if derived.status_member and self.kind.status:
            record.setdefault(derived.status_member, self.kind.status)
        described = derived.described.members if derived.described else {}
        for member in ("CreatedBy", "LastModifiedBy"):
            if member in described:
                record[member] = user_context(call)

    def _check_parents(self, call: Call, record: Record) -> None:
        for name in self.kind.parents:
            parent = self.service.records[name]
            parent.locate(call, {member: record.get(member) for member in parent.derived.identity})

    def _check_children(self, call: Call, record: Record) -> None:
        identity = self.derived.identity
        for records in self.service.records.values():
            if self.kind.name not in records.kind.parents:
                continue
            for child in records.list(call.account, call.region):
                if all(child.get(member) == record.get(member) for member in identity):
                    codes = self.derived.codes("Delete")
                    code = next(
                        (c for c in ("ResourceInUse", "ConflictException") if c in codes), "ValidationException"
                    )
                    told = self._told(call.account, call.region, record)
                    raise Fault(
                        code,
                        f"Unable to delete {told['words']} {told['name']} because it has associated "
                        f"{records.kind.label}(s), e.g. {child.get(records.derived.name_member)}. Delete them first.",
                    )

    def _conflict(self, call: Call, record: Record) -> Fault:
        codes = self.derived.codes("Create")
        modelled = next((c for c in ("ResourceInUse", "ConflictException") if c in codes), "ValidationException")
        code = self.kind.exists_code or modelled
        usual = "Resource Already Exists: {words} with name {name} already exists. Choose a different name."
        message = self.kind.exists or (
            usual if code != "ValidationException" else 'Cannot create already existing {words} "{arn}".'
        )
        return Fault(code, message.format(**self._told(call.account, call.region, record)))

    def _told(self, account: str, region: str, record: Mapping[str, Any]) -> dict[str, str]:
        """What error messages may name."""
        arn = record.get(self.derived.arn_member) or self.arn(account, region, record)
        known = (
            self.derived.name_member if self.derived.name_member in self.derived.identity else self.derived.identity[-1]
        )
        name = record.get(known) or record.get(self.derived.name_member) or arn
        return {"words": self.kind.label, "kind": self.kind.name, "name": str(name), "arn": str(arn)}

    def _answer(self, verb: str, record: Record) -> dict[str, Any]:
        operation = self.derived.operation(verb)
        shape = operation.output_shape if operation else None
        if shape is None:
            return {}
        if self.kind.name in shape.members:  # UpdateWorkteam answers with the record
            return {self.kind.name: project(renamed(record, self.kind.shown), shape.members[self.kind.name])}
        answer: dict[str, Any] = project(record, shape)
        if "Success" in shape.members:  # DeleteWorkteam says so
            answer["Success"] = True
        return answer

    def _run(self, point: str, call: Call, record: Record) -> None:
        for hook in self.service.hooks(self.kind.name, point):
            hook(call, record)

    def _hooked(self, point: str) -> bool:
        return bool(self.service.hooks(self.kind.name, point))

    def _is_shared(self, call: Call, record: Record) -> bool:
        return any(hook(call, record) for hook in self.service.hooks(self.kind.name, "shared"))


class _Blank(dict[str, Any]):
    """Members that a record lacks are empty in its ARN (an App has a user profile or a space)."""

    def __missing__(self, key: str) -> str:
        return ""


def user_context(call: Call) -> dict[str, Any]:
    """AWS's UserContext of a caller."""
    return {"IamIdentity": {"Arn": call.principal}}
