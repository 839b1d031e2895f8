"""What a person sees: steps with durations, and never a silent minute."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console

_HEARTBEAT_SECONDS = 15.0


class Stop(Exception):
    """The demonstration cannot go on: one message, with the cause and the mend."""


@dataclass
class Step:
    """One step of the report."""

    name: str
    seconds: float = 0.0
    ok: bool = False

    def as_report(self) -> dict[str, object]:
        """As written to report.json."""
        return {"name": self.name, "seconds": round(self.seconds, 2), "ok": self.ok}


class Journal:
    """Prints progress, and keeps the steps for the report."""

    def __init__(self) -> None:
        self.console = Console(highlight=False, soft_wrap=True)
        self.steps: list[Step] = []
        self.started = time.monotonic()
        self._last_line = time.monotonic()
        self._step: Step | None = None
        self._step_started = 0.0

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self.started

    def line(self, text: str, style: str = "dim") -> None:
        """A line below the current step."""
        self._last_line = time.monotonic()
        self.console.print(f"  {text}", style=style, markup=False)

    @contextmanager
    def step(self, name: str, title: str) -> Iterator[None]:
        """A step: its title, what happens, and how long it took."""
        step = Step(name)
        self.steps.append(step)
        self._step, self._step_started = step, time.monotonic()
        self._last_line = time.monotonic()
        self.console.print(f"[bold cyan]▸[/] [bold]{title}[/]  [dim]{_clock(self.seconds)}[/]")
        done = threading.Event()
        beat = threading.Thread(target=self._heartbeat, args=(done, time.monotonic()), daemon=True)
        beat.start()
        try:
            yield
            step.ok = True
        finally:
            done.set()
            step.seconds = time.monotonic() - self._step_started
            mark = "[green]✓[/]" if step.ok else "[red]✗[/]"
            self.console.print(f"{mark} {title}  [dim]{step.seconds:.1f} s[/]")

    def _heartbeat(self, done: threading.Event, started: float) -> None:
        while not done.wait(1.0):
            if time.monotonic() - self._last_line > _HEARTBEAT_SECONDS:
                self.line(f"… still at it, {time.monotonic() - started:.0f} s in this step")


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
