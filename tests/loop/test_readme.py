"""The commands of the README, run as they stand there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.loop.conftest import BUILD, Loop

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("loop")]
ROOT = Path(__file__).resolve().parents[2]


def block(heading: str) -> list[str]:
    """The commands of the first block below a heading, comments and all."""
    section = (ROOT / "README.md").read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    found = re.search(r"(?:^    .+\n)+", section, flags=re.MULTILINE)
    assert found, f"README.md has no commands below {heading}"
    return [line[4:] for line in found[0].splitlines()]


def test_what_to_look_at_can_be_typed_as_it_stands(loop: Loop) -> None:
    """Protects a newcomer's first five minutes: be the Data Scientist, clone, list the executions."""
    commands = block("What to look at")
    commands[0] = f"pushd {ROOT} > /dev/null; {commands[0]}; popd > /dev/null"
    folder = loop.folder / "readme"
    folder.mkdir()
    done = subprocess.run(
        ["bash", "-ec", "\n".join(commands)], cwd=folder, env=loop.environment(), capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / "flight-delays" / "project.yaml").is_file()
    assert loop.report["build"]["execution_id"] in done.stdout
    assert BUILD in "\n".join(commands)
