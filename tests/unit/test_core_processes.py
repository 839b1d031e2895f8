"""Child processes of the server: none may be unknown to the store, so that a restart leaves no orphan."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from localcloud.core import Store
from localcloud.core.processes import Processes

ENVIRONMENT = {"PATH": os.environ["PATH"]}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "state.sqlite")


def test_output_and_exit_code_are_the_commands(store: Store, tmp_path: Path) -> None:
    """Protects whoever runs a command with arguments that a shell would take apart."""
    lines: list[str] = []
    command = [sys.executable, "-c", "import sys; print(sys.argv[1:], sys.stdin.read() == ''); sys.exit(3)"]
    code = Processes(store).run(
        [*command, "a b", "$HOME", "'"], env=ENVIRONMENT, cwd=tmp_path, key="k", on_line=lines.append
    )
    assert (code, lines) == (3, ["['a b', '$HOME', \"'\"] True"])


def test_a_command_that_is_not_there_ends_as_in_a_shell(store: Store, tmp_path: Path) -> None:
    """Protects the log: 127 and a line that names the command, not a hang."""
    lines: list[str] = []
    code = Processes(store).run(["no-such-command"], env=ENVIRONMENT, cwd=tmp_path, key="k", on_line=lines.append)
    assert code == 127
    assert "no-such-command" in lines[0]


def test_a_child_that_the_store_cannot_take_does_nothing(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects against orphans of a full disk."""
    processes, made = Processes(store), tmp_path / "made"

    def full(*_: object) -> None:
        raise OSError("full")

    monkeypatch.setattr(processes._table, "put", full)
    with pytest.raises(OSError, match="full"):
        processes.run(["touch", str(made)], env=ENVIRONMENT, cwd=tmp_path, key="k")
    time.sleep(0.3)
    assert not made.exists()


def test_a_server_killed_before_it_has_noted_the_child_leaves_none(tmp_path: Path) -> None:
    """Protects against orphans of kill -9 between the start of a child and its record: the child has not begun."""
    made = tmp_path / "made"
    program = (
        "import os, pathlib\n"
        "from localcloud.core import Store\n"
        "from localcloud.core.processes import Processes\n"
        f"processes = Processes(Store(pathlib.Path({str(tmp_path / 'state.sqlite')!r})))\n"
        "processes._table.put = lambda *_: os.kill(os.getpid(), 9)\n"
        f"processes.run(['touch', {str(made)!r}], env=dict(os.environ), cwd=pathlib.Path('/'), key='k')\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    time.sleep(0.3)
    assert not made.exists()


def test_what_a_killed_server_left_is_ended(tmp_path: Path) -> None:
    """Protects the machine: the next server ends the child of the one before."""
    program = (
        "import os, pathlib, sys\n"
        "from localcloud.core import Store\n"
        "from localcloud.core.processes import Processes\n"
        f"processes = Processes(Store(pathlib.Path({str(tmp_path / 'state.sqlite')!r})))\n"
        "child = processes.spawn(['sleep', '600'], env=dict(os.environ), cwd=pathlib.Path('/'),\n"
        f"    log_path=pathlib.Path({str(tmp_path / 'log')!r}), key='k')\n"
        "print(child.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    pid = int(subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True).stdout)
    assert Path(f"/proc/{pid}").exists()
    assert Processes(Store(tmp_path / "state.sqlite")).end_orphans() == 1
    deadline = time.monotonic() + 10
    while _runs(pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    """Whether a process runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
