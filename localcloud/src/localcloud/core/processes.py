"""Child processes: each in a process group of its own, known to the store, so that a restart leaves no orphans."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from localcloud.core.store import Store

_KIND = "core.process"
_GRACE_SECONDS = 5.0


class Process:
    """A running child."""

    def __init__(self, popen: subprocess.Popen[bytes], key: str, forget: Callable[[], None]) -> None:
        self._popen = popen
        self.key = key
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
        _end_group(self.pid, self._popen, grace)
        self._forget()


def _end_group(pid: int, popen: subprocess.Popen[bytes] | None, grace: float) -> None:
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


def _start_ticks(pid: int) -> str:
    """When the process started, so that a recycled pid is not mistaken for ours. Empty where /proc is missing."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except (OSError, IndexError):
        return ""


class Processes:
    """Starts children and ends them."""

    def __init__(self, store: Store) -> None:
        self._table = store.table(_KIND)
        self._lock = threading.Lock()
        self._running: dict[str, Process] = {}
        self._killed: set[str] = set()

    def end_orphans(self) -> int:
        """Kill what an earlier, killed server left running. Returns how many."""
        count = 0
        for account, region, key, document in self._table.all():
            pid = int(document["pid"])
            if document["ticks"] and _start_ticks(pid) == document["ticks"]:
                _end_group(pid, None, 1.0)
                count += 1
            self._table.delete(account, region, key)
        return count

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
            The exit code; negative when a signal ended it, 124 when `timeout` seconds passed, 143 when `kill` ended it.
        """
        popen = subprocess.Popen(
            list(argv), env=dict(env), cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        process = self._register(popen, key)
        timed_out = threading.Event()

        def expire() -> None:
            timed_out.set()
            process.stop()

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
            if popen.poll() is None:
                process.stop()
            self._forget(key)
        if timed_out.is_set():
            return 124
        with self._lock:
            killed = key in self._killed
            self._killed.discard(key)
        return 143 if killed else code

    def spawn(self, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, log_path: Path, key: str) -> Process:
        """Start a long-lived child whose output goes to a file."""
        log_path.parent.mkdir(parents=True, exist_ok=True)
        with log_path.open("ab") as log:
            popen = subprocess.Popen(
                list(argv), env=dict(env), cwd=cwd, stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        return self._register(popen, key)

    def kill(self, key: str) -> bool:
        """End the child of that key. Whether there was one."""
        with self._lock:
            process = self._running.get(key)
            if process is not None:
                self._killed.add(key)
        if process is None:
            return False
        process.stop()
        return True

    def close(self) -> None:
        """End every child."""
        with self._lock:
            running = list(self._running.values())
        for process in running:
            process.stop(1.0)

    def _register(self, popen: subprocess.Popen[bytes], key: str) -> Process:
        process = Process(popen, key, lambda: self._forget(key))
        with self._lock:
            self._running[key] = process
        self._table.put("", "", key, {"pid": popen.pid, "ticks": _start_ticks(popen.pid)})
        return process

    def _forget(self, key: str) -> None:
        with self._lock:
            self._running.pop(key, None)
        with contextlib.suppress(Exception):  # the store may be closed already at the end of the server
            self._table.delete("", "", key)
