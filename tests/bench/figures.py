"""What was measured, and how it is shown: against its target, and against a baseline of the same run."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Figure:
    """What was measured: seconds, those that are the target, and those of a baseline."""

    name: str
    title: str
    seconds: float
    target: float
    baseline: float
    baseline_title: str
    split: dict[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, float]:
        """As written to bench.json."""
        return {
            "seconds": round(self.seconds, 3),
            "target_seconds": self.target,
            "ratio_to_target": round(self.seconds / self.target, 3),
            "baseline_seconds": round(self.baseline, 3),
            "ratio_to_baseline": round(self.seconds / self.baseline, 3),
        }


def report(console: Console, figures: Sequence[Figure], path: Path) -> None:
    """Print the table, say so where the machine was busy, and write the file: what other runs wrote there stays."""
    _show(console, figures)
    waiting, processors = os.getloadavg()[2], os.cpu_count() or 1
    if waiting > processors + 1:
        console.print(
            f"[yellow]the machine was busy:[/] {waiting:.1f} processes for {processors} processors in the last 15 "
            "minutes; the ratios to the baselines still hold, those to the targets do not",
            highlight=False,
        )
    before = json.loads(path.read_text()) if path.exists() else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(before | {figure.name: figure.as_json() for figure in figures}, indent=2) + "\n")
    console.print(f"written to {path}", style="dim")


def _show(console: Console, figures: Sequence[Figure]) -> None:
    table = Table(title="Speed", title_justify="left", title_style="bold")
    for name in ("what", "seconds", "target", "ratio to target", "baseline", "ratio to baseline"):
        table.add_column(name, justify="left" if name == "what" else "right", no_wrap=True)
    for figure in figures:
        ratio = figure.seconds / figure.target
        style = "red" if ratio > 1 else "green"
        table.add_row(
            f"[bold]{figure.title}[/]", f"{figure.seconds:.2f}", f"{figure.target:.0f}", f"[{style}]{ratio:.2f}[/]",
            f"{figure.baseline:.2f}", f"{figure.seconds / figure.baseline:.1f}",
        )  # fmt: skip
        table.add_row(f"  baseline: {figure.baseline_title}", style="dim")
        for part, seconds in figure.split.items():
            table.add_row(f"  {part}", f"{seconds:.2f}", style="dim")
        table.add_section()
    console.print(table)
    over = [figure.title for figure in figures if figure.seconds > figure.target]
    if over:
        console.print(f"[red]over the target:[/] {'; '.join(over)}", highlight=False)
    else:
        console.print("[green]every target is met[/]")
