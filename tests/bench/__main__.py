"""`python -m tests.bench`: measures, prints a table, writes build/bench.json. It fails only if something cannot run."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench import cloud as commands
from tests.bench import loop
from tests.bench.cloud import ROOT, Cloud, Failed, median

RESULT = ROOT / "build" / "bench.json"
WORK = ROOT / "build" / "bench"


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


def main(arguments: list[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--port", type=int, default=4599, help="of the benchmark's own local cloud (default: 4599)")
    parser.add_argument("--home", type=Path, default=WORK / "cloud", help="its state (default: build/bench/cloud)")
    parser.add_argument("--warm", action="store_true", help="caches are warm: leave out the demonstration before")
    given = parser.parse_args(arguments)
    # A table in a log is not squeezed into the 80 columns that a log is taken for.
    console = Console() if sys.stdout.isatty() else Console(width=120)
    cloud = Cloud(given.home.resolve(), given.port)
    WORK.mkdir(parents=True, exist_ok=True)
    figures: list[Figure] = []
    try:
        if not given.warm:
            console.print("▸ the demonstration once, to warm the caches of packages (some minutes)")
            _demo(cloud)
        for title, measure in (
            ("local cloud: start to first answered call, three times", _start),
            ("platform and two workload stacks", _platform),
            ("the demonstration from nothing, and the loop within it", _loop),
        ):
            console.print(f"▸ {title}")
            figures += measure(cloud)
        cloud.reset()
    except Failed as error:
        console.print(f"[red]bench:[/] {error}", highlight=False)
        return 1
    _show(console, figures)
    waiting, processors = os.getloadavg()[2], os.cpu_count() or 1
    if waiting > processors + 1:
        console.print(
            f"[yellow]the machine was busy:[/] {waiting:.1f} processes for {processors} processors in the last 15 "
            "minutes; the ratios to the baselines still hold, those to the targets do not",
            highlight=False,
        )
    RESULT.write_text(json.dumps({figure.name: figure.as_json() for figure in figures}, indent=2) + "\n")
    console.print(f"written to {RESULT.relative_to(ROOT)}", style="dim")
    return 0


def _start(cloud: Cloud) -> list[Figure]:
    baseline = median(5, commands.bare_process)
    seconds = median(3, lambda: commands.start(cloud))
    return [Figure("start", "local cloud: start to first call", seconds, 2.0, baseline, "a bare boto3 process")]


def _platform(cloud: Cloud) -> list[Figure]:
    commands.start(cloud)
    seconds, split, resources = commands.deploy(cloud)
    baseline = median(5, lambda: commands.smallest_stack(cloud)) * resources
    title = f"{resources} stacks of one parameter"
    return [Figure("platform", "platform and two workload stacks", seconds, 20.0, baseline, title, split)]


def _demo(cloud: Cloud) -> float:
    cloud.reset()
    return cloud.run("slipway-demo", "run", cwd=WORK)


def _loop(cloud: Cloud) -> list[Figure]:
    seconds = _demo(cloud)
    report = json.loads((WORK / "build" / "demo" / "report.json").read_text())
    found = loop.measure(cloud, WORK / "build" / "demo" / loop.PROJECT)
    steps = {step["name"]: float(step["seconds"]) for step in report["steps"]}
    own = "the project's own steps"
    return [
        Figure(
            "loop_overhead", "push to registered, less own steps", found.overhead, 25.0, found.own, own, found.split
        ),
        Figure("demo", "warm make demo from make reset", seconds, 120.0, found.own, own, steps),
    ]


def _show(console: Console, figures: list[Figure]) -> None:
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


if __name__ == "__main__":
    sys.exit(main())
