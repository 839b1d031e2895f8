"""What statelint knows of every state machine: its definition in the template, as Step Functions would get it.

There may be none yet; then only the checker itself is tested.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from statelint.config import Config  # type: ignore[import-untyped]
from statelint.linter import Linter  # type: ignore[import-untyped]

from tests.templates.library import Template, templates

KIND = "AWS::StepFunctions::StateMachine"

# Two states, the first of which names a state that there is not.
DANGLING = '{"StartAt": "Begin", "States": {"Begin": {"Type": "Pass", "Next": "Nowhere"}, "End": {"Type": "Succeed"}}}'
SOUND = DANGLING.replace("Nowhere", "End")
TASK = SOUND.replace('"Type": "Pass"', '"Type": "Task", "Resource": "${Function.Arn}"')


def findings(template: Template) -> Iterator[str]:
    """What statelint finds in the state machines of a template, as text."""
    for name, properties in template.of(KIND):
        for problem in _problems(properties, template):
            yield f"{template.name}: {name}: {problem}"


def _problems(properties: dict[str, Any], template: Template) -> list[str]:
    if "Definition" in properties:
        definition = template.resolve(properties["Definition"])
    elif "DefinitionString" in properties:
        text = _text(properties["DefinitionString"], template)
        try:
            definition = json.loads(_substituted(text, properties.get("DefinitionSubstitutions", {})))
        except (TypeError, ValueError) as error:
            return [f"DefinitionString is not JSON: {error}"]
    else:
        return ["the definition is not in the template: write it as Definition or DefinitionString"]
    if not isinstance(definition, dict):  # statelint has nothing to say about what is no object
        return [f"the definition is no object: {definition!r}"]
    return list(Linter.validate(definition, Config()))


def _text(value: Any, template: Template) -> str:
    """A definition as text: written out, or put together by Fn::Sub or Fn::Join."""
    if isinstance(value, dict) and set(value) == {"Fn::Join"}:
        separator, parts = value["Fn::Join"]
        return str(separator).join(_text(part, template) for part in parts)
    if isinstance(value, dict) and set(value) == {"Fn::Sub"} and isinstance(value["Fn::Sub"], list):
        # Names that Fn::Sub itself gives values to are known to nobody else.
        text, names = value["Fn::Sub"]
        value = {"Fn::Sub": _substituted(text, {name: _text(given, template) for name, given in names.items()})}
    return str(template.resolve(value))


def _substituted(text: str, names: dict[str, Any]) -> str:
    """A text with `${name}` replaced for the names that are given; a value that is not text is a plausible one."""
    for name, value in names.items():
        text = text.replace(f"${{{name}}}", value if isinstance(value, str) else f"arn:aws:states:::{name}")
    return text


def _machine(properties: str) -> Template:
    return Template("planted.yaml", f"Resources:\n  Machine:\n    Type: {KIND}\n    Properties:\n{properties}\n")


@pytest.mark.parametrize("template", templates(), ids=lambda template: template.name)
def test_state_machines_are_sound(template: Template) -> None:
    problems = list(findings(template))
    assert not problems, "\n".join(problems)


def test_every_state_machine_is_found() -> None:
    """The text of the templates is the witness: a machine that the parser did not see would not be checked."""
    written = sum(len(re.findall(rf"Type: *['\"]?{KIND}\b", template.text)) for template in templates())
    seen = sum(1 for template in templates() for _ in template.of(KIND))
    assert seen >= written


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        (f"      Definition: {DANGLING}", "Nowhere"),
        (f"      DefinitionString: !Sub '{DANGLING}'", "Nowhere"),
        (f"      DefinitionString: !Sub |-\n        {DANGLING}", "Nowhere"),
        (f"      DefinitionString: !Sub ['{DANGLING.replace('Nowhere', '${Next}')}', {{Next: Nowhere}}]", "Nowhere"),
        (f"      DefinitionString: !Join ['', ['{DANGLING[:30]}', '{DANGLING[30:]}']]", "Nowhere"),
        (f"      DefinitionString: '{SOUND.replace('Succeed', 'Suceed')}'", "Suceed"),
        ("      DefinitionString: '{'", "not JSON"),
        ("      DefinitionString: '[]'", "no object"),
        ("      DefinitionS3Location: {Bucket: bucket, Key: key}", "not in the template"),
    ],
)
def test_statelint_would_find_something(properties: str, expected: str) -> None:
    found = list(findings(_machine(properties)))
    assert any(expected in finding for finding in found), found


@pytest.mark.parametrize(
    "properties",
    [
        f"      Definition: {SOUND}",
        f"      DefinitionString: !Sub '{SOUND}'",
        f"      DefinitionString: !Sub '{TASK.replace('Function.Arn', 'FunctionArn')}'",
        f"      DefinitionString: '{TASK.replace('Function.Arn', 'Job')}'\n"
        "      DefinitionSubstitutions: {Job: !GetAtt Function.Arn}",
    ],
)
def test_statelint_finds_nothing_in_a_sound_machine(properties: str) -> None:
    assert not list(findings(_machine(properties)))
