"""The test suite itself: tests that share what is made once run in one worker."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("options", [[], ["--dist", "loadgroup"]], ids=["-n 2 alone", "loadgroup"])
def test_a_folder_stays_in_one_worker_whatever_is_asked_for(tmp_path: Path, options: list[str]) -> None:
    """Protects minutes and memory: two workers would each play the whole demonstration."""
    workers = tmp_path / "workers"
    for place in ("loop/test_one", "loop/test_two", "unit/test_other"):
        path = tmp_path / "tests" / f"{place}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            "import os, pytest\n@pytest.mark.parametrize('number', range(4))\ndef test_it(number):\n"
            f"    with open({str(workers)!r}, 'a') as told:\n"
            f"        told.write({place!r} + ' ' + os.environ['PYTEST_XDIST_WORKER'] + '\\n')\n"
        )
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "2", *options, "-p", "tests.conftest", "-p", "no:cacheprovider",
         "--import-mode=importlib", "--rootdir", str(tmp_path), str(tmp_path)],
        cwd=ROOT, env=kept, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    lines = workers.read_text().splitlines()
    assert len(lines) == 12
    assert len({line.split()[1] for line in lines if line.startswith("loop/")}) == 1, lines
