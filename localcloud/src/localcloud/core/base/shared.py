"""Work that many threads wait for at once is done once for all of them (a database calls it a group commit)."""

from __future__ import annotations

import threading
from collections.abc import Callable


class _Round:
    """One turn of the work, and who waits for it."""

    def __init__(self) -> None:
        self.wanted: set[str] | None = set()  # None is everything
        self.done = threading.Event()
        self.error: BaseException | None = None


class Shared:
    """Calls `work` with what its callers want done; one call at a time, each for all who asked before it began."""

    def __init__(self, work: Callable[[frozenset[str] | None], None]) -> None:
        self._work = work
        self._turn = threading.Lock()  # held by whoever works
        self._lock = threading.Lock()
        self._next = _Round()

    def ask(self, wanted: str | None) -> None:
        """Return when a call of `work` that began after this call has done what is wanted; None wants everything.

        Raises:
            Exception: what `work` raised, to each of those for whom it was called.
        """
        with self._lock:
            mine = self._next
            if wanted is None:
                mine.wanted = None
            elif mine.wanted is not None:
                mine.wanted.add(wanted)
        with self._turn:
            if not mine.done.is_set():
                self._do(mine)
        if mine.error is not None:
            raise mine.error

    def _do(self, mine: _Round) -> None:
        with self._lock:
            self._next = _Round()  # who asks from now on may have changed something that this call does not see
            wanted = None if mine.wanted is None else frozenset(mine.wanted)
        try:
            self._work(wanted)
        except BaseException as error:
            mine.error = error
        finally:
            mine.done.set()
