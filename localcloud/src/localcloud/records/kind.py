"""The declaration of a kind of record, and what the service model adds to it."""

from __future__ import annotations

import re
import secrets
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from botocore.model import ListShape, OperationModel, ServiceModel, Shape, StructureShape

_TIMES_CREATED = ("CreationTime", "CreatedAt", "CreateDate")
_TIMES_MODIFIED = ("LastModifiedTime", "LastModifiedAt", "LastUpdatedDate")


def made_id(
    prefix: str = "", length: int = 12, alphabet: str = string.ascii_lowercase + string.digits
) -> Callable[[], str]:
    """A maker of ids such as `d-abcdefghijkl`."""
    return lambda: prefix + "".join(secrets.choice(alphabet) for _ in range(length))


@dataclass(frozen=True)
class Kind:
    """A kind of record. All but the name may be left to the model.

    Args:
        name: as in the operations' names: `CreateTrainingJob` → "TrainingJob".
        identity: the members that identify a record; else the required members of Describe's request.
        made: members that the service makes, with their makers. A name with `_` is only used in the ARN.
        arn: the ARN's resource part, a format over the record; else the kind in kebab case and the identity.
        status: the status of a record that nothing has to be done for, e.g. "InService"; "" where Describe has none.
        status_member: the member that holds the status, where it is neither `Status` nor the kind + `Status`.
        acts: Create would have to *do* something: it is refused by name until a plug-in hooks `after_create`.
        create: the operation's name where it is not Create + name; "-" where no operation creates the record.
        parents: kinds whose record must exist first (same identity members) and cannot be deleted before.
        shown: member of the Describe answer → JMESPath over the record, where the names differ.
        summary: member of the List answer's summary → JMESPath over the record, where the names differ.
        filters: member of the List request → JMESPath over the record of what it must equal.
        defaults: members of a new record that the request need not give.
        merge: structure members that Update merges into, where others are replaced.
        words: how error messages call it; else the name in lower case with blanks.
        missing: message when there is none; a format over {words}, {name}, {arn}, {kind}.
        exists: message when there is one already.
        exists_code: error code when there is one, where it is not what the operation's model says.
        missing_code: error code when there is none, where it is not what the operation's model says.
    """

    name: str
    identity: tuple[str, ...] = ()
    made: Mapping[str, Callable[[], Any]] = field(default_factory=dict)
    arn: str = ""
    status: str = ""
    status_member: str = ""
    acts: bool = False
    create: str = ""
    parents: tuple[str, ...] = ()
    shown: Mapping[str, str] = field(default_factory=dict)
    summary: Mapping[str, str] = field(default_factory=dict)
    filters: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    merge: tuple[str, ...] = ()
    words: str = ""
    missing: str = 'Could not find {words} "{arn}".'
    exists: str = ""
    exists_code: str = ""
    missing_code: str = ""

    @property
    def create_operation(self) -> str:
        """The operation that creates a record, or "-"."""
        return self.create or f"Create{self.name}"

    @property
    def label(self) -> str:
        """The kind in words: "training job"."""
        return self.words or _spaced(self.name, " ")

    @property
    def kebab(self) -> str:
        """The kind as ARNs have it: "training-job"."""
        return _spaced(self.name, "-")


