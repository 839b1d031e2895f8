"""`python -m tests.bench`: measures, prints a table, writes build/bench.json. It fails only if something cannot run."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from rich.console import Console

from tests.bench import cloud as commands
from tests.bench import loop
from tests.bench.cloud import ROOT, Cloud, Failed, median
from tests.bench.figures import Figure, report

RESULT = ROOT / "build" / "bench.json"
WORK = ROOT / "build" / "bench"


def main(arguments: list[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--port", type=int, default=4599, help="of the benchmark's own local cloud (default: 4599)")
    parser.add_argument("--home", type=Path, default=WORK / "cloud", help="its state (default: build/bench/cloud)")
    parser.add_argument("--warm", action="store_true", help="caches are warm: leave out the demonstration before")
    parser.add_argument("--only", choices=list(PARTS), action="append", help="measure this part (default: all)")
    given = parser.parse_args(arguments)
    parts = given.only or list(PARTS)
    # A table in a log is not squeezed into the 80 columns that a log is taken for.
    console = Console() if sys.stdout.isatty() else Console(width=120)
    cloud = Cloud(given.home.resolve(), given.port)
    WORK.mkdir(parents=True, exist_ok=True)
    figures: list[Figure] = []
    try:
        if not given.warm and "demo" in parts:
            console.print("▸ the demonstration once, to warm the caches of packages (some minutes)")
            _demo(cloud)
        for title, measure in (PARTS[part] for part in parts):
            console.print(f"▸ {title}")
            figures += measure(cloud)
        cloud.reset()
    except Failed as error:
        console.print(f"[red]bench:[/] {error}", highlight=False)
        return 1
    report(console, figures, RESULT)
    return 0


def _start(cloud: Cloud) -> list[Figure]:
    baseline = median(5, commands.bare_process)
    seconds = median(3, lambda: commands.start(cloud))
    return [Figure("start", "local cloud: start to first call", seconds, 2.0, baseline, "a bare boto3 process")]


def _platform(cloud: Cloud) -> list[Figure]:
    found = []
    for _ in range(3):  # each in an empty cloud: the middle one counts
        commands.start(cloud)
        found.append(commands.deploy(cloud))
    seconds, split, resources = sorted(found, key=lambda each: each[0])[1]
    baseline = median(5, lambda: commands.smallest_stack(cloud)) * resources
    title = f"{resources} stacks of one parameter"
    return [Figure("platform", "platform and two workload stacks (median of 3)", seconds, 20.0, baseline, title, split)]


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


PARTS = {
    "start": ("local cloud: start to first answered call, three times", _start),
    "platform": ("platform and two workload stacks", _platform),
    "demo": ("the demonstration from nothing, and the loop within it", _loop),
}


if __name__ == "__main__":
    sys.exit(main())
