"""Every combination of framework, problem and serving is a whole project; combinations that do not fit are refused."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from slipway import configuration
from slipway.errors import SlipwayError
from slipway.images import NAMES, sources
from slipway.stamp import render

from .conftest import Stamp
from .matrix import FITTING, INVALID, PACKAGES, PAIRS, REPOSITORY, VALID, answers, files

ANSWERS = [
    {"project": "flight-delays", "description": "Arrival delay", "dataset": "flights/2013-q1", "owner": "data-science"},
    {"project": "a-b", "description": "Délais: 100 % d'un vol #1 & more", "dataset": "d", "owner": "ana@example.com"},
    {"project": "x" * 24, "description": "What? A -> b, (c)", "dataset": "a/b_c/d-e", "owner": "A B"},
]
CURLY = re.compile(r"\{\{|\}\}|\{%|%\}|\{#|cookiecutter")


def there(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("given", ANSWERS, ids=lambda given: given["project"])
def test_a_project_is_complete_whatever_the_answers(given: dict[str, str], template: Path, tmp_path: Path) -> None:
    root = render(template, given, tmp_path)
    assert there(root) == files("scikit-learn", "regression")
    loaded = configuration.load(root / "project.yaml")
    assert [loaded.project, loaded.description, loaded.data.dataset] == list(given.values())[:3]


@pytest.mark.parametrize("combination", VALID, ids="-".join)
def test_a_combination_is_a_whole_project(combination: tuple[str, ...], stamped: Stamp) -> None:
    """The exact files, nothing of the template's own language in them, and a project.yaml that says what was chosen."""
    framework, problem, serving = combination
    root = stamped(*combination)
    assert there(root) == files(framework, problem)
    for name in files(framework, problem):
        text = (root / name).read_text(encoding="utf-8")
        found = CURLY.search(text.replace("}}}", "") if name.endswith(".ipynb") else text)
        assert found is None, f"{name}: {text[max(0, found.start() - 40) : found.end() + 40]}" if found else ""
        assert "\n\n\n\n" not in text
    loaded = configuration.load(root / "project.yaml")
    assert (loaded.framework, loaded.problem, loaded.serving.mode) == combination
    assert (loaded.serving.transform is not None) == (serving != "real-time")
    assert loaded.monitoring.baseline


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_only_the_chosen_framework_is_spoken_of(pair: tuple[str, str], stamped: Stamp) -> None:
    """A project reads as if it had been written for its own choice alone."""
    root = stamped(*pair, "real-time")
    names = {"scikit-learn": "sklearn", "xgboost": "xgboost", "tensorflow": "tensorflow", "huggingface": "transformers"}
    for other in set(names) - {pair[0]}:
        for name in ("training/train.py", "inference/predictor.py", "inference/requirements.txt", "README.md"):
            text = (root / name).read_text().replace("that scikit-learn carries", "")
            assert names[other] not in text
            assert other not in text


