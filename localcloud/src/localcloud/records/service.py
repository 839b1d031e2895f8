"""A service made of kinds and plug-ins."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

from localcloud.core import Call, Cloud, Service
from localcloud.core.model import load
from localcloud.records.engine import Records
from localcloud.records.kind import Kind
from localcloud.records.tags import tag_handlers
from localcloud.records.types import HOOKS, Handler

H = TypeVar("H", bound=Callable[..., Any])
Hook = Callable[[Call, dict[str, Any]], Any]


def hook(kind: str, point: str) -> Callable[[H], H]:
    """Mark a plug-in's method as a hook of a kind. May be stacked, for several kinds or points."""
    if point not in HOOKS:
        raise ValueError(f"no hook '{point}'; there are {', '.join(HOOKS)}")

    def mark(function: H) -> H:
        function.__record_hooks__ = (*getattr(function, "__record_hooks__", ()), (kind, point))  # type: ignore[attr-defined]
        return function

    return mark


class PlugIn:
    """Behaviour of a service: hooks on its kinds, further operations, further kinds."""

    kinds: ClassVar[Sequence[Kind]] = ()

    def __init__(self, service: RecordService) -> None:
        self.service = service

    @property
    def cloud(self) -> Cloud:
        """The running local cloud."""
        return self.service.cloud

    @property
    def records(self) -> Mapping[str, Records]:
        """The records of the service, by kind."""
        return self.service.records

    def recover(self) -> None:
        """Called once after a start: fail with a reason, or resume, whatever was running."""

    def close(self) -> None:
        """Called at an orderly stop."""


class RecordService(Service):
    """A service whose resources are records. Subclasses name the service, its kinds and its plug-ins."""

    kinds: ClassVar[Sequence[Kind]] = ()
    plug_ins: ClassVar[Sequence[type[PlugIn]]] = ()

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self.model = load(self.name)
        declared = {
            kind.name: kind for kinds in (self.kinds, *(part.kinds for part in self.plug_ins)) for kind in kinds
        }
        self.parts = [plug_in(self) for plug_in in self.plug_ins]
        self._hooks: dict[tuple[str, str], list[Hook]] = {}
        self._operations: dict[str, Handler] = {}
        for part in self.parts:
            self._collect(part)
        strangers = {kind for kind, _ in self._hooks} - set(declared)
        if strangers:
            raise TypeError(f"{self.name} has hooks on kinds that are not declared: {sorted(strangers)}")
        self.records: dict[str, Records] = {name: Records(self, kind) for name, kind in declared.items()}

    def _collect(self, part: PlugIn) -> None:
        for attribute in dir(type(part)):
            function = getattr(type(part), attribute, None)
            if name := getattr(function, "__aws_operation__", None):
                self._operations[name] = getattr(part, attribute)
            for place in getattr(function, "__record_hooks__", ()):
                self._hooks.setdefault(place, []).append(getattr(part, attribute))

    def hooks(self, kind: str, point: str) -> Sequence[Hook]:
        """What plug-ins registered for a kind, in the order of the plug-ins."""
        return self._hooks.get((kind, point), ())

    def record_handlers(self) -> dict[str, Handler]:
        """Operation → handler, of all that follows from the kinds alone."""
        found: dict[str, Handler] = dict(tag_handlers(self))
        for records in self.records.values():
            found.update(records.handlers())
        return found

    def own_handlers(self) -> dict[str, Handler]:
        """Operation → handler, of all that is written: the service's own and its plug-ins'."""
        return {**super().handlers(), **self._operations}

    def handlers(self) -> dict[str, Handler]:
        """Operation → handler."""
        return {**self.record_handlers(), **self.own_handlers()}

    def recover(self) -> None:
        """Let every plug-in finish or fail what was running."""
        for part in self.parts:
            part.recover()

    def close(self) -> None:
        """Stop every plug-in."""
        for part in self.parts:
            part.close()
