"""Child processes: run to the end or for long, each known by a key, ended with everything they started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_GRACE_SECONDS = 5.0


class Child:
    """A long-lived child."""

    def __init__(self, popen: subprocess.Popen[bytes], own_group: bool, forget: Callable[[], None]) -> None:
        self._popen = popen
        self._own_group = own_group
        self._forget = forget

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

    def stop(self, grace: float = _GRACE_SECONDS) -> None:
        """SIGTERM to the group, SIGKILL after `grace` seconds."""
        if self._own_group:
            end_group(self.pid, self._popen, grace)
        else:
            with contextlib.suppress(ProcessLookupError):
                self._popen.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(grace)
            with contextlib.suppress(ProcessLookupError):
                self._popen.kill()
            self._popen.wait()
        self._forget()


def end_group(pid: int, popen: subprocess.Popen[bytes] | None, grace: float) -> None:
    """End a process group: SIGTERM, and SIGKILL after `grace` seconds. `popen` is its leader, if it is our child."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while time.monotonic() < deadline:
        if popen is not None and popen.poll() is not None:
            break
        try:
            os.killpg(pid, 0)
        except (ProcessLookupError, PermissionError):
            break
        time.sleep(0.05)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    if popen is not None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            popen.wait(2)


class Children:
    """Starts children and ends them."""

    def __init__(self, own_groups: bool = True) -> None:
        """
        Args:
            own_groups: False leaves children in this process's group, so that whoever kills the group ends them too.
        """
        self._own_groups = own_groups
        self._lock = threading.Lock()
        self._running: dict[str, Child] = {}
        self._killed: set[str] = set()

    def run(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        key: str,
        on_line: Callable[[str], None] = lambda line: None,
        timeout: float | None = None,
    ) -> int:
        """Run to the end, handing over each line of output.

        Returns:
            The exit code; negative when a signal ended it, 124 when `timeout` seconds passed, 143 when `kill` ended it,
            126 or 127 when the command cannot be run or is not there, as a shell says it.
        """
        popen = self._open(argv, env, cwd, subprocess.PIPE, key)
        child = self._keep(popen, key)
        timed_out = threading.Event()

        def expire() -> None:
            timed_out.set()
            child.stop()

        timer = threading.Timer(timeout, expire) if timeout else None
        if timer:
            timer.daemon = True
            timer.start()
        try:
            assert popen.stdout is not None
            for raw in popen.stdout:
                on_line(raw.decode(errors="replace").rstrip("\n"))
            code = popen.wait()
        finally:
            if timer:
                timer.cancel()
            if child.alive():
                child.stop()
            self._forget(key)
        if timed_out.is_set():
            return 124
        with self._lock:
            killed = key in self._killed
            self._killed.discard(key)
        return 143 if killed else code

    def spawn(self, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, log_path: Path, key: str) -> Child:
        """Start a long-lived child whose output goes to a file."""
        log_path.parent.mkdir(parents=True, exist_ok=True)
        with log_path.open("ab") as log:
            popen = self._open(argv, env, cwd, log.fileno(), key)
        return self._keep(popen, key)

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

    def close(self) -> None:
        """End every child."""
        with self._lock:
            running = list(self._running.values())
        for child in running:
            child.stop(1.0)

    def _open(
        self, argv: Sequence[str], env: Mapping[str, str], cwd: Path, stdout: int, key: str
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            list(argv), env=dict(env), cwd=cwd, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.STDOUT,
            start_new_session=self._own_groups,
        )  # fmt: skip

    def _keep(self, popen: subprocess.Popen[bytes], key: str) -> Child:
        child = Child(popen, self._own_groups, lambda: self._forget(key))
        with self._lock:
            self._running[key] = child
        return child

    def _forget(self, key: str) -> None:
        with self._lock:
            self._running.pop(key, None)
