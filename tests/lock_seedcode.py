"""Writes seedcode's constraints.txt, one for each framework: `make lock`.

Whatever the platform's lock has, a project gets in the same version; what only a framework needs is resolved to fit it.
A conflict between the two ends it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
CHOICES = REPOSITORY / "seedcode" / "{{cookiecutter.project}}" / "choices"
PYTHON = "3.11"  # of the base image (cicd/image, cfn/images.yaml)
# What a framework adds to what the platform's lock knows.
FRAMEWORKS = {
    "scikit-learn": ["scikit-learn", "joblib"],
    "xgboost": ["xgboost-cpu"],
    "tensorflow": ["tensorflow-cpu==2.21.0"],
    "huggingface": ["torch==2.13.0", "transformers==5.23.0", "accelerate==1.15.0", "tokenizers"],
}
COMMON = ["pandas", "ipykernel", "nbclient", "pytest", "ruff"]
HEADING = """\
# The version of everything that goes into the images, in one place: a model is made again from the same versions.
# Those of the platform's lock; `slipway` is the version of the platform that stamped the project.
"""
# PyPI's torch for Linux is built for GPUs and brings gigabytes for them; the images have the build for CPUs.
GPU = re.compile(r"(nvidia-|cuda-|triton)")


def pins(framework: str, lock: str) -> list[str]:
    """name==version of everything, sorted, without slipway."""
    with tempfile.TemporaryDirectory() as folder:
        wanted, known = Path(folder) / "wanted.in", Path(folder) / "lock.txt"
        package = f"slipway[evaluation,serving] @ {(REPOSITORY / 'cicd').as_uri()}"
        wanted.write_text("\n".join([package, *COMMON, *FRAMEWORKS[framework]]) + "\n", encoding="utf-8")
        known.write_text(lock, encoding="utf-8")
        made = subprocess.run(
            [Path(sys.executable).parent / "uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate",
             "--python-version", PYTHON, "--python-platform", "x86_64-unknown-linux-gnu",
             "--constraints", known, wanted],
            capture_output=True, text=True, check=False,
            env={**os.environ, "UV_FIND_LINKS": os.environ.get("PIP_FIND_LINKS", "")},
        )  # fmt: skip
    if made.returncode:
        raise SystemExit(f"{framework}: {made.stderr.strip()}")
    lines = [re.sub(r"\+cpu\b", "", line) for line in made.stdout.splitlines()]
    return sorted(line for line in lines if "==" in line and not GPU.match(line))


def main() -> None:
    """Write the files."""
    text = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8")
    lock = "\n".join(line.rstrip("\\ ") for line in text.splitlines() if "--hash" not in line)
    for framework in FRAMEWORKS:
        found = [*pins(framework, lock), "slipway=={{ cookiecutter._slipway_version }}"]
        (CHOICES / framework / "constraints.txt").write_text(
            HEADING + "\n".join(sorted(found)) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
