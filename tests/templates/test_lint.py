"""What cfn-lint and yamllint know, with nothing ignored."""

from __future__ import annotations

from pathlib import Path

import pytest
from cfnlint import ManualArgs, lint_by_config
from yamllint import linter  # type: ignore[import-untyped]
from yamllint.config import YamlLintConfig  # type: ignore[import-untyped]

from tests.templates.library import REPOSITORY, templates

REGIONS = ["eu-west-1", "us-east-1"]
PATHS = [str(REPOSITORY / template.name) for template in templates()]


def lint(paths: list[str]) -> list[str]:
    """Every finding, informational ones included. One rule set serves all templates."""
    return [str(match) for match in lint_by_config(ManualArgs(templates=paths, regions=REGIONS, include_checks=["I"]))]


def test_cfn_lint_finds_nothing() -> None:
    assert len(PATHS) > 20
    assert not (found := lint(PATHS)), "\n".join(found)


def test_cfn_lint_would_find_something(tmp_path: Path) -> None:
    planted = tmp_path / "planted.yaml"
    planted.write_text("Resources: {Bucket: {Type: AWS::S3::Bucket, Properties: {BucketNam: name}}}\n")
    assert any("BucketNam" in found for found in lint([str(planted)]))


@pytest.mark.parametrize("folder", ["cfn", "service-catalog", "buildspecs"])
def test_yamllint_finds_nothing(folder: str) -> None:
    configuration = YamlLintConfig(file=str(Path(__file__).with_name("yamllint.yaml")))
    problems = [
        f"{path.relative_to(REPOSITORY)}:{problem}"
        for path in sorted((REPOSITORY / folder).rglob("*.yaml"))
        for problem in linter.run(path.read_text(encoding="utf-8"), configuration, str(path))
    ]
    assert not problems, "\n".join(problems)
