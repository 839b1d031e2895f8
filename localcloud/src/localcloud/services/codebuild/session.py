"""The shell of a build: one long-lived driver inside the build's container, fed command by command.

CodeBuild promises that the commands of a version 0.2 buildspec share one shell: the working directory and the
variables persist. Its agent keeps that promise by carrying both from command to command in files, so that an `exit`
ends the command and not the build; the driver here does the same. It reads step numbers from a FIFO, runs the step's
script and reports the exit status on standard output behind a secret word.
"""

from __future__ import annotations

import os
import queue
import shlex
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from localcloud.core import short_id

_DRIVER = """\
# Runs the steps of a build. $1: control directory, $2: working directory, $3: shell, $4: the word before results,
# $5: directories to put first on PATH
[ -z "$5" ] || PATH="$5:$PATH"
cd "$2" || exit 1
export PATH
export -p > "$1/environment"
pwd > "$1/directory"
exec 3< "$1/steps"
while IFS= read -r step <&3; do
  env -i "$3" "$1/step-$step" < /dev/null 3<&-
  printf '%s %s %s\\n' "$4" "$step" "$?"
done
"""
_PERSISTENT = """\
__localcloud_keep() {{ set -- "$?"; set +a
  export -p > {control}/environment.new && mv {control}/environment.new {control}/environment
  pwd > {control}/directory; exit "$1"; }}
. {control}/environment
cd "$(cat {control}/directory)" || exit 1
{preset}trap __localcloud_keep EXIT
set -a
. {control}/command-{step}
"""
_ISOLATED = """\
. {control}/environment
cd "$(cat {control}/directory)" || exit 1
{preset}. {control}/command-{step}
"""


class Ended(Exception):
    """The session ended before the step did."""

    def __init__(self, reason: str, code: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code


class Session:
    """A running shell.

    Args:
        control: an empty directory that the container sees under the same path.
        workdir: where the first command starts.
        shell: "/bin/sh" or "bash".
        run: starts the driver with the given arguments, hands over its lines and returns its exit code.
        stop: ends it by force.
        on_line: gets each line of output.
        persistent: whether commands share directory and variables (version 0.2).
        first: directories to put before the container's own PATH.
    """

    def __init__(
        self,
        control: Path,
        workdir: Path,
        *,
        shell: str,
        run: Callable[[list[str], Callable[[str], None]], int],
        stop: Callable[[], None],
        on_line: Callable[[str], None],
        persistent: bool = True,
        first: tuple[Path, ...] = (),
    ) -> None:
        self._control = control
        self._stop = stop
        self._on_line = on_line
        self._persistent = persistent
        self._word = f"step-{short_id(24)}"
        self._results: queue.Queue[tuple[str, int]] = queue.Queue()
        self._step = 0
        self._ended: Ended | None = None
        control.mkdir(parents=True, exist_ok=True)
        driver = control / "driver"
        driver.write_text(_DRIVER)
        os.mkfifo(control / "steps")
        # Opened for both directions: the open neither waits for a reader nor fails without one, and the driver's read
        # ends when this process does.
        self._steps = os.open(control / "steps", os.O_RDWR)
        prefix = ":".join(str(path) for path in first)
        arguments = ["/bin/sh", str(driver), str(control), str(workdir), shell, self._word, prefix]
        self._thread = threading.Thread(target=self._body, args=(run, arguments), daemon=True, name="codebuild-session")
        self._thread.start()

    def _body(self, run: Callable[[list[str], Callable[[str], None]], int], arguments: list[str]) -> None:
        try:
            code = run(arguments, self._line)
            self._results.put(("", code))
        except Exception as error:
            self._on_line(f"{type(error).__name__}: {error}")
            self._results.put((str(error) or type(error).__name__, 1))

    def _line(self, line: str) -> None:
        before, found, after = line.partition(f"{self._word} ")
        if not found:
            self._on_line(line)
            return
        if before:
            self._on_line(before)
        step, _, status = after.partition(" ")
        self._results.put((step, int(status)))

    def run(self, command: str, *, preset: Mapping[str, str] | None = None, deadline: float | None = None) -> int:
        """Run one command to its end.

        Args:
            command: shell text, possibly of several lines.
            preset: variables that are set before it.
            deadline: `time.monotonic()` after which it is stopped.

        Returns:
            Its exit status.

        Raises:
            TimeoutError: the deadline passed.
            Ended: the container ended before the command did.
        """
        if self._ended is not None:
            raise self._ended  # nobody is left to answer
        self._step += 1
        step = str(self._step)
        (self._control / f"command-{step}").write_text(command + "\n")
        sets = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in (preset or {}).items())
        template = _PERSISTENT if self._persistent else _ISOLATED
        control = shlex.quote(str(self._control))
        (self._control / f"step-{step}").write_text(template.format(control=control, preset=sets, step=step))
        os.write(self._steps, f"{step}\n".encode())
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            try:
                which, status = self._results.get(timeout=left)
            except queue.Empty:
                self._stop()
                raise TimeoutError from None
            if which == step:
                return status
            if not which.isdigit():
                self._ended = Ended(which or f"exit status {status}", status)
                raise self._ended

    def capture(self, words: str, deadline: float | None = None) -> str:
        """The text that the shell makes of `words` (variables and command substitutions expanded)."""
        target = self._control / "captured"
        quoted = words.replace("\\", "\\\\").replace('"', '\\"')
        status = self.run(f"printf '%s' \"{quoted}\" > {shlex.quote(str(target))}", deadline=deadline)
        return target.read_text(errors="replace") if status == 0 and target.exists() else words

    def close(self) -> None:
        """End the driver, and by force whatever it left running."""
        os.close(self._steps)
        self._thread.join(2)
        if self._thread.is_alive():
            self._stop()
            self._thread.join(10)
