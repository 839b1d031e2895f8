"""What cfn-lint, with the repository's own rules, and yamllint know; with nothing ignored."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from cfnlint import ManualArgs, lint_by_config
from yamllint import linter  # type: ignore[import-untyped]
from yamllint.config import YamlLintConfig  # type: ignore[import-untyped]

from tests.templates.library import REPOSITORY, templates
from tests.templates.planted_lint import DEFECTS, SOUND_ONES

CONFIGURATION = yaml.safe_load((REPOSITORY / ".cfnlintrc.yaml").read_text())
PATHS = [str(REPOSITORY / template.name) for template in templates()]


def lint(paths: list[str], **more: list[str]) -> list[str]:
    """Every finding, as "id message", with the configuration of the repository. One rule set serves all templates."""
    arguments = {**CONFIGURATION, **more, "templates": paths}
    arguments["append_rules"] = [str(REPOSITORY / folder) for folder in CONFIGURATION["append_rules"]]
    return [str(match) for match in lint_by_config(ManualArgs(**arguments))]


@pytest.mark.thorough
def test_cfn_lint_finds_nothing() -> None:
    """Protects every deployment: no error, no warning, no information, in any region that the docs name."""
    assert len(PATHS) > 20
    assert not (found := lint(PATHS)), "\n".join(found)


def test_nothing_is_ignored() -> None:
    """Protects the check above: neither the configuration nor a template switches a rule off."""
    assert set(CONFIGURATION) == {"templates", "regions", "include_checks", "append_rules"}
    assert CONFIGURATION["include_checks"] == ["I"]
    named = {str(path) for pattern in CONFIGURATION["templates"] for path in REPOSITORY.glob(pattern)}
    assert named == set(PATHS)
    assert not [template.name for template in templates() if "ignore_checks" in template.text]


def test_cfn_lint_would_find_something(tmp_path: Path) -> None:
    """Shows that the check above can fail."""
    planted = tmp_path / "planted.yaml"
    planted.write_text("Resources: {Bucket: {Type: AWS::S3::Bucket, Properties: {BucketNam: name}}}\n")
    assert any("BucketNam" in found for found in lint([str(planted)]))


def _files(folder: Path, texts: list[str]) -> list[str]:
    paths = [folder / f"{number}.yaml" for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    return [str(path) for path in paths]


def test_every_own_rule_finds_its_defects(tmp_path: Path) -> None:
    """Protects against rules that find nothing: each planted defect is found by its rule, in its words."""
    planted = [(rule, text, expected) for rule, cases in DEFECTS.items() for text, expected in cases]
    paths = _files(tmp_path, [text for _, text, _ in planted])
    found = lint_by_config(
        ManualArgs(templates=paths, append_rules=[str(REPOSITORY / CONFIGURATION["append_rules"][0])])
    )
    for path, (rule, text, expected) in zip(paths, planted, strict=True):
        said = [match.message for match in found if match.filename == path and match.rule.id == rule]
        assert any(re.search(expected, message) for message in said), f"{rule} says {said} of\n{text}"


def test_own_rules_find_nothing_in_what_is_sound(tmp_path: Path) -> None:
    """Protects authors from false alarms."""
    sound = [(rule, text) for rule, texts in SOUND_ONES.items() for text in texts]
    paths = _files(tmp_path, [text for _, text in sound])
    found = lint_by_config(
        ManualArgs(templates=paths, append_rules=[str(REPOSITORY / CONFIGURATION["append_rules"][0])])
    )
    for path, (rule, text) in zip(paths, sound, strict=True):
        said = [match.message for match in found if match.filename == path and match.rule.id == rule]
        assert not said, f"{rule} says {said} of\n{text}"


def test_every_own_rule_is_planted() -> None:
    """Protects the two tests above: a new rule comes with a defect."""
    rules = {
        found[1]
        for path in (REPOSITORY / CONFIGURATION["append_rules"][0]).glob("*.py")
        if (found := re.search(r'^    id = "(\w+)"', path.read_text(), re.MULTILINE))
    }
    assert rules == set(DEFECTS) == set(SOUND_ONES)
    assert len(rules) >= 9


@pytest.mark.parametrize("folder", ["cfn", "service-catalog", "buildspecs"])
def test_yamllint_finds_nothing(folder: str) -> None:
    configuration = YamlLintConfig(file=str(Path(__file__).with_name("yamllint.yaml")))
    problems = [
        f"{path.relative_to(REPOSITORY)}:{problem}"
        for path in sorted((REPOSITORY / folder).rglob("*.yaml"))
        for problem in linter.run(path.read_text(encoding="utf-8"), configuration, str(path))
    ]
    assert not problems, "\n".join(problems)
