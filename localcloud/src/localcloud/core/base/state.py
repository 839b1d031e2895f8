"""ministack's state in our SQLite file: it keeps its own in memory and writes it at an orderly stop alone."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from localcloud.core.base.scope import scope
from localcloud.core.store import Store

logger = logging.getLogger("localcloud.base")

# ministack forgets STS sessions at a restart; on AWS credentials outlive everything but their expiry.
_SESSIONS = "sts"
_PATIENCE_SECONDS = 20.0
T = TypeVar("T")


class State:
    """Saves and restores."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._saved: dict[str, int] = {}
        self._save_lock = threading.Lock()

    def load(self, wanted: Callable[[str], bool]) -> None:
        """Restore what `save` wrote of the modules that are wanted."""
        from ministack import app
        from ministack.core import persistence
        from ministack.services import sts

        for name, blob in self.store.execute("SELECT module, document FROM base_state"):
            if not wanted(name):
                continue
            if name == _SESSIONS:
                sts._sessions.update(json.loads(blob))
                continue
            module_name = app._state_map.get(name)
            if module_name is None:
                logger.warning("state of unknown module %s is left alone", name)
                continue
            data = json.loads(blob, object_hook=persistence._json_object_hook)
            app._get_module(module_name).load_persisted_state(data)
            self._saved[name] = hash(blob)

    def save(self, only: str | None = None) -> None:
        """Write the state of all modules that changed (or of the one named) to SQLite, as one transaction."""
        from ministack import app
        from ministack.services import sts

        with self._save_lock:
            changed = []
            states = {**app._build_persistence_save_dict(), _SESSIONS: lambda: dict(sts._sessions)}
            for name, get_state in states.items():
                if only is not None and app._state_map.get(name, "sts") != only:
                    continue
                blob = _snapshot(get_state)
                if blob is not None and self._saved.get(name) != hash(blob):
                    changed.append((name, blob))
            if not changed:
                return
            with self.store.transaction():
                for name, blob in changed:
                    self.store.execute(
                        "INSERT INTO base_state (module, document) VALUES (?,?) "
                        "ON CONFLICT (module) DO UPDATE SET document=excluded.document",
                        (name, blob),
                    )
            for name, blob in changed:
                self._saved[name] = hash(blob)

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


def _snapshot(get_state: Callable[[], Any]) -> str | None:
    """A module's state as JSON; None where it has none."""
    from ministack.core import persistence

    def take() -> str | None:
        state = get_state()
        return None if state is None else json.dumps(state, default=persistence._json_default)

    return patiently(take)


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
