"""ministack's state in our SQLite file: it keeps its own in memory and writes it at an orderly stop alone.

A save writes what has changed, entry by entry. Callers that wait for one share it: whoever asks while a save runs is
served by the next, together with all others who asked meanwhile.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from localcloud.core.base import groups, snapshot
from localcloud.core.base.groups import Groups
from localcloud.core.base.scope import scope
from localcloud.core.base.shared import Shared
from localcloud.core.base.snapshot import Place
from localcloud.core.base.standing import Standing
from localcloud.core.store import Store

logger = logging.getLogger("localcloud.base")

# ministack forgets STS sessions at a restart; on AWS credentials outlive everything but their expiry.
_SESSIONS = "sts"
_PATIENCE_SECONDS = 20.0
_UNKNOWN = -1  # no fingerprint: Python's `hash` is never -1
T = TypeVar("T")


class State:
    """Saves and restores."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._saved: dict[str, Groups] = {}
        self._standing = Standing()
        self._whole = threading.Event()
        self._shared = Shared(self._write)

    def load(self, wanted: Callable[[str], bool]) -> None:
        """Restore what `save` wrote of the modules that are wanted."""
        from ministack import app
        from ministack.core import persistence
        from ministack.services import sts

        self._take_over()
        for (module,) in self.store.execute("SELECT DISTINCT module FROM base_entry"):
            if not wanted(module):
                continue
            rows = self._rows(module)
            data = json.loads(snapshot.join(rows), object_hook=persistence._json_object_hook)
            known = {place: snapshot.fingerprint(entry) for place, entry in snapshot.pieces(data)}
            self._saved[module] = groups.loaded(
                {(name, key): known.get((name, key), _UNKNOWN) for name, key, _ in rows}
            )
            if module == _SESSIONS:
                sts._sessions.update(data[_SESSIONS])
                continue
            module_name = app._state_map.get(module)
            if module_name is None:
                logger.warning("state of unknown module %s is left alone", module)
                continue
            app._get_module(module_name).load_persisted_state(data)

    def _take_over(self) -> None:
        """Keep what an earlier release wrote: one document for a whole module."""
        from ministack.core import persistence

        if not self.store.execute("SELECT 1 FROM sqlite_master WHERE type='table' AND name='base_state'"):
            return
        with self.store.transaction():
            for module, text in self.store.execute("SELECT module, document FROM base_state"):
                data = json.loads(text, object_hook=persistence._json_object_hook)
                state = {_SESSIONS: data} if module == _SESSIONS else data
                self._put(module, [(place, snapshot.document(entry)) for place, entry in snapshot.pieces(state)], [])
            self.store.execute("DROP TABLE base_state")

    def _rows(self, module: str) -> list[tuple[Any, ...]]:
        return self.store.execute("SELECT name, key, document FROM base_entry WHERE module=? ORDER BY seq", (module,))

    def save(self, only: str | None = None, *, whole: bool = False) -> None:
        """Write what changed of all modules (or of the one named) to SQLite, as one transaction.

        Args:
            whole: look at stacks that stand still, too.
        """
        if whole:
            self._whole.set()
        self._shared.ask(only)

    def _write(self, wanted: frozenset[str] | None) -> None:
        """Write what changed of the modules that are wanted; None is all."""
        from ministack import app
        from ministack.services import sts

        states = {**app._build_persistence_save_dict(), _SESSIONS: lambda: {_SESSIONS: dict(sts._sessions)}}
        whole = wanted is None and self._whole.is_set()
        changes: list[tuple[str, list[tuple[Place, str]], list[Place]]] = []
        found: dict[str, Groups] = {}
        for module, get_state in states.items():
            if wanted is not None and app._state_map.get(module, _SESSIONS) not in wanted:
                continue
            before = self._saved.get(module, {})
            look = partial(groups.changed, before=before, whole=whole)
            fingerprint = partial(self._fingerprint, module, whole)
            taken = patiently(partial(_read, get_state, partial(look, fingerprint=fingerprint)))
            if taken is None:
                continue
            found[module], written, gone = taken
            if written or gone:
                changes.append((module, written, gone))
        if changes:
            with self.store.transaction():
                for module, written, gone in changes:
                    self._put(module, written, gone)
        self._saved.update(found)
        for module, _, gone in changes:
            self._standing.forget(module, gone)
        if whole:
            self._whole.clear()

    def _fingerprint(self, module: str, whole: bool, place: Place, entry: Any) -> int:
        return self._standing.fingerprint(module, place, entry, whole=whole)

    def _put(self, module: str, written: list[tuple[Place, str]], gone: list[Place]) -> None:
        for name, key in gone:
            self.store.execute("DELETE FROM base_entry WHERE module=? AND name=? AND key=?", (module, name, key))
        for (name, key), document in written:
            self.store.execute(
                "INSERT INTO base_entry (module, name, key, document) VALUES (?,?,?,?) "
                "ON CONFLICT (module, name, key) DO UPDATE SET document=excluded.document",
                (module, name, key, document),
            )

    def documents(self) -> dict[str, dict[str, Any]]:
        """Module → dictionary's name → its entries, of all modules that are in use."""
        from ministack import app

        found = {name: patiently(get_state) for name, get_state in app._build_persistence_save_dict().items()}
        return {name: state for name, state in found.items() if state}

    def forget(self, module: str, name: str, key: str, account: str, region: str) -> None:
        """Remove an entry of a module's dictionary, and save that. One that is not there is no error."""
        from ministack import app

        with scope(account, region):
            getattr(app._get_module(module), name).pop(key, None)
        self.save(module)


def _read(get_state: Callable[[], Any], look: Callable[[Any], T]) -> T | None:
    """What `look` finds in a module's state; None where it has none."""
    state = snapshot.read(get_state)
    return None if state is None else look(state)


def patiently(read: Callable[[], T]) -> T:
    """What `read` returns.

    ministack copies dictionaries that other threads change meanwhile, and Python refuses to go on then. A busy module
    needs several attempts; what is acknowledged must be on disk, so patience ends late.
    """
    deadline, pause = time.monotonic() + _PATIENCE_SECONDS, 0.002
    while True:
        try:
            return read()
        except RuntimeError:
            if time.monotonic() > deadline:
                raise
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)
