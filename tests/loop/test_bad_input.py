"""What people get for a mistake: the cause and the mend where they look, and the old model serves on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from slipway_demo import steps, watching
from slipway_demo.console import Journal, Stop
from tests.loop.conftest import BUILD, PROJECT, Loop

pytestmark = [pytest.mark.slow, pytest.mark.faults, pytest.mark.xdist_group("loop")]
Edit = Callable[[Path], None]


@pytest.fixture(scope="module")
def mended(loop: Loop) -> Iterator[Loop]:
    """The loop; after the last mistake main is as it was, and built."""
    yield loop
    clone = _clone(loop)
    assert loop.wait(loop.execution(loop.push(clone, "Mend it all"))) == "Succeeded"


def _clone(loop: Loop) -> Path:
    """A clone whose files are those of the demonstration's commit, whatever was pushed since."""
    clone = loop.clone()
    loop.git(clone, "read-tree", "-u", "--reset", loop.report["build"]["commit_id"])
    return clone


def _replace(file: str, old: str, new: str) -> Edit:
    def edit(clone: Path) -> None:
        text = (clone / file).read_text()
        assert old in text
        (clone / file).write_text(text.replace(old, new, 1))

    return edit


def _append(file: str, text: str) -> Edit:
    def edit(clone: Path) -> None:
        with (clone / file).open("a") as opened:
            opened.write(text)

    return edit


MISTAKES: dict[str, tuple[Edit, tuple[str, ...]]] = {
    "not YAML": (_append("project.yaml", "\n  x: [1,\n"), ("Test ▸ Test", "project.yaml:", "not YAML", "mend:")),
    "wrong type": (
        _replace("project.yaml", "initial_instance_count: 1", "initial_instance_count: one"),
        ("serving.initial_instance_count", "'one' (text)", "a whole number"),
    ),
    "syntax error": (
        _replace("training/train.py", "import ", "import ("),
        ("Test ▸ Test", "training/train.py:", "invalid-syntax"),
    ),
    "failing test": (
        _append("tests/test_wrong.py", 'def test_sum() -> None:\n    """Fails."""\n    assert 1 + 1 == 3\n'),
        ("Test ▸ Test", "FAILED tests/test_wrong.py::test_sum", "make test"),
    ),
    "unknown Dockerfile instruction": (
        _replace("training/Dockerfile", "ENTRYPOINT", "ONBUILD RUN true\nENTRYPOINT"),
        ("Images ▸ Training", "training/Dockerfile:10: ONBUILD", "allowed: ADD", "mend:"),
    ),
    "impossible value": (
        _replace("project.yaml", "max_leaf_nodes: 31", "max_leaf_nodes: -3"),
        ("Model ▸ Model", "Train: AlgorithmError", "'max_leaf_nodes'", "Got -3"),
    ),
}


def test_control_c_keeps_what_is_there_and_the_next_run_goes_on(loop: Loop) -> None:
    """Protects whoever stops the demonstration: 130, one line, a report that says so; and the next run ends well."""
    child = subprocess.Popen(
        [sys.executable, "-m", "slipway_demo", "run"], cwd=loop.folder, env=loop.environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        # A parent in the background ignores SIGINT, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    time.sleep(3)
    os.killpg(child.pid, signal.SIGINT)
    out, _ = child.communicate(timeout=60)
    assert child.returncode == 130, out
    assert "everything done so far is kept" in out
    assert "Traceback" not in out
    report = loop.folder / "build" / "demo" / "report.json"
    assert json.loads(report.read_text())["ok"] is False
    assert loop.demo("run").returncode == 0
    assert json.loads(report.read_text())["ok"] is True


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_the_project_is_told_in_the_terminal_and_the_old_model_serves(mended: Loop, mistake: str) -> None:
    """Protects the Data Scientist: not "exit status 2" alone, but what the failed command said."""
    loop, (edit, expected) = mended, MISTAKES[mistake]
    before, packages, clone = loop.predict(), loop.packages(), _clone(loop)
    edit(clone)
    execution = loop.execution(loop.push(clone, mistake))
    with pytest.raises(Stop) as caught:
        watching.follow(Journal(), loop.person("DataScientist"), BUILD, execution)
    told = str(caught.value)
    for text in expected:
        assert text in told, told
    assert loop.wait(execution) == "Failed"
    assert loop.causes(execution)
    assert (loop.predict(), loop.packages()) == (before, packages)


def _deploy(loop: Loop, repository: Path) -> subprocess.CompletedProcess[str]:
    parameters = {"StagingAccountId": "222222222222", "ProductionAccountId": "333333333333"}
    arguments = [part for name, value in parameters.items() for part in ("--parameter", f"{name}={value}")]
    developer = steps.persona(loop.place, "FullStackDeveloper")
    return subprocess.run(
        [sys.executable, "-m", "slipway", "platform", "deploy", "--repository", str(repository), *arguments],
        env=developer.full_environment(), capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("cfn/platform.yaml", "Resources:", "Resources: [", "cfn/platform.yaml:"),
        ("cfn/network.yaml", "Resources:", "Resources: [", "cfn/network.yaml:"),
        (
            "cfn/lake.yaml", "Resources:",
            "Resources:\n  Odd:\n    Type: AWS::SSM::Parameter\n    Properties: {Type: String, Value: !Ref Nothing}",
            "Unresolved resource dependencies [Nothing]",
        ),
        ("cfn/lake.yaml", "Resources:", "Resources:\n  Odd:\n    Type: AWS::Odd::Thing", "AWS::Odd::Thing"),
    ],
    ids=["root not YAML", "nested not YAML", "unresolved reference", "unknown type"],
)  # fmt: skip
def test_a_template_error_is_told_and_the_platform_stays(
    loop: Loop, tmp_path: Path, file: str, old: str, new: str, expected: str
) -> None:
    """Protects the Full Stack Developer: file or resource by name, no traceback, and a stack that can go on."""
    repository = tmp_path / "repository"
    for folder in ("cfn", "service-catalog", "buildspecs", "seedcode", "cicd"):
        shutil.copytree(steps.ROOT / folder, repository / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(steps.ROOT / "requirements.lock", repository)
    _replace(file, old, new)(repository)
    done = _deploy(loop, repository)
    assert done.returncode == 1, done.stdout
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    stack = loop.admin("111111111111").client("cloudformation").describe_stacks(StackName="slipway-platform")
    assert stack["Stacks"][0]["StackStatus"].endswith("_COMPLETE")


def test_nothing_is_left_in_progress(mended: Loop) -> None:
    """Protects consistency: after all those mistakes nothing waits for what will never come."""
    tooling = mended.admin("111111111111")
    builds = tooling.client("codebuild")
    ids = [found for name in ("test", "images", "model") for found in builds.list_builds_for_project(
        projectName=f"slipway-{PROJECT}-{name}")["ids"]]  # fmt: skip
    found = [build for start in range(0, len(ids), 100) for build in builds.batch_get_builds(
        ids=ids[start : start + 100])["builds"]]  # fmt: skip
    assert [build["id"] for build in found if not build["buildComplete"]] == []
    stacks = tooling.client("cloudformation").get_paginator("describe_stacks").paginate()
    moving = [
        stack["StackName"] for page in stacks for stack in page["Stacks"] if "_IN_PROGRESS" in stack["StackStatus"]
    ]
    assert moving == []
