"""A stamped project passes its own checks at once, and learns from real data."""

from __future__ import annotations

import importlib
import json
import re
import shutil
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Route

from slipway import configuration
from slipway_demo import datasets

from .conftest import Stamp
from .matrix import DATASETS, PACKAGES, PAIRS, run

HERE = [pair for pair in PAIRS if pair[0] in ("scikit-learn", "xgboost")]


@pytest.mark.parametrize("target", ["lint", "validate", "test", "help"])
def test_a_project_passes_its_own_checks_at_once(project: Path, target: str) -> None:
    done = run(project, "make", target, f"PYTHON={sys.executable}")
    assert done.returncode == 0, done.stdout + done.stderr
    if target == "test":
        assert "<testsuite" in (project / "build" / "junit.xml").read_text()


@pytest.mark.slow
def test_a_project_with_trees_passes_its_own_tests(stamped: Stamp) -> None:
    done = run(stamped("xgboost", "binary-classification", "both"), "make", "test", f"PYTHON={sys.executable}")
    assert done.returncode == 0, done.stdout + done.stderr


def test_make_alone_says_what_there_is(project: Path) -> None:
    targets = re.findall(r"^([a-z]+):.*##", (project / "Makefile").read_text(), re.M)
    said = run(project, "make").stdout
    assert len(targets) >= 5
    assert all(re.search(rf"^{target}\s", said, re.M) for target in targets)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every data set, as the data engineer puts it into the lake."""
    folder = tmp_path_factory.mktemp("lake")
    for name in datasets.SETS:
        (folder / name).mkdir(parents=True)
        for file, content in datasets.files(name):
            (folder / name / file).write_bytes(content)
    return folder


def play(project: Path, lake: Path, place: Path, python: str = sys.executable) -> dict[str, Any]:
    """Each step as SageMaker runs it: a process, its folders, its arguments, and what the step before it left.

    Returns the metrics of evaluation.json.
    """
    wanted = configuration.load(project / "project.yaml")

    def step(name: str, script: str, *words: str) -> str:
        told = {
            "SAGEMAKER_BASE_DIR": str(place / name),
            "PYTHONPATH": f"{project}:{project / 'inference'}",
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
            "SLIPWAY_TARGET": wanted.data.target,
            "SLIPWAY_PROBLEM": wanted.problem,
            "SLIPWAY_PROJECT": wanted.project,
            "SLIPWAY_DATASET": wanted.data.dataset,
        }
        done = run(project, python, script, *words, python=python, **told)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    shutil.copytree(lake / wanted.data.dataset, place / "preprocess" / "processing" / "input" / "dataset")
    given = [f"--{name.replace('_', '-')}={value}" for name, value in wanted.preprocessing.parameters.items()]
    step("preprocess", "preprocessing/preprocess.py", *given)
    made = place / "preprocess" / "processing" / "output"
    for channel in ("train", "validation"):
        shutil.copytree(made / channel, place / "train" / "input" / "data" / channel)
    config = place / "train" / "input" / "config"
    config.mkdir(parents=True)
    values = {name: str(value) for name, value in wanted.training.hyperparameters.items()}
    (config / "hyperparameters.json").write_text(json.dumps(values))
    told = step("train", "training/train.py", "train")
    inputs = place / "evaluate" / "processing" / "input"
    (inputs / "model").mkdir(parents=True)
    with tarfile.open(inputs / "model" / "model.tar.gz", "w:gz") as tar:
        tar.add(place / "train" / "model", ".")
    for name in ("train", "test"):
        shutil.copytree(made / name, inputs / name)
    step("evaluate", "training/evaluate.py")
    result = place / "evaluate" / "processing" / "output"
    (figures,) = json.loads((result / "evaluation" / "evaluation.json").read_text()).values()
    for metric, bound in wanted.quality_gate.items():
        value = figures[metric]["value"]
        assert bound.max is None or value <= bound.max, (metric, value)
        assert bound.min is None or value >= bound.min, (metric, value)
        assert f"validation:{metric}=" in told
    samples = json.loads((result / "evaluation" / "samples.json").read_text())
    assert len(samples["rows"]) == len(samples["truth"]) == len(samples["predicted"]) >= 10
    assert (result / "evaluation" / "report.html").read_text().startswith("<!DOCTYPE html>")
    assert {path.name for path in (result / "baseline").iterdir()} == {"statistics.json", "constraints.json"}
    return figures


@pytest.mark.slow
def test_the_entry_points_learn_from_real_data(project: Path, lake: Path, tmp_path: Path) -> None:
    figures = play(project, lake, tmp_path)
    assert 10 < figures["rmse"]["value"] < 18
    assert figures["r2"]["value"] > 0.8


@pytest.mark.thorough
@pytest.mark.slow
@pytest.mark.parametrize("pair", HERE[1:], ids="-".join)
def test_every_problem_learns_from_real_data(pair: tuple[str, str], stamped: Stamp, lake: Path, tmp_path: Path) -> None:
    """The quality gate that the project is stamped with lets its model pass."""
    play(stamped(*pair, "real-time"), lake, tmp_path)


def test_the_lake_has_a_data_set_for_every_problem() -> None:
    assert {DATASETS[package] for package in PACKAGES.values()} == set(datasets.SETS)


def test_a_step_without_its_data_leaves_the_reason(project: Path, tmp_path: Path) -> None:
    (tmp_path / "processing" / "input" / "dataset").mkdir(parents=True)
    done = run(
        project,
        sys.executable,
        "preprocessing/preprocess.py",
        SAGEMAKER_BASE_DIR=str(tmp_path),
        PYTHONPATH=str(project),
        SLIPWAY_TARGET="arr_delay",
    )
    assert done.returncode == 1
    reason = "the dataset has no flights.csv or flights.csv.gz; it has no file at all"
    assert (tmp_path / "output" / "message").read_text() == reason
    assert "Traceback" not in done.stderr


def test_a_bad_argument_is_told(project: Path) -> None:
    done = run(project, sys.executable, "preprocessing/preprocess.py", "--test-share", "0.9", PYTHONPATH=str(project))
    assert done.returncode == 2
    assert "given 0.9, allowed more than 0 and less than 0.5" in done.stderr


def test_the_predictor_fits_the_server(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from slipway.serving import create_app

    monkeypatch.syspath_prepend(str(project))
    monkeypatch.syspath_prepend(str(project / "inference"))
    predictor = importlib.import_module("predictor")
    app = create_app(predictor.ArrivalDelay(None))
    paths = [route.path for route in app.routes if isinstance(route, Route)]
    assert paths == ["/ping", "/execution-parameters", "/invocations"]
