"""Writes cicd/image/packages.txt, what the build image holds by name: `make lock`.

The versions and hashes are the lock's; a release takes them from there (slipway.platform.assets).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
FILE = REPOSITORY / "cicd" / "image" / "packages.txt"
PYTHON = "3.11"  # of the base image (cfn/images.yaml)
HEADING = """\
# What the build image holds beside the slipway package, by name; versions and hashes are those of requirements.lock.
# Written by `make lock`.
"""


def names() -> list[str]:
    """What `slipway[deploy,pipelines]`, the `aws` command and uv need, sorted, without slipway."""
    text = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        wanted, known = Path(folder) / "wanted.in", Path(folder) / "lock.txt"
        wanted.write_text(f"slipway[deploy,pipelines] @ {(REPOSITORY / 'cicd').as_uri()}\nawscli\nuv\n")
        known.write_text("\n".join(line.rstrip("\\ ") for line in text.splitlines() if "--hash" not in line))
        made = subprocess.run(
            [Path(sys.executable).parent / "uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate",
             "--python-version", PYTHON, "--python-platform", "x86_64-unknown-linux-gnu",
             "--constraints", known, wanted],
            capture_output=True, text=True, check=False, env=dict(os.environ),
        )  # fmt: skip
    if made.returncode:
        raise SystemExit(f"the build image: {made.stderr.strip()}")
    return sorted(re.split("[=@ ]", line)[0] for line in made.stdout.splitlines() if "==" in line)


def main() -> None:
    """Write the file."""
    found = names()
    FILE.write_text(HEADING + "".join(f"{name}\n" for name in found), encoding="utf-8")
    print(f"{FILE.relative_to(REPOSITORY)}: {len(found)} packages")


if __name__ == "__main__":
    main()
