"""`python -m tests.bench.scale`: launches many projects while many people work, and shows what a launch takes.

The last launches are compared with the first ones of the same run: what grows with the number of projects shows there.
So that nothing else does, people have a project to look at from the first on: it is launched before they come.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from tests.bench import cloud as commands
from tests.bench.cloud import ROOT, Cloud, Failed, median
from tests.bench.crowd import People, launch, of_a_call
from tests.bench.figures import Figure, report

RESULT = ROOT / "build" / "bench.json"
TARGET_SECONDS = 15.0
GROWTH = 1.2  # the last launches may take so many times as long as the first
_COMPARED = 3  # launches at either end, of which the median is taken


def main(arguments: list[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scale", description=__doc__)
    parser.add_argument("--port", type=int, default=4598, help="of the benchmark's own local cloud (default: 4598)")
    parser.add_argument("--home", type=Path, default=ROOT / "build" / "bench" / "scale", help="its state")
    parser.add_argument("--projects", type=int, default=20, help="that are launched (default: 20)")
    parser.add_argument("--people", type=int, default=40, help="who work meanwhile (default: 40)")
    given = parser.parse_args(arguments)
    if given.projects < 1 or given.people < 0:
        parser.error("--projects must be at least 1 and --people at least 0")
    console = Console() if sys.stdout.isatty() else Console(width=120)
    cloud = Cloud(given.home.resolve(), given.port)
    try:
        console.print("▸ a platform")
        commands.start(cloud)
        commands.deploy(cloud)
        baseline = median(5, lambda: commands.smallest_stack(cloud))
        found = _launches(console, cloud, given.projects, given.people)
        cloud.reset()
    except Failed as error:
        console.print(f"[red]bench:[/] {error}", highlight=False)
        return 1
    report(console, _figures(found, baseline, given.people), RESULT)
    return 0


@dataclass
class Found:
    """What was found: of each launch the seconds, and those of processor time; of each call of a person the seconds."""

    seconds: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    waited: list[float] = field(default_factory=list)


def _launches(console: Console, cloud: Cloud, projects: int, people: int) -> Found:
    crowd, found = People(cloud, people), Found()
    catalogue = crowd.client("DataScienceAdmin", "", "bench", "servicecatalog")
    launch(cloud, catalogue, "project-00", crowd)
    crowd.join("project-00")
    with crowd.at_work():
        for number in range(1, projects + 1):
            if number % _COMPARED == 1:
                each = of_a_call(cloud, crowd)
            project = f"project-{number:02}"
            done = launch(cloud, catalogue, project, crowd)
            crowd.join(project)
            found.seconds.append(done.seconds)
            found.processor.append(done.own(each))
            besides = f"{done.calls} calls of people, {1000 * each:.0f} ms each"
            console.print(f"▸ {project}: {done.seconds:.1f} s; processor {done.own(each):.1f} s, besides {besides}")
    found.waited = crowd.waited
    return found


def _figures(found: Found, baseline: float, people: int) -> list[Figure]:
    ends = min(_COMPARED, len(found.seconds))
    first, last = (statistics.median(part) for part in (found.seconds[:ends], found.seconds[-ends:]))
    of_first, of_last = (statistics.median(part) for part in (found.processor[:ends], found.processor[-ends:]))
    split = {f"launch {number}": seconds for number, seconds in enumerate(found.seconds, 1)}
    if found.waited:
        split["a call of a person at work, median"] = statistics.median(found.waited)
        split["a call of a person at work, 95 of 100"] = sorted(found.waited)[int(0.95 * (len(found.waited) - 1))]
    title = f"launch of a project, {people} people at work"
    compared = f"the first {ends} of {len(found.seconds)} launches (median)"
    figures = [
        Figure("launch", title, last, TARGET_SECONDS, baseline, "a stack of one parameter", split),
        Figure("launch_growth", f"the last {ends} launches (median)", last, GROWTH * first, first, compared),
    ]
    if of_first > 0:
        title = f"the last {ends} launches (median), processor time"
        figures.append(Figure("launch_growth_processor", title, of_last, GROWTH * of_first, of_first, compared))
    return figures


if __name__ == "__main__":
    sys.exit(main())
