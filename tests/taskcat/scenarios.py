"""What .taskcat.yml says, read and judged against the templates, without taskcat."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from tests.templates.library import REPOSITORY, Template

FILE = REPOSITORY / ".taskcat.yml"
# A value that is read from Parameter Store when the scenario is rendered.
STORED = re.compile(r"^\$\[taskcat_ssm_(/[a-z0-9/-]+)\]$")


@dataclass(frozen=True)
class Scenario:
    """A test of .taskcat.yml."""

    name: str
    template: str
    parameters: dict[str, Any]

    @property
    def namespace(self) -> str:
        return str(self.parameters["Namespace"])

    @property
    def stored(self) -> set[str]:
        """The names of the SSM parameters that it reads."""
        return {match[1] for value in self.parameters.values() if (match := STORED.match(str(value)))}


def scenarios(text: str) -> list[Scenario]:
    """The scenarios of a configuration."""
    tests = yaml.safe_load(text)["tests"]
    return [Scenario(name, test["template"], test.get("parameters", {})) for name, test in tests.items()]


def problems(scenario: Scenario, template: Template) -> Iterator[str]:
    """Parameters that the template lacks, wants or refuses."""
    for name in sorted(set(scenario.parameters) - set(template.parameters)):
        yield f"{scenario.name}: {template.name} takes no {name}"
    for name, spec in template.parameters.items():
        value = scenario.parameters.get(name, spec.get("Default"))
        if value is None:
            yield f"{scenario.name}: {name} is not given"
        elif not STORED.match(str(value)):
            yield from (f"{scenario.name}: {name}: {said}" for said in _refusals(str(value), spec))


def _refusals(value: str, spec: dict[str, Any]) -> Iterator[str]:
    if "AllowedValues" in spec and value not in map(str, spec["AllowedValues"]):
        yield f"given {value}, allowed {spec['AllowedValues']}"
    if "AllowedPattern" in spec and not re.search(spec["AllowedPattern"], value):
        yield f"given {value}: {spec.get('ConstraintDescription', spec['AllowedPattern'])}"
    if spec["Type"] == "Number" and not re.fullmatch(r"\d+", value):
        yield f"given {value}, allowed a number"
