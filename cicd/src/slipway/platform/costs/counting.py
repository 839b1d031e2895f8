"""How many of what costs money the templates make, counted in the templates themselves."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from slipway.errors import SlipwayError

STACK = "AWS::CloudFormation::Stack"


@dataclass(frozen=True)
class Choice:
    """What a deployment chooses: essential or full set of endpoints, 1 to 3 zones, how many projects there are."""

    endpoint_set: str = "essential"
    zones: int = 2
    projects: int = 1


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
    """Type → how many the root template makes with all the stacks that it nests; loops counted, conditions heeded where
    they are about the set of endpoints."""
    made: Counter[str] = Counter()
    for kind in _resources(repository, root, choice):
        made[kind] += 1
    return made


def _resources(repository: Path, name: str, choice: Choice) -> Iterator[str]:
    template = _template(repository, name)
    for resource in _expanded(template):
        if not _made(resource, choice):
            continue
        kind = resource["Type"]
        if kind == STACK:
            yield from _resources(repository, _nested(resource), choice)
        elif kind == "AWS::EC2::VPCEndpoint":
            yield f"{kind}:{resource['Properties'].get('VpcEndpointType', 'Gateway')}"
        else:
            yield kind


def _made(resource: Mapping[str, Any], choice: Choice) -> bool:
    """A condition about the set of endpoints is heeded; of others the resource is taken to be made."""
    condition = str(resource.get("Condition", ""))
    if re.search(r"Mlflow|Tracking", condition):
        return False  # off by default, and a line of its own
    return not (re.search(r"Full", condition) and choice.endpoint_set != "full")


def _template(repository: Path, name: str) -> dict[str, Any]:
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
