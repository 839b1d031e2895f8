"""`python -m tests.bench.scale`: launches many projects while many people work, and shows what a launch takes.

The last launches are compared with the first ones of the same run: what grows with the number of projects shows there.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

from rich.console import Console

from tests.bench import cloud as commands
from tests.bench.cloud import ROOT, Cloud, Failed, median
from tests.bench.crowd import Launch, People, launch
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
        launches, waited = _launches(console, cloud, given.projects, given.people)
        cloud.reset()
    except Failed as error:
        console.print(f"[red]bench:[/] {error}", highlight=False)
        return 1
    report(console, _figures(launches, waited, baseline, given.people), RESULT)
    return 0


def _launches(console: Console, cloud: Cloud, projects: int, people: int) -> tuple[list[Launch], list[float]]:
    crowd, found = People(cloud, people), []
    catalogue = crowd.client("DataScienceAdmin", "", "bench", "servicecatalog")
    with crowd.at_work():
        for number in range(1, projects + 1):
            project = f"project-{number:02}"
            found.append(launch(cloud, catalogue, project))
            crowd.join(project)
            console.print(f"▸ {project}: {found[-1].seconds:.1f} s, processor {found[-1].processor:.1f} s")
    return found, crowd.waited


def _figures(launches: list[Launch], waited: list[float], baseline: float, people: int) -> list[Figure]:
    ends = min(_COMPARED, len(launches))
    first = statistics.median(each.seconds for each in launches[:ends])
    last = statistics.median(each.seconds for each in launches[-ends:])
    of_first = statistics.median(each.processor for each in launches[:ends])
    of_last = statistics.median(each.processor for each in launches[-ends:])
    split = {f"launch {number}": each.seconds for number, each in enumerate(launches, 1)}
    if waited:
        split["a call of a person at work, median"] = statistics.median(waited)
        split["a call of a person at work, 95 of 100"] = sorted(waited)[int(0.95 * (len(waited) - 1))]
    title = f"launch of a project, {people} people at work"
    compared = f"the first {ends} of {len(launches)} launches (median)"
    figures = [
        Figure("launch", title, last, TARGET_SECONDS, baseline, "a stack of one parameter", split),
        Figure("launch_growth", f"the last {ends} launches (median)", last, GROWTH * first, first, compared),
    ]
    if of_first:
        title = f"the last {ends} launches (median), processor time"
        figures.append(Figure("launch_growth_processor", title, of_last, GROWTH * of_first, of_first, compared))
    return figures


if __name__ == "__main__":
    sys.exit(main())
