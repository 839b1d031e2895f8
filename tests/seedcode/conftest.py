"""The template as a release has it, and projects rendered from it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from slipway.platform.assets import seedcode
from slipway.stamp import render

from .matrix import REPOSITORY, answers

Stamp = Callable[..., Path]


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
