"""Child processes where there is no running local cloud to keep them: the `docker` command and tests."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from localcloud.runtime.types import OnLine, quiet

_GRACE_SECONDS = 5.0


class Child:
    """A long-lived child."""

    def __init__(self, popen: subprocess.Popen[bytes], own_group: bool = True) -> None:
        self._popen = popen
        self._own_group = own_group

    @property
    def pid(self) -> int:
        """The process id, which is also its group's."""
        return self._popen.pid

    def alive(self) -> bool:
        """Whether it still runs."""
        return self._popen.poll() is None

    def returncode(self) -> int | None:
        """The exit code, or None while it runs."""
        return self._popen.poll()

    def stop(self) -> None:
        """SIGTERM to the group, SIGKILL after a while."""
        self._signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(_GRACE_SECONDS)
        self._signal(signal.SIGKILL)
        self._popen.wait()

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            if self._own_group:
                os.killpg(self.pid, number)
            else:
                self._popen.send_signal(number)


class Children:
    """Starts children in process groups of their own. Exit codes as `localcloud.core`'s: 124 timeout, 143 killed."""

    def __init__(self, own_groups: bool = True) -> None:
        """
        Args:
            own_groups: False leaves children in this process's group, so that whoever kills the group ends them too.
        """
        self._own_groups = own_groups
        self._running: dict[str, Child] = {}
        self._killed: set[str] = set()
        self._lock = threading.Lock()

    def run(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        key: str,
        on_line: OnLine = quiet,
        timeout: float | None = None,
    ) -> int:
        """Run to the end, handing over each line of output."""
        popen = subprocess.Popen(
            list(argv), env=dict(env), cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=self._own_groups,
        )  # fmt: skip
        child = Child(popen, self._own_groups)
        expired = threading.Event()

        def expire() -> None:
            expired.set()
            child.stop()

        timer = threading.Timer(timeout, expire) if timeout else None
        with self._lock:
            self._running[key] = child
        try:
            if timer:
                timer.daemon = True
                timer.start()
            assert popen.stdout is not None
            for raw in popen.stdout:
                on_line(raw.decode(errors="replace").rstrip("\n"))
            code = popen.wait()
        finally:
            if timer:
                timer.cancel()
            if child.alive():
                child.stop()
            with self._lock:
                self._running.pop(key, None)
                killed = key in self._killed
                self._killed.discard(key)
        return 124 if expired.is_set() else 143 if killed else code

    def spawn(self, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, log_path: Path, key: str) -> Child:
        """Start a long-lived child whose output goes to a file."""
        log_path.parent.mkdir(parents=True, exist_ok=True)
        with log_path.open("ab") as log:
            popen = subprocess.Popen(
                list(argv), env=dict(env), cwd=cwd, stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, start_new_session=self._own_groups,
            )  # fmt: skip
        child = Child(popen, self._own_groups)
        with self._lock:
            self._running[key] = child
        return child

    def kill(self, key: str) -> bool:
        """End the child of that key. Whether there was one."""
        with self._lock:
            child = self._running.get(key)
            if child is not None:
                self._killed.add(key)
        if child is None:
            return False
        child.stop()
        return True
