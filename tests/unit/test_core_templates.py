"""Templates are parsed fast, and as ministack parses them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ministack.services.cloudformation import engine

from localcloud.core.base import templates

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = sorted({*ROOT.glob("cfn/*.yaml"), *ROOT.glob("service-catalog/*/*.yaml")})


@pytest.fixture(scope="module")
def calls() -> list[str]:
    """The texts that reached ministack's own function."""
    return []


@pytest.fixture(scope="module")
def parse(calls: list[str]) -> templates.Parse:
    """The fast way, before the slow one."""

    def slow(body: str) -> Any:
        calls.append(body)
        return _slow(body)

    return templates.parser(slow, engine.CfnLoader)


def _slow(body: str) -> Any:
    return engine.json.loads(body) if body.startswith("{") else engine.yaml.load(body, engine.CfnLoader)


@pytest.mark.parametrize("path", TEMPLATES[::6], ids=lambda path: path.stem)
def test_the_same_as_ministack(path: Path, parse: templates.Parse) -> None:
    """Protects every stack: short forms, dates and order of keys come out as before."""
    text = path.read_text(encoding="utf-8")
    expected = _slow(text)
    assert parse(text) == expected
    assert list(parse(text)["Resources"]) == list(expected["Resources"])


def test_each_caller_has_a_copy_of_its_own(parse: templates.Parse, calls: list[str]) -> None:
    """Protects stacks from each other: transforms change the template that they are given."""
    text = '{"Resources": {"One": {"Type": "AWS::SNS::Topic"}}}'
    parse(text)["Resources"].clear()
    assert parse(text)["Resources"] == {"One": {"Type": "AWS::SNS::Topic"}}
    assert calls.count(text) == 1


@pytest.mark.parametrize("text", ["Resources: [", "a: !Unknown b", "{"])
def test_what_is_wrong_is_said_by_ministack(text: str, parse: templates.Parse) -> None:
    """Protects the messages of CloudFormation: the fast way has no errors of its own."""
    with pytest.raises(Exception) as expected:  # noqa: PT011 - whatever it is
        _slow(text)
    with pytest.raises(expected.type) as raised:
        parse(text)
    assert str(raised.value) == str(expected.value)


def test_what_holds_itself(parse: templates.Parse) -> None:
    """Protects what cannot be kept: it is parsed by ministack each time."""
    assert list(parse("a: &a [*a]")) == ["a"]
