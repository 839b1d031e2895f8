"""Which push starts a pipeline: triggers, their filters, and the detection of changes without one."""

from __future__ import annotations

from typing import Any

import pytest

from localcloud.core import authorization
from localcloud.services.codepipeline.triggers import _glob, starts


def action(**configuration: str) -> dict[str, Any]:
    return {"name": "Source", "configuration": {"BranchName": "main", **configuration}}


def pipeline(*push: dict[str, Any], source: str = "Source") -> dict[str, Any]:
    return {"triggers": [{"gitConfiguration": {"sourceActionName": source, "push": list(push)}}] if push else []}


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("main", ["main"], ["mains", "main/a", "Main"]),
        ("feature/*", ["feature/a"], ["feature/a/b", "feature"]),
        ("feature/**", ["feature/a", "feature/a/b"], ["features/a"]),
        ("**/*.py", ["a/b.py", "a/b/c.py"], ["a/b.pyc"]),
        ("v?.{0,1}", ["v1.0", "v2.1"], ["v1.2", "v10.0"]),
        ("v[0-9]", ["v3"], ["va", "v10"]),
        ("v[!0-9]", ["va"], ["v3"]),
        ("a.b+c", ["a.b+c"], ["axb+c", "a.bbc"]),
        ("a,b", ["a,b"], ["a"]),
        ("open[", ["open["], ["open"]),
    ],
)
def test_patterns_are_those_of_the_guide(pattern: str, matching: list[str], others: list[str]) -> None:
    """Protects filters: a part between slashes is not left but by two asterisks, and a dot is a dot."""
    assert [name for name in [*matching, *others] if _glob(pattern).fullmatch(name)] == matching


def test_a_filter_wants_all_of_its_parts_and_excludes_count_more() -> None:
    """Protects from a run for what was left out on purpose."""
    declared = pipeline({
        "branches": {"includes": ["release/*"], "excludes": ["release/old"]},
        "filePaths": {"includes": ["src/**"], "excludes": ["src/docs/**"]},
    })  # fmt: skip

    def started(reference: str, *files: str) -> bool:
        return starts(declared, action(), reference, lambda: files)

    assert started("refs/heads/release/1", "README.md", "src/a.py")
    assert not started("refs/heads/release/1", "README.md", "src/docs/a.md")
    assert not started("refs/heads/release/old", "src/a.py")
    assert not started("refs/heads/main", "src/a.py")
    assert not started("refs/tags/release/1", "src/a.py")


def test_any_filter_will_do_and_tags_are_no_branches() -> None:
    """Protects releases by tag beside builds of main."""
    declared = pipeline({"branches": {"includes": ["main"]}}, {"tags": {"includes": ["v*"], "excludes": ["v0"]}})
    found = {name: starts(declared, action(DetectChanges="false"), f"refs/{name}", list) for name in (
        "heads/main", "heads/v1", "tags/v1", "tags/v0", "tags/main",
    )}  # fmt: skip
    assert found == {
        "heads/main": True, "heads/v1": False, "tags/v1": True, "tags/v0": False, "tags/main": False,
    }  # fmt: skip


@pytest.mark.parametrize(("configuration", "detected"), [({}, True), ({"DetectChanges": "false"}, False)])
def test_without_a_trigger_the_actions_branch_is_watched(configuration: dict[str, str], detected: bool) -> None:
    """Protects both of the console's choices; a trigger of another action changes nothing."""
    for declared in (pipeline(), pipeline({"branches": {"includes": ["**"]}}, source="Other")):
        assert starts(declared, action(**configuration), "refs/heads/main", list) is detected
        assert not starts(declared, action(**configuration), "refs/heads/mine", list)


def test_who_makes_a_pipeline_passes_its_connection() -> None:
    """Protects launches on AWS: CreatePipeline asks for PassConnection, to CodePipeline, by the connection's name."""
    arn = "arn:aws:codestar-connections:eu-west-1:111111111111:connection/0d9d6f2e-0000-4000-8000-000000000000"
    stage = {"name": "Source", "actions": [{"name": "Source", "configuration": {"ConnectionArn": arn}}]}
    given = {"pipeline": {"name": "build", "roleArn": "arn:aws:iam::111111111111:role/r", "stages": [stage]}}
    asked = authorization.describe("codepipeline", "CreatePipeline", given, {}, "111111111111", "eu-west-1")
    passed = [item for item in asked.implied if item.action.endswith("PassConnection")]
    assert [(item.action, item.resource, item.keys) for item in passed] == [
        (
            "codestar-connections:PassConnection",
            arn,
            {"codestar-connections:PassedToService": "codepipeline.amazonaws.com"},
        )
    ]
