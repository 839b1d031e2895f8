"""Lines with durations for people who watch a build: every change is shown, and silence never lasts."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TextIO


def duration(seconds: float) -> str:
    """0.4 s, 12.3 s, 3 min 05 s."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"


@dataclass
class Progress:
    """Prints lines that begin with the seconds since it was made."""

    out: TextIO = field(default_factory=lambda: sys.stdout)
    clock: Callable[[], float] = time.monotonic
    heartbeat_seconds: float = 15.0

    def __post_init__(self) -> None:
        self.started = self.clock()
        self.last = self.started

    @property
    def elapsed(self) -> float:
        """Seconds since this was made."""
        return self.clock() - self.started

    def say(self, text: str) -> None:
        """Print one line, stamped with the time since the start."""
        self.last = self.clock()
        print(f"[{duration(self.elapsed):>12}] {text}", file=self.out, flush=True)

    def beat(self, text: str) -> None:
        """Print a line if nothing has been said for `heartbeat_seconds`."""
        if self.clock() - self.last >= self.heartbeat_seconds:
            self.say(text)


def table(rows: Sequence[Sequence[object]], heading: Sequence[str] | None = None) -> str:
    """Rows as aligned columns, for the end of a command."""
    cells = [[str(cell) for cell in row] for row in ([heading] if heading else []) + list(rows)]
    if not cells:
        return ""
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    ]
    if heading:
        lines.insert(1, "  " + "  ".join("-" * width for width in widths))
    return "\n".join(lines)