def _spaced(name: str, by: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", by, name).lower()


class Derived:
    """What the service model says about a kind. Looked up when first needed: a model has hundreds of operations."""

    def __init__(self, kind: Kind, model: ServiceModel) -> None:
        self.kind = kind
        self.model = model
        self._names = set(model.operation_names)

    def operation(self, verb: str) -> OperationModel | None:
        """The model of e.g. "Describe", or None where the service has no such operation."""
        name = self.name_of(verb)
        return self.model.operation_model(name) if name else None

    def name_of(self, verb: str) -> str:
        """The name of an operation of this kind, or ""."""
        if verb == "Create":
            candidates = [self.kind.create_operation]
        elif verb == "List":
            plural = re.sub(r"y$", "ie", self.kind.name) + "s"
            candidates = [f"List{plural}", f"List{self.kind.name}s"]
        else:
            candidates = [f"{verb}{self.kind.name}"]
        return next((name for name in candidates if name in self._names), "")

    def members(self, verb: str, side: str = "input") -> Mapping[str, Shape]:
        """The members of an operation's request or answer; none where there is no operation or no shape."""
        operation = self.operation(verb)
        shape = getattr(operation, f"{side}_shape") if operation else None
        return shape.members if shape is not None else {}

    def request(self, verb: str) -> StructureShape:
        """The shape of an operation's request."""
        operation = self.operation(verb)
        if operation is None or operation.input_shape is None:
            raise TypeError(f"{self.kind.name} has no {verb} operation with a request")
        return operation.input_shape

    @cached_property
    def described(self) -> StructureShape | None:
        """The shape that a record is shown in: Describe's answer, or the structure it wraps (`Workteam`)."""
        operation = self.operation("Describe")
        shape = operation.output_shape if operation else None
        if shape is not None and self.kind.name in shape.members:
            inner: StructureShape = shape.members[self.kind.name]
            return inner
        return shape

    @cached_property
    def wrapped(self) -> bool:
        """Whether Describe answers with one member that holds the record."""
        return self.kind.name in self.members("Describe", "output")

    @cached_property
    def identity(self) -> tuple[str, ...]:
        """The members that identify a record."""
        if self.kind.identity:
            return self.kind.identity
        operation = self.operation("Describe")
        shape = operation.input_shape if operation else None
        if shape is None or not shape.required_members:
            raise TypeError(f"kind {self.kind.name} needs an identity: its model has no Describe operation that tells")
        return tuple(shape.required_members)

    @cached_property
    def name_member(self) -> str:
        """The member that filters and sorting by name mean."""
        known = {**self.members("Create"), **(self.described.members if self.described else {})}
        named = [member for member in self.identity if member.endswith("Name")]
        for candidate in (*named[-1:], f"{self.kind.name}Name", "Name"):
            if candidate in known:
                return candidate
        return self.identity[-1]

    @cached_property
    def arn_member(self) -> str:
        """The member that holds the ARN."""
        for members in (self.members("Create", "output"), self.described.members if self.described else {}):
            for candidate in (f"{self.kind.name}Arn", "Arn", *(name for name in members if name.endswith("Arn"))):
                if candidate in members:
                    return candidate
        return "_Arn"

    @cached_property
    def arn_members(self) -> tuple[str, ...]:
        """All members of the answers that are this record's own ARN (`InferenceExperimentArn` and `Arn`)."""
        own = (f"{self.kind.name}Arn", "Arn", self.arn_member)
        known = {**self.members("Create", "output"), **(self.described.members if self.described else {})}
        return tuple(dict.fromkeys(name for name in own if name in known)) or (self.arn_member,)

    @cached_property
    def arn_template(self) -> str:
        """The ARN's resource part as a format over the record."""
        if self.kind.arn:
            return self.kind.arn
        return "/".join((self.kind.kebab, *(f"{{{member}}}" for member in self.identity)))

    @cached_property
    def status_member(self) -> str:
        """The member that holds the status, or ""."""
        members = self.described.members if self.described else {}
        candidates = (self.kind.status_member, f"{self.kind.name}Status", "Status")
        return next((name for name in candidates if name in members), "")

    @cached_property
    def created_member(self) -> str:
        """The member that holds the time of creation."""
        return self._first(_TIMES_CREATED)

    @cached_property
    def modified_member(self) -> str:
        """The member that holds the time of the last change."""
        return self._first(_TIMES_MODIFIED)

    def _first(self, candidates: tuple[str, ...]) -> str:
        members = self.described.members if self.described else {}
        return next((name for name in candidates if name in members), candidates[0])

    @cached_property
    def list_member(self) -> tuple[str, Shape]:
        """The member of List's answer that holds the summaries, and the shape of one."""
        for name, shape in self.members("List", "output").items():
            if isinstance(shape, ListShape):
                return name, shape.member
        raise TypeError(f"the List operation of {self.kind.name} answers with no list")

    def codes(self, verb: str) -> set[str]:
        """The modelled error names of an operation."""
        operation = self.operation(verb)
        return {shape.name for shape in operation.error_shapes} if operation else set()
