"""What the demonstration leaves: a table, the next commands, and build/demo/report.json."""

from __future__ import annotations

import json
from pathlib import Path

from rich.table import Table

from slipway_demo.steps import PROJECT, Demo

FACTS = ("platform", "project", "build", "model", "release", "predictions")


def write(demo: Demo, path: Path, ok: bool) -> None:
    """Write report.json."""
    report = {
        "ok": ok,
        "seconds": round(demo.journal.seconds, 2),
        "steps": [step.as_report() for step in demo.journal.steps],
        **{name: demo.facts.get(name) for name in FACTS},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(report, indent=2) + "\n")
    temporary.replace(path)


def show(demo: Demo, path: Path) -> None:
    """Print what runs, what to try, and the predictions."""
    console, facts = demo.journal.console, demo.facts
    runs = Table(title="What now runs", title_justify="left", title_style="bold")
    runs.add_column("what")
    runs.add_column("where")
    runs.add_row("AWS on this machine", demo.place.endpoint)
    runs.add_row("platform", f"{facts['platform']['stacks']} stacks, {facts['platform']['resources']} resources")
    runs.add_row("repository", facts["project"]["clone_url"])
    runs.add_row("model", f"{facts['model']['version']}  {facts['model']['model_package_arn']}")
    runs.add_row("production endpoint", f"{facts['release']['production_endpoint']} in account {demo.production}")
    runs.add_row("report", str(path))
    flights = Table(title="Ten real flights", title_justify="left", title_style="bold")
    for name in ("flight", "predicted delay (min)", "actual delay (min)"):
        flights.add_column(name, justify="left" if name == "flight" else "right")
    for row, prediction in zip(facts["sample_rows"], facts["predictions"], strict=True):
        label = " ".join(str(row[key]) for key in ("carrier", "origin", "dest") if row.get(key) is not None)
        flights.add_row(label, f"{prediction['predicted']:.0f}", f"{prediction['actual']:.0f}")
    console.print()
    console.print(runs)
    console.print(flights)
    console.print("[bold]Try next[/]")
    for command, why in (
        (f"eval $(make -s env PERSONA=DataScientist PROJECT={PROJECT})", "be the Data Scientist in this shell"),
        (f"git clone {facts['project']['clone_url']}", "change project.yaml, push to main, and watch:"),
        (f"aws codepipeline list-pipeline-executions --pipeline-name {facts['build']['pipeline']}", ""),
        ("make down", "stop; make up resumes; make reset forgets"),
    ):
        console.print(f"  {command}", style="cyan", markup=False)
        if why:
            console.print(f"      {why}", style="dim")
