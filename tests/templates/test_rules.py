"""The repository's own rules hold for every template, and every rule finds the defect it is there for."""

from __future__ import annotations

import re
import statistics

import pytest

from tests.templates import rules
from tests.templates.library import LONGEST, Template, templates
from tests.templates.planted import PLANTED

ALL = templates()


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
def test_rule_holds(rule: rules.Rule) -> None:
    problems = [f"{template.name}: {problem}" for template in ALL for problem in rule(template)]
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
def test_rule_finds_its_defect(rule: rules.Rule) -> None:
    for text, expected in PLANTED[rule.__name__]:
        found = list(rule(Template("planted.yaml", text)))
        assert any(re.search(expected, problem) for problem in found), f"{rule.__name__}: {expected!r} not in {found}"


def test_templates_are_short() -> None:
    assert statistics.median(template.text.count("\n") for template in ALL) < 200


def test_lengths_are_those_that_patterns_allow() -> None:
    for template in ALL:
        for name in ("Namespace", "ProjectName"):
            if name in template.parameters:
                low, high = map(int, re.findall(r"\{(\d+),(\d+)\}", template.parameters[name]["AllowedPattern"])[0])
                assert (low, high + 2) == (1, LONGEST[name]), f"{template.name}: {name}"


@pytest.mark.parametrize("root", ["bootstrap", "guardrails", "platform", "workload"])
def test_a_namespace_that_aws_keeps_for_itself_is_refused(root: str) -> None:
    """Protects the first deployment: S3 refuses such buckets, Parameter Store such contracts, some stacks later."""
    template = next(found for found in ALL if found.name == f"cfn/{root}.yaml")
    pattern = template.parameters["Namespace"]["AllowedPattern"]
    for name in ("aws-ml", "ssm", "sthree", "xn--a", "amzn-s3", "a", "Slipway", "1st", "ml-", "ml_x", "toolong-name"):
        assert not re.match(pattern, name), name
    for name in ("slipway", "ml1", "a-b", "draws", "x-aws"):
        assert re.match(pattern, name), name
