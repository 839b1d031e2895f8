"""What people get for a mistake: the cause and the mend where they look, and the old model serves on."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from slipway_demo import watching
from slipway_demo.console import Journal, Stop
from tests.loop.conftest import BUILD, PROJECT, Loop, as_demonstrated, copy_of_the_platform, deploy_platform

pytestmark = [pytest.mark.slow, pytest.mark.faults, pytest.mark.xdist_group("loop")]
Edit = Callable[[Path], None]


@pytest.fixture(scope="module")
def mended(loop: Loop) -> Iterator[Loop]:
    """The loop; after the last mistake main is as it was, and built."""
    yield loop
    clone = as_demonstrated(loop)
    assert loop.wait(loop.execution(loop.push(clone, "Mend it all"))) == "Succeeded"


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


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_the_project_is_told_in_the_terminal_and_the_old_model_serves(mended: Loop, mistake: str) -> None:
    """Protects the Data Scientist: not "exit status 2" alone, but what the failed command said."""
    loop, (edit, expected) = mended, MISTAKES[mistake]
    before, packages, clone = loop.predict(), loop.packages(), as_demonstrated(loop)
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
    repository = copy_of_the_platform(tmp_path)
    _replace(file, old, new)(repository)
    done = deploy_platform(loop, repository)
    assert done.returncode == 1, done.stdout
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    stack = loop.admin("111111111111").client("cloudformation").describe_stacks(StackName="slipway-platform")
    assert stack["Stacks"][0]["StackStatus"].endswith("_COMPLETE")


def test_the_demonstration_after_a_broken_push_says_what_is_wrong_and_what_serves(mended: Loop) -> None:
    """Protects who pushed a mistake and runs `make demo` again: the build's cause, what serves, the mend; exit 1.

    It neither waits, nor builds the same mistake again, nor claims that all is well because an old model is there.
    """
    loop, packages = mended, mended.packages()
    clone = as_demonstrated(loop)
    _append("project.yaml", "\nquality_gates: {}\n")(clone)
    commit = loop.push(clone, "Misspell a key")
    assert loop.wait(loop.execution(commit)) == "Failed"
    done = loop.demo("run")
    assert done.returncode == 1, done.stdout
    assert "Test ▸ Test" in done.stderr
    assert "quality_gates" in done.stderr
    assert re.search(r"Nothing was released: V1\.0\.0 still serves from \S+ in production\.", done.stderr)
    assert "Mend the project, push to main, and run make demo again." in done.stderr
    assert "Traceback" not in done.stderr
    assert loop.git(clone, "ls-remote", "origin", "main").split()[0] == commit
    assert loop.packages() == packages
    report = json.loads((loop.folder / "build" / "demo" / "report.json").read_text())
    assert report["ok"] is False


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
