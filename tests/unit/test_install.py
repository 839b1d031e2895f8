"""What `make` says when something cannot be installed: one cause, one mend, and no password."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "demo" / "install.py"
UV = """error: Request failed after 3 retries in 3.9s
  cause: Failed to fetch: http://me:secret@127.0.0.1:9/simple/jmespath/
  cause: error sending request for url (http://me:secret@127.0.0.1:9/simple/jmespath/)
  cause: tcp connect error
  cause: Connection refused (os error 111)
"""
DNS = "  cause: dns error\n  cause: failed to lookup address information: Name or service not known\n"
GATEWAY = "  cause: HTTP status server error (502 Bad Gateway) for url (https://index.example/simple/x/)\n"


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (UV, "the Python package index (http://127.0.0.1:9/simple/jmespath/) cannot be reached: Connection refused."),
        (DNS, "the Python package index cannot be reached: Name or service not known."),
        (GATEWAY, "(https://index.example/simple/x/) cannot be reached: 502 Bad Gateway."),
        ("ERROR: No matching distribution found for uv==1.2.3\n", "the Python package index has no uv==1.2.3."),
        ("OSError: [Errno 28] No space left on device\n", "the disk is full."),
        ("warning: x\nerror: the lock file is not a lock file\n", "error: the lock file is not a lock file"),
        ("", "it said nothing"),
    ],
)
def test_the_cause_is_found(script: dict[str, Any], said: str, expected: str) -> None:
    """Protects a newcomer from reading a screen of retries."""
    found = script["reason"](said)
    assert expected in found
    assert "secret" not in found


def test_the_exit_code_and_the_log_are_kept(tmp_path: Path) -> None:
    """Protects make: a failed installation fails it, and all that was said can be read."""
    log = tmp_path / "install.log"
    program = "import sys; print('error: no'); sys.exit(3)"
    command = [sys.executable, str(SCRIPT), "packages", str(log), sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert done.stderr.startswith("packages could not be installed: error: no\n")
    assert log.read_text() == "error: no\n"
