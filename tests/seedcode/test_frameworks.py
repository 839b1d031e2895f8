"""Projects with networks, whose libraries have environments of their own: `make test-frameworks`."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Stamp
from .matrix import PAIRS, REPOSITORY, run
from .test_seedcode import lake, play

__all__ = ["lake"]

pytestmark = pytest.mark.frameworks
NETWORKS = [pair for pair in PAIRS if pair[0] in ("tensorflow", "huggingface")]


def python(framework: str) -> str:
    """The interpreter of a framework's environment."""
    found = REPOSITORY / ".venv" / "frameworks" / framework / "bin" / "python"
    assert found.exists(), f"{found} is not there: run `make test-frameworks`, which makes it"
    return str(found)


@pytest.mark.parametrize("pair", NETWORKS, ids="-".join)
def test_a_project_passes_its_own_tests(pair: tuple[str, str], stamped: Stamp) -> None:
    project = stamped(*pair, "both")
    done = run(project, "make", "test", f"PYTHON={python(pair[0])}", python=python(pair[0]))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("pair", NETWORKS, ids="-".join)
def test_a_project_learns_from_real_data(pair: tuple[str, str], stamped: Stamp, lake: Path, tmp_path: Path) -> None:
    """The quality gate that the project is stamped with lets its model pass."""
    play(stamped(*pair, "real-time"), lake, tmp_path, python(pair[0]))
