"""Room on the disk: a reserve by which what runs can still come to its end, and be recorded, when the disk is full.

A disk that is full would leave jobs and stacks in progress for ever, because their end could not be written. So some
room is taken in advance and given free when the state needs it; until there is room again, whatever would change
something is refused, and whatever reads, stops or removes goes on.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from pathlib import Path

from localcloud.core.errors import Fault

RESERVE = 16 << 20  # bytes; the records of a demonstration take about a fifth of it
LOW = 8 << 20


class Room:
    """The disk of a home."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._reserve = home / "reserve"
        self._lock = threading.Lock()
        self._taken = False

    def take(self) -> None:
        """Reserve the room.

        Raises:
            OSError: there is none.
        """
        with self._lock:
            self._take()

    def release(self) -> bool:
        """Give the reserve free, for the state alone. Whether there was one."""
        with self._lock:
            self._taken = False
            try:
                self._reserve.unlink()
            except OSError:
                return False
            return True

    def check(self, size: int = 0) -> None:
        """Refuse what would write `size` bytes, where they do not fit.

        Raises:
            Fault: with the disk and the mend.
        """
        free = shutil.disk_usage(self._home).free
        with self._lock:
            if not self._taken and free >= RESERVE + LOW:
                with contextlib.suppress(OSError):
                    self._take()
                    free -= RESERVE
            if self._taken and free >= LOW + size:
                return
        raise self.fault()

    def fault(self) -> Fault:
        """What a caller is told."""
        needed = (RESERVE + 2 * LOW) >> 20
        return Fault(
            "InsufficientStorage",
            f"The disk of {self._home} is full. Nothing was changed; what was acknowledged is kept. Make room for "
            f"{needed} MB or more on that disk, then try again.",
            507,  # not one of those that an SDK tries again
        )

    def _take(self) -> None:
        try:
            with self._reserve.open("ab") as file:
                os.posix_fallocate(file.fileno(), 0, RESERVE)
        except OSError:
            self._reserve.unlink(missing_ok=True)
            raise
        self._taken = True
