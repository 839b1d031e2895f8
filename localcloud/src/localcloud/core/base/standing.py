"""Fingerprints of CloudFormation's stacks that stand still: most do, and taking all of them anew at every save costs
more with every project.

A stack changes in depth while an operation works on it. Afterwards whatever changes it replaces a value of its record,
so a record whose values are the same objects as before is as it was. Events are added and never changed. Nobody
promises this: now and then every fingerprint is taken anew (`whole`).
"""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any

from localcloud.core.base import snapshot
from localcloud.core.base.snapshot import Place

Parts = tuple[Any, ...]


class Standing:
    """Remembers fingerprints by module and place."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, Place], tuple[Parts, int]] = {}

    def fingerprint(self, module: str, place: Place, entry: Any, *, whole: bool) -> int:
        """A number that changes when the entry does; the one that is known where the entry stands still.

        Args:
            whole: take it anew in any case.
        """
        parts = _parts(entry)
        if parts is None:
            return snapshot.fingerprint(entry)
        known = self._known.get((module, place))
        if known and not whole and len(known[0]) == len(parts) and all(map(operator.is_, known[0], parts)):
            return known[1]
        # The parts are kept, too: an address that is in use cannot become that of another object.
        taken = snapshot.fingerprint(entry)
        self._known[module, place] = (parts, taken)
        return taken

    def forget(self, module: str, places: Iterable[Place]) -> None:
        """Entries that are gone."""
        for place in places:
            self._known.pop((module, place), None)


def is_stack(entry: Any) -> bool:
    """Whether it is the record of a stack."""
    return isinstance(entry, dict) and "StackId" in entry


def is_history(entry: Any) -> bool:
    """Whether it is the events of a stack."""
    return isinstance(entry, list) and bool(entry) and isinstance(entry[0], dict) and "EventId" in entry[0]


def kept(entry: Any) -> dict[Any, Any] | list[Any] | None:
    """A shallow copy that equals the entry while it stands still; None for what may change in depth."""
    if is_stack(entry):
        status = entry.get("StackStatus")
        return dict(entry) if isinstance(status, str) and not status.endswith("_IN_PROGRESS") else None
    return list(entry) if is_history(entry) else None


def _parts(entry: Any) -> Parts | None:
    """What stands for the whole entry while it stands still; None for what may change in depth."""
    copied = kept(entry)
    return (*copied.keys(), *copied.values()) if isinstance(copied, dict) else tuple(copied) if copied else None