def test_every_combination_passes_its_own_lint(stamped: Stamp) -> None:
    """All at once: one process of ruff takes a second, one for each takes a minute."""
    roots = [stamped(*combination) for combination in VALID]
    for words in (["check", "--no-cache"], ["format", "--check", "--no-cache"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *words, *roots], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr


@pytest.mark.parametrize(("framework", "problem"), INVALID)
def test_what_does_not_fit_is_refused_with_the_reason_and_what_would(
    framework: str, problem: str, template: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SlipwayError):
        render(template, answers(framework, problem), tmp_path)
    said = capfd.readouterr().err
    assert f"framework and problem: given {framework} for {problem}, but " in said
    assert f"allowed for {framework}: " in said
    assert f"allowed for {problem}: scikit-learn" in said
    assert not list((tmp_path / "rendered").glob("*/*")), "nothing half-made is left"


def test_the_problem_of_release_0_1_0_is_still_understood(template: Path, tmp_path: Path) -> None:
    root = render(template, {"problem": "tabular-regression"}, tmp_path)
    assert configuration.load(root / "project.yaml").problem == "regression"


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_dockerfiles_copy_what_exists_and_all_that_the_entry_points_import(
    pair: tuple[str, str], stamped: Stamp
) -> None:
    root, package = stamped(*pair, "real-time"), PACKAGES[pair[1]]
    for name in NAMES:
        copied = {path.relative_to(root).as_posix() for path in sources(root, root / name / "Dockerfile")}
        assert {f"{name}/requirements.txt", "constraints.txt", f"{package}/columns.py"} <= copied
        own = {path.relative_to(root).as_posix() for path in (root / name).glob("*.py")}
        assert own <= copied
        modules = {Path(path).stem for path in copied if path.endswith(".py")}
        for path in (path for path in copied if path.endswith(".py")):
            text = (root / path).read_text(encoding="utf-8")
            shared = re.findall(rf"^from {package} import ([\w, ]+)|^from {package}\.(\w+) import", text, re.M)
            wanted = {word for group in shared for part in group for word in re.findall(r"\w+", part)}
            wanted |= set(re.findall(r"^import (predictor|train|evaluate)$", text, re.M))
            assert wanted <= modules, f"{name}: {path}"
        dockerfile = (root / name / "Dockerfile").read_text()
        assert "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\n" in dockerfile
        assert "--mount=type=secret,id=pip.conf" in dockerfile


def plan(root: Path, name: str) -> tuple[str, ...]:
    """All that decides what an image's RUN installs, and what the build leaves out of its context."""
    given = (f"{name}/requirements.txt", "constraints.txt", ".dockerignore")
    return tuple((root / file).read_text(encoding="utf-8") for file in given)


@pytest.mark.parametrize("framework", FITTING)
@pytest.mark.parametrize("name", NAMES)
def test_a_framework_s_image_is_built_alike_whatever_the_problem_and_the_serving(
    name: str, framework: str, stamped: Stamp
) -> None:
    """Protects the proof that the images of every combination build from a choice that changes an image unseen.

    tests/images builds one project of each framework. That proves all of them for as long as a framework has one
    install plan an image, and Dockerfiles that differ in nothing but the package of the data set, which they copy. That
    what they copy is there is for `test_dockerfiles_copy_what_exists_and_all_that_the_entry_points_import`.
    """
    plans, texts = set(), set()
    for combination in VALID:
        if combination[0] == framework:
            root, package = stamped(*combination), PACKAGES[combination[1]]
            text = (root / name / "Dockerfile").read_text(encoding="utf-8")
            lines = text.splitlines()
            (at,) = [at for at, line in enumerate(lines) if re.match(rf"COPY .*\b{package}/", line)]
            lines[at] = lines[at].replace(f"{package}/", "DATA/")
            plans.add(plan(root, name))
            texts.add("\n".join(lines))
    assert len(plans) == 1
    assert len(texts) == 1, "\n----\n".join(sorted(texts))


@pytest.mark.parametrize("name", NAMES)
def test_every_framework_has_an_install_plan_of_its_own(name: str, stamped: Stamp) -> None:
    """One framework's images say nothing of another's: tests/images may leave none out."""
    assert (
        len({plan(stamped(framework, problems[0], "real-time"), name) for framework, problems in FITTING.items()}) == 4
    )


@pytest.mark.parametrize("framework", sorted({pair[0] for pair in PAIRS}))
def test_the_versions_are_those_of_the_lock(framework: str, stamped: Stamp) -> None:
    """Whatever the platform's lock knows, a project has in the same version; `make lock` writes both."""
    problem = next(pair[1] for pair in PAIRS if pair[0] == framework)
    lines = (stamped(framework, problem, "real-time") / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if "==" in line and not line.startswith("slipway=="))
    text = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8")
    lock: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([\w.-]+)==([^ ;\\]+)", text, re.M):
        lock.setdefault(name, set()).add(version)
    assert len(pins) > 50
    assert not {name: pin for name, pin in pins.items() if name in lock and pin not in lock[name]}
    assert not [name for name in pins if name.startswith(("nvidia-", "cuda-", "triton"))]


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_a_notebook_is_stored_without_what_it_printed(pair: tuple[str, str], stamped: Stamp) -> None:
    path = stamped(*pair, "real-time") / "notebooks" / "explore.ipynb"
    notebook = nbformat.read(path, 4)
    nbformat.validate(notebook)
    assert all(not cell["outputs"] for cell in notebook["cells"] if cell["cell_type"] == "code")
    assert 'configuration.load(ROOT / "project.yaml")' in json.dumps(notebook["cells"]).replace('\\"', '"')
