"""A module's entries in groups: a group that is as it was is passed over as a whole.

To look at every entry in Python costs more with every project, however little changes. So entries are looked at in
groups, each with a copy with which C code compares it in one go; the entries of a group alone that differs are looked
at one by one. To Python 1 equals True, and dictionaries equal each other in any order: a whole look takes digests.
"""

from __future__ import annotations

import marshal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from localcloud.core.base import snapshot, standing
from localcloud.core.base.snapshot import MARSHAL_VERSION, Part, Place

_SIZE = 32  # entries; a change costs a look at so many
Items = Sequence[tuple[Any, Any]]
Id = tuple[str, int]  # (member of the state, number of the group in it)


@dataclass(frozen=True)
class Mark:
    """What a group is compared with.

    Args:
        copied: its items; stacks that stand still are copied without what is in them.
        digest: of its items; None for stacks.
    """

    copied: list[Any]
    digest: int | None


@dataclass(frozen=True)
class Group:
    """Some entries that follow each other.

    Args:
        mark: by which it is known again; None where it cannot be.
        fingerprints: of each entry.
    """

    mark: Mark | None
    fingerprints: Mapping[Place, int]


Groups = dict[Id, Group]


def loaded(fingerprints: Mapping[Place, int]) -> Groups:
    """What is known of a module after its state was loaded: each entry, and no group yet."""
    return {("", 0): Group(None, fingerprints)}


def changed(
    state: Mapping[str, Any], *, before: Groups, whole: bool, fingerprint: Callable[[Place, Any], int]
) -> tuple[Groups, list[tuple[Place, str]], list[Place]]:
    """Compare a module's state with what is known of it.

    Args:
        whole: look at entries that stand still, too.
        fingerprint: of an entry.

    Returns:
        What is known now, the documents of the entries that changed, and the places that are empty now.
    """
    found: Groups = {}
    looked: list[tuple[Place, Any]] = []
    fresh: dict[Place, int] = {}
    for part in snapshot.parts(state):
        for group, items in _groups(part):
            known = before.get(group)
            # The mark is taken first, then the fingerprint, then the document: what changes between them is found by
            # the next save.
            mark = _mark(items, known.mark if known else None, whole)
            if known and mark and mark is known.mark:
                found[group] = known
                continue
            entries = [((part.name, "") if group[1] < 0 else part.place(key), entry) for key, entry in items]
            fingerprints = {place: fingerprint(place, entry) for place, entry in entries}
            found[group] = Group(mark, fingerprints)
            fresh.update(fingerprints)
            looked += entries
    old: dict[Place, int] = {}
    for group, known in before.items():
        if found.get(group) is not known:
            old.update(known.fingerprints)
    written = [(place, snapshot.document(entry)) for place, entry in looked if old.get(place) != fresh[place]]
    return found, written, [place for place in old if place not in fresh]


def _groups(part: Part) -> Iterator[tuple[Id, Items]]:
    """The form by itself, then the entries."""
    yield (part.name, -1), [("", part.form)]
    for start in range(0, len(part.entries), _SIZE):
        yield (part.name, start // _SIZE), part.entries[start : start + _SIZE]


def _mark(items: Items, known: Mark | None, whole: bool) -> Mark | None:
    """The mark of a group: the known object itself where nothing has changed."""
    if known and not whole and items == known.copied:
        return known
    if any(standing.is_stack(entry) or standing.is_history(entry) for _, entry in items):
        copied = [(key, standing.kept(entry)) for key, entry in items]
        return Mark(copied, None) if all(entry is not None for _, entry in copied) else None
    try:
        data = marshal.dumps(list(items), MARSHAL_VERSION)
    except ValueError:  # something that is no plain data
        return None
    digest = hash(data)
    if known and known.digest == digest:
        return known
    return Mark(marshal.loads(data), digest)  # noqa: S302 - made in this function
