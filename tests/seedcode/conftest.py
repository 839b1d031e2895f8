"""The template as a release has it, and projects rendered from it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slipway.platform.assets import seedcode
from slipway.stamp import render

from .matrix import REPOSITORY, answers

Stamp = Callable[..., Path]
# What was measured of each combination in this run.
FIGURES = pytest.StashKey[list[dict[str, Any]]]()


def pytest_collection_modifyitems(config: pytest.Config) -> None:
    """Begin with no figures; a hook that is called once this file is known, whatever tests were asked for."""
    config.stash.setdefault(FIGURES, [])


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Tell what was measured, and keep it in build/frameworks.json."""
    figures = config.stash.get(FIGURES, [])
    if not figures:
        return
    terminalreporter.section("seconds of the SageMaker pipeline, of its training, and what the model reached")
    for one in figures:
        metrics = ", ".join(f"{name} {value}" for name, value in one["metrics"].items())
        terminalreporter.line(
            f"{one['framework']:20}{one['problem']:27}{one['pipeline_seconds']:6}{one['training_seconds']:7}  {metrics}"
        )
    kept = REPOSITORY / "build" / "frameworks.json"
    kept.parent.mkdir(exist_ok=True)
    kept.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template as a release has it."""
    path = tmp_path_factory.mktemp("template") / "seedcode.zip"
    path.write_bytes(seedcode(REPOSITORY))
    return path


@pytest.fixture(scope="session")
def stamped(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Stamp:
    """A project of a combination, rendered once."""
    known: dict[tuple[str, ...], Path] = {}

    def make(*combination: str) -> Path:
        if combination not in known:
            known[combination] = render(template, answers(*combination), tmp_path_factory.mktemp("seed"))
        return known[combination]

    return make


@pytest.fixture(scope="session")
def project(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project stamped with the template's own answers."""
    return render(template, {}, tmp_path_factory.mktemp("seed"))
