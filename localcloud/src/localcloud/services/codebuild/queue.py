"""Which build runs when: limits by account and by project, first come first served."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

logger = logging.getLogger("localcloud.codebuild")

VARIABLE = "LOCALCLOUD_CODEBUILD_PARALLEL"


def parallel_limit() -> int:
    """How many builds of one account run at once: LOCALCLOUD_CODEBUILD_PARALLEL, or the number of cores, at least 2."""
    given = os.environ.get(VARIABLE, "")
    if given:
        try:
            limit = int(given)
        except ValueError:
            limit = 0
        if limit < 1:
            raise ValueError(f"{VARIABLE} is '{given}'; allowed: a whole number from 1")
        return limit
    return max(2, os.cpu_count() or 2)


@dataclass(eq=False)
class Entry:
    """A build that waits or runs."""

    account: str
    project: str
    key: str
    limit: int | None
    start: Callable[[], None]
    expire: Callable[[], None]
    expires: float = field(default=0.0)


class Queue:
    """Starts builds as places become free. Builds that wait longer than their queued timeout are given up."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._waiting: list[Entry] = []
        self._running: list[Entry] = []

    def add(self, entry: Entry) -> None:
        """Queue a build; it starts at once where there is room."""
        with self._lock:
            self._waiting.append(entry)
        self._advance()

    def remove(self, key: str) -> bool:
        """Take a waiting build out. Whether it was waiting."""
        with self._lock:
            found = [entry for entry in self._waiting if entry.key == key]
            for entry in found:
                self._waiting.remove(entry)
        return bool(found)

    def done(self, entry: Entry) -> None:
        """A running build is over."""
        with self._lock:
            if entry in self._running:
                self._running.remove(entry)
        self._advance()

    def tick(self) -> None:
        """Give up builds that waited too long."""
        moment = time.monotonic()
        with self._lock:
            late = [entry for entry in self._waiting if entry.expires <= moment]
            for entry in late:
                self._waiting.remove(entry)
        for entry in late:
            entry.expire()

    def waiting(self) -> int:
        """How many builds wait."""
        with self._lock:
            return len(self._waiting)

    def _advance(self) -> None:
        ready = []
        with self._lock:
            for entry in list(self._waiting):
                account = sum(1 for other in self._running if other.account == entry.account)
                project = sum(
                    1 for other in self._running if (other.account, other.project) == (entry.account, entry.project)
                )
                if account < self._limit and (entry.limit is None or project < entry.limit):
                    self._waiting.remove(entry)
                    self._running.append(entry)
                    ready.append(entry)
        for entry in ready:
            entry.start()
