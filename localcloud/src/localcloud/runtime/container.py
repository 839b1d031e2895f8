"""A container that serves, as long as it runs."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from pathlib import Path

from localcloud.runtime.types import OnLine, Process

_TAIL_SECONDS = 0.1


class Container:
    """A running server. Its output goes to a file and from there to `on_line`."""

    def __init__(self, process: Process, port: int, log: Path, on_line: OnLine, stack: ExitStack) -> None:
        self._process = process
        self.port = port
        self._log = log
        self._on_line = on_line
        self._stack = stack
        self._lock = threading.Lock()
        self._code: int | None = None
        self._tail = threading.Thread(target=self._follow, name=f"container-{process.pid}", daemon=True)
        self._tail.start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.alive()

    def returncode(self) -> int | None:
        """The exit code, or None while it runs."""
        return self._process.returncode()

    def stop(self) -> None:
        """End it and clear away its directory. May be called twice."""
        self._process.stop()
        self._tail.join(timeout=5)
        with self._lock:
            self._stack.close()

    def _follow(self) -> None:
        rest = b""
        with self._log.open("rb") as stream:
            while True:
                alive = self._process.alive()
                chunk = stream.read()
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self._on_line(line.decode(errors="replace"))
                if not alive and not chunk:
                    break
                if not chunk:
                    time.sleep(_TAIL_SECONDS)
        if rest:
            self._on_line(rest.decode(errors="replace"))
