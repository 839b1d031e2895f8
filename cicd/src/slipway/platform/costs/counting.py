"""How many of what costs money the templates make, counted in the templates themselves."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from slipway.errors import SlipwayError

STACK = "AWS::CloudFormation::Stack"
# Account ids to count with: any that differ. The bill is that of the first.
_TOOLING, _STAGING, _PRODUCTION = (str(digit) * 12 for digit in range(1, 4))


@dataclass(frozen=True)
class Choice:
    """What a deployment chooses: essential or full set of endpoints, 1 to 3 zones, how many projects there are, and
    whether one account is tooling, staging and production, or each has its own (3)."""

    endpoint_set: str = "essential"
    zones: int = 2
    projects: int = 1
    accounts: int = 1

    @property
    def parameters(self) -> dict[str, str]:
        """Parameters that follow from the choice, whichever template takes them."""
        staging, production = (_TOOLING, _TOOLING) if self.accounts == 1 else (_STAGING, _PRODUCTION)
        return {"EndpointSet": self.endpoint_set, "StagingAccountId": staging, "ProductionAccountId": production}


class _Loader(yaml.SafeLoader):
    """Reads short forms as the dictionaries of the long ones."""


def _short(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)  # type: ignore[arg-type]
    return {"Ref" if suffix == "Ref" else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _short)


def resources(repository: Path, root: str, choice: Choice) -> Counter[str]:
    """Type → how many the root template makes with all the stacks that it nests: loops are counted, and conditions are
    evaluated with the parameters' defaults and what is chosen."""
    made: Counter[str] = Counter()
    for kind in _resources(repository, root, {}, choice.parameters):
        made[kind] += 1
    return made


def _resources(repository: Path, name: str, given: Mapping[str, str], chosen: Mapping[str, str]) -> Iterator[str]:
    template = _template(repository, name)
    values = {key: str(spec.get("Default", "")) for key, spec in template.get("Parameters", {}).items()}
    values |= {key: value for key, value in {**given, **chosen}.items() if key in values}
    values["AWS::AccountId"] = _TOOLING
    for resource in _expanded(template):
        if not _holds(template, values, resource.get("Condition")):
            continue
        kind = resource["Type"]
        if kind == STACK:
            passed = resource["Properties"].get("Parameters", {})
            known = {key: text for key, value in passed.items() if (text := _text(value, values)) is not None}
            yield from _resources(repository, _nested(resource), known, chosen)
        elif kind == "AWS::EC2::VPCEndpoint":
            yield f"{kind}:{resource['Properties'].get('VpcEndpointType', 'Gateway')}"
        else:
            yield kind


def _text(value: Any, values: Mapping[str, str]) -> str | None:
    """A value that is known before a deployment: a text, or a parameter."""
    if isinstance(value, dict):
        return values.get(value["Ref"]) if set(value) == {"Ref"} else None
    return str(value)


def _holds(template: Mapping[str, Any], values: Mapping[str, str], condition: Any) -> bool:
    """Whether a condition holds, by name or written out; no condition holds. What is not known is an empty text."""
    if condition is None:
        return True
    if isinstance(condition, str):
        return _holds(template, values, template["Conditions"][condition])
    ((function, argument),) = condition.items()
    if function in ("Condition", "Fn::Condition"):
        return _holds(template, values, str(argument))
    if function == "Fn::Equals":
        left, right = (_text(side, values) or "" for side in argument)
        return left == right
    parts = [_holds(template, values, part) for part in argument]
    return {"Fn::Not": lambda: not parts[0], "Fn::And": lambda: all(parts), "Fn::Or": lambda: any(parts)}[function]()


@cache
def _template(repository: Path, name: str) -> Mapping[str, Any]:
    path = repository / name
    try:
        return dict(yaml.load(path.read_text(encoding="utf-8"), _Loader))  # noqa: S506 - it is a SafeLoader
    except FileNotFoundError:
        raise SlipwayError(f"{path}: there is no such file: give the repository's root with --repository") from None


def _nested(resource: Mapping[str, Any]) -> str:
    """`…/${AssetsPrefix}/cfn/network.yaml` → cfn/network.yaml"""
    url = resource["Properties"]["TemplateURL"]
    found = re.search(
        r"(cfn|service-catalog)/[^}]*\.yaml$", str(url.get("Fn::Sub", "") if isinstance(url, dict) else url)
    )
    if not found:
        raise SlipwayError(f"TemplateURL {url}: it names no template of the repository")
    return found[0]


def _expanded(template: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Every resource, those of Fn::ForEach once for each value."""
    for name, resource in template.get("Resources", {}).items():
        if not name.startswith("Fn::ForEach::"):
            yield resource
            continue
        _, values, bodies = resource
        if isinstance(values, dict):
            values = _listed(template, values)
        for _ in values:
            yield from bodies.values()


def _listed(template: Mapping[str, Any], reference: Mapping[str, Any]) -> list[Any]:
    """The default of the list parameter that a loop goes through."""
    default = template.get("Parameters", {}).get(reference.get("Ref", ""), {}).get("Default", "")
    return [value for value in str(default).split(",") if value]
