"""The server's child processes: each in a process group of its own, and in the store before it does anything."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from localcloud.children import Children, end_group
from localcloud.core.store import Store

_KIND = "core.process"
# A child waits until the store knows it. Should the server be killed before that, the pipe ends and so does the child:
# no orphan can be unknown to the next server. `exec` keeps the process id and the start time that are recorded.
_GATE = 'read -r _ || exit 143; exec "$@" </dev/null'


def _start_ticks(pid: int) -> str:
    """When the process started, so that a recycled pid is not mistaken for ours. Empty where /proc is missing."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except (OSError, IndexError):
        return ""


class Processes(Children):
    """Starts children that a restart finds and ends."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self._table = store.table(_KIND)

    def end_orphans(self) -> int:
        """Kill what an earlier, killed server left running. Returns how many."""
        count = 0
        for account, region, key, document in self._table.all():
            pid = int(document["pid"])
            if document["ticks"] and _start_ticks(pid) == document["ticks"]:
                end_group(pid, None, 1.0)
                count += 1
            self._table.delete(account, region, key)
        return count

    def _open(
        self, argv: Sequence[str], env: Mapping[str, str], cwd: Path, stdout: int, key: str
    ) -> subprocess.Popen[bytes]:
        popen = subprocess.Popen(
            ["/bin/sh", "-c", _GATE, "sh", *argv], env=dict(env), cwd=cwd, stdin=subprocess.PIPE, stdout=stdout,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        assert popen.stdin is not None
        try:
            self._table.put("", "", key, {"pid": popen.pid, "ticks": _start_ticks(popen.pid)})
        except BaseException:  # a full disk: the child leaves as it came
            popen.stdin.close()
            popen.wait()
            raise
        with contextlib.suppress(BrokenPipeError):
            popen.stdin.write(b"\n")
            popen.stdin.flush()
        popen.stdin.close()
        return popen

    def _forget(self, key: str) -> None:
        super()._forget(key)
        with contextlib.suppress(Exception):  # the store may be closed already at the end of the server
            self._table.delete("", "", key)
