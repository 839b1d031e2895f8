"""What a module of ministack holds, read in pieces: its dictionaries entry by entry, each with a fingerprint.

A module's `get_state` copies everything that the module holds, object by object in Python, which took most of the
server's time as soon as there were some stacks. Here nothing is copied that need not be, and whether an entry has
changed is told by a digest of its marshalled form, which C code makes in one go (and no other thread comes between).
Only what has changed is then turned into JSON, in ministack's own form.
"""

from __future__ import annotations

import copy
import json
import marshal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import FunctionType
from typing import Any

Place = tuple[str, str]  # (name in the state, key of the entry); the key of the whole, or of its empty form, is ""

# Without references to equal objects, so that equal entries give equal bytes.
MARSHAL_VERSION = 2
_ENTRY = "."  # before every entry's key: that of a plain dictionary may be empty


class _Uncopied:
    """Stands for the module `copy` in a `get_state` that returns what it copies, and cannot change it."""

    @staticmethod
    def deepcopy(value: Any) -> Any:
        return value


class _Copied:
    """Stands for the module `copy` where a `get_state` changes what it has copied.

    Of a whole store ministack changes the entries themselves, nothing within them (a test shows it for every module);
    an entry by itself is copied through and through.
    """

    @staticmethod
    def deepcopy(value: Any) -> Any:
        from ministack.core.responses import AccountRegionScopedDict, AccountScopedDict

        if isinstance(value, AccountRegionScopedDict | AccountScopedDict):
            made = type(value)()
            made._data.update({key: _shallow(entry) for key, entry in list(value._data.items())})
            return made
        return _copied(value)


def _shallow(entry: Any) -> Any:
    return dict(entry) if type(entry) is dict else _copied(entry)


def _copied(value: Any) -> Any:
    try:
        return marshal.loads(marshal.dumps(value, MARSHAL_VERSION))  # noqa: S302 - made in the same line
    except ValueError:  # something that is no plain data
        return copy.deepcopy(value)


def read(get_state: Callable[[], Any]) -> Any:
    """What `get_state` returns: None, or its state, of which nothing may be changed.

    ministack's functions reach `copy` through the globals of their module. A function without a local name has nothing
    by which it could change what it copies: there the copy is left out.
    """
    if not isinstance(get_state, FunctionType):
        return get_state()
    stand_in = _Copied if get_state.__code__.co_nlocals else _Uncopied
    reach = {**get_state.__globals__, "copy": stand_in}
    return FunctionType(get_state.__code__, reach, None, get_state.__defaults__, get_state.__closure__)()


@dataclass(frozen=True)
class Part:
    """One member of a state.

    Args:
        name: of the member.
        form: its empty form where it is a dictionary; else the whole value.
        entries: (key, entry) of the dictionary, in its order.
        kind: of the keys: how many parts a scope has that precedes them; -1 where they are plain texts.
    """

    name: str
    form: Any
    entries: Sequence[tuple[Any, Any]] = ()
    kind: int = -1

    def place(self, key: Any) -> Place:
        """Where the entry of a key is kept."""
        if self.kind < 0:
            return self.name, _ENTRY + key
        return self.name, _ENTRY + "".join(f"{part}\0" for part in key[: self.kind]) + repr(key[self.kind])


def parts(state: Mapping[str, Any]) -> Iterator[Part]:
    """The state, member by member."""
    from ministack.core.responses import AccountRegionScopedDict, AccountScopedDict

    for name, value in state.items():
        if isinstance(value, AccountRegionScopedDict):
            yield Part(name, {"__account_region_scoped__": True, "data": {}}, list(value._data.items()), 2)
        elif isinstance(value, AccountScopedDict):
            yield Part(name, {"__scoped__": True, "data": {}}, list(value._data.items()), 1)
        elif type(value) is dict and all(type(key) is str for key in list(value)):
            yield Part(name, {}, list(value.items()))
        else:
            yield Part(name, value)


def pieces(state: Mapping[str, Any]) -> Iterator[tuple[Place, Any]]:
    """The state in pieces: of each dictionary its empty form, then its entries; of each other value the whole."""
    for part in parts(state):
        yield (part.name, ""), part.form
        for key, entry in part.entries:
            yield part.place(key), entry


def fingerprint(entry: Any) -> int:
    """A number that changes when the entry does."""
    try:
        return hash(marshal.dumps(entry, MARSHAL_VERSION))
    except ValueError:
        return hash(document(entry))


def document(entry: Any) -> str:
    """The entry as JSON, in ministack's form."""
    from ministack.core import persistence

    return json.dumps(entry, default=persistence._json_default)


def join(rows: Iterable[tuple[str, str, str]]) -> str:
    """A module's state as ministack writes it to a file of its own, from (name, key, document) of its pieces."""
    found: dict[str, tuple[str, list[str]]] = {}
    for name, key, text in rows:
        if not key:
            found[name] = (text, [])
        else:
            found[name][1].append(f"{json.dumps(key[len(_ENTRY) :])}: {text}")
    return "{" + ", ".join(f"{json.dumps(name)}: {_filled(*parts)}" for name, parts in found.items()) + "}"


def _filled(text: str, entries: list[str]) -> str:
    """An empty form, with its entries in it."""
    if not entries:
        return text
    end = text.index("}")
    return text[:end] + ", ".join(entries) + text[end:]
