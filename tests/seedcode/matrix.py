"""Which combinations of framework, problem and serving there are, and what a project of each consists of."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
TABLES = ("regression", "binary-classification", "multiclass-classification")
TEXT = "text-classification"
FITTING = {"scikit-learn": (*TABLES, TEXT), "xgboost": TABLES, "tensorflow": TABLES, "huggingface": (TEXT,)}
SERVING = ("real-time", "batch", "both")
PAIRS = [(framework, problem) for framework, problems in FITTING.items() for problem in problems]
VALID = [(*pair, serving) for pair, serving in itertools.product(PAIRS, SERVING)]
INVALID = [pair for pair in itertools.product(FITTING, (*TABLES, TEXT)) if pair not in PAIRS]
PACKAGES = {
    "regression": "flights",
    "binary-classification": "flights",
    "multiclass-classification": "digits",
    TEXT: "food_reviews",
}
DATASETS = {"flights": "flights/2013-q1", "digits": "digits/scans", "food_reviews": "reviews/food"}


def files(framework: str, problem: str) -> set[str]:
    """Every file of a project."""
    package = PACKAGES[problem]
    own = {f"{package}/encoding.py", "tests/test_algorithm.py"} if framework == "xgboost" else set()
    return own | {
        ".dockerignore",
        ".gitignore",
        "Makefile",
        "README.md",
        "constraints.txt",
        f"{package}/__init__.py",
        f"{package}/columns.py",
        f"{package}/dataset.py",
        "inference/Dockerfile",
        "inference/predictor.py",
        "inference/requirements.txt",
        "notebooks/explore.ipynb",
        "preprocessing/Dockerfile",
        "preprocessing/preprocess.py",
        "preprocessing/requirements.txt",
        "project.yaml",
        "pyproject.toml",
        "requirements-dev.txt",
        "tests/__init__.py",
        "tests/conftest.py",
        "tests/invented.py",
        "tests/test_dataset.py",
        "tests/test_model.py",
        "tests/test_preprocess.py",
        "training/Dockerfile",
        "training/evaluate.py",
        "training/requirements.txt",
        "training/train.py",
    }


def answers(framework: str, problem: str, serving: str = "real-time") -> dict[str, str]:
    """What the template is asked for."""
    dataset = DATASETS[PACKAGES[problem]]
    return {"framework": framework, "problem": problem, "serving": serving, "dataset": dataset}


def run(
    root: Path, *command: str, python: str = sys.executable, **environment: str
) -> subprocess.CompletedProcess[str]:
    """A command in a project, with the tools of an environment."""
    path = f"{Path(python).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        command, cwd=root, capture_output=True, text=True, check=False, env={**os.environ, "PATH": path, **environment}
    )
