"""Commands that people type, run with their output below the step that they belong to."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

from slipway_demo.console import Journal, Stop
from slipway_demo.people import Person

ROOT = Path(__file__).resolve().parents[3]
_ERROR = re.compile(r"(#\d+ )?\s*(slipway|error|ERROR|fatal)\b.*:")
# A resource that was made in no time is no news; stacks, and what takes long or fails, are.
_TRIFLE = re.compile(r": \w+ (create|update)_complete in 0\.\d s$")
_YIELDING = 10  # nice: a tenth or so of the processor where others want it, too
_running: set[subprocess.Popen[str]] = set()
_ending = threading.Event()


def end_all() -> None:
    """Ask every command that runs to end, and begin no other: a signal for this process alone has not reached them."""
    _ending.set()
    for child in list(_running):
        child.terminate()


def slipway(journal: Journal, person: Person, who: str, *arguments: str, yielding: bool = False) -> None:
    """Run the `slipway` command as a person would, its output below the step, each line after `who`.

    Args:
        yielding: whether it leaves the processor to others, since something that takes longer runs beside it.
    """
    program = Path(sys.executable).parent / "slipway"
    journal.line(f"{who}$ slipway {' '.join(arguments)}    ({person.name})")
    environment = {**person.full_environment(), "PYTHONUNBUFFERED": "1"}
    run(journal, [str(program), *arguments], environment, ROOT, who, yielding=yielding)


def run(
    journal: Journal, command: list[str], environment: dict[str, str], cwd: Path | None = None, who: str = "",
    *, yielding: bool = False,
) -> None:  # fmt: skip
    """Run a command to its end.

    Raises:
        Stop: it failed; the message names the command and the line that tells most of the cause.
    """
    if _ending.is_set():
        raise Stop("stopped")
    path = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', '')}"
    child = subprocess.Popen(
        command, env={**environment, "PATH": path}, cwd=cwd, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    _running.add(child)
    if yielding:
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, child.pid, _YIELDING)
    tail: list[str] = []
    assert child.stdout is not None
    try:
        for line in child.stdout:
            tail = [*tail[-39:], line.rstrip()]
            if not _TRIFLE.search(line):
                journal.line(f"{who}  {line.rstrip()}")
        code = child.wait()
    except BaseException:
        child.terminate()
        raise
    finally:
        _running.discard(child)
    if code != 0:
        raise Stop(f"`{' '.join(command)}` ended with exit code {code}: {reason(tail)}")


def reason(tail: list[str]) -> str:
    """The line that tells most of why a command failed: the last error that does not refer to one above it."""
    errors = [(number, line.strip()) for number, line in enumerate(tail) if _ERROR.match(line)]
    told = [found for found in errors if not found[1].endswith("see above")] or errors
    if not told:
        return (tail or ["it said nothing"])[-1]
    number, line = told[-1]
    causes = [after.strip() for after in tail[number + 1 :] if after.strip().startswith("cause: ")]
    return "; ".join((line, *causes[-1:]))
