"""Without deploying anything: what a release keeps data in has the same place and name in the present templates.

CloudFormation makes a resource anew when its logical id, its stack or a property changes that only a creation can give.
The old one would be retained, full, under the name that the new one needs: an upgrade that fails, or one that loses
sight of data.
"""

from __future__ import annotations

import functools
import json
import re
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cfnlint
import pytest

from tests.templates.library import REPOSITORY, Template

FIRST = Path(__file__).parent / "0.1.0.tar.xz"
ROOTS = (
    "bootstrap", "guardrails", "deployer-policies", "deployer", "audit", "platform", "workload", "delivery"
)  # fmt: skip
PRODUCT = "service-catalog/project/product.yaml"
Read = Callable[[str], str]
# Address → why it may go or be made anew. Empty: nothing may.
ARGUED: dict[str, str] = {}


@dataclass(frozen=True)
class Kept:
    """A resource that keeps data: its type, and what only a creation can give it."""

    kind: str
    given: str


def kept(read: Read) -> dict[str, Kept]:
    """Address (root/stack/…/resource) → the resource, for everything that outlives its stack."""
    roots = {root: f"cfn/{root}.yaml" for root in ROOTS} | {"project": PRODUCT}
    return {address: found for root, path in roots.items() for address, found in _below(read, root, path)}


def _below(read: Read, address: str, path: str) -> Iterator[tuple[str, Kept]]:
    for name, resource in _resources(path, read(path)).items():
        properties = resource.get("Properties", {})
        if resource["Type"] == "AWS::CloudFormation::Stack":
            nested = re.search(r"\$\{AssetsPrefix\}/(\S+\.yaml)", json.dumps(properties["TemplateURL"]))
            assert nested, f"{address}/{name}: {properties['TemplateURL']}"
            yield from _below(read, f"{address}/{name}", nested[1])
        elif str(resource.get("DeletionPolicy", "")).startswith("Retain"):
            given = {key: properties[key] for key in sorted(_only_at_creation(resource["Type"])) if key in properties}
            yield f"{address}/{name}", Kept(resource["Type"], json.dumps(given, sort_keys=True))


@functools.cache
def _resources(path: str, text: str) -> dict[str, dict[str, Any]]:
    return Template(path, text).resources


@functools.cache
def _only_at_creation(kind: str) -> set[str]:
    """The properties whose change makes CloudFormation make a resource anew, from AWS's own schema of the type."""
    schemas = Path(cfnlint.__file__).parent / "data" / "schemas"
    name = json.loads((schemas / "providers" / "eu-west-1.json").read_text())[kind]
    schema = json.loads((schemas / "resources" / f"{name}.json").read_text())
    return {path.split("/")[2] for path in schema.get("createOnlyProperties", [])}


@functools.cache
def _first() -> dict[str, str]:
    with tarfile.open(FIRST) as archive:
        return {
            member.name: (archive.extractfile(member) or pytest.fail(member.name)).read().decode()
            for member in archive.getmembers()
            if member.name.endswith(".yaml")
        }


def first() -> dict[str, Kept]:
    return kept(_first().__getitem__)


def present() -> dict[str, Kept]:
    return kept(lambda path: (REPOSITORY / path).read_text(encoding="utf-8"))


def replaced(before: dict[str, Kept], after: dict[str, Kept]) -> list[str]:
    """What would be made anew or lost sight of."""
    return [
        f"{address}: {found} became {after.get(address, 'nothing')}"
        for address, found in before.items()
        if after.get(address) != found and address not in ARGUED
    ]


def test_what_keeps_data_keeps_its_place_and_name() -> None:
    """Protects the data of whoever upgrades from the first release: nothing is made anew by a changed name or place."""
    before = first()
    kinds = {found.kind for found in before.values()}
    assert {"AWS::S3::Bucket", "AWS::KMS::Key", "AWS::CodeCommit::Repository", "AWS::ECR::Repository"} <= kinds
    assert {"AWS::CodeArtifact::Repository", "AWS::SageMaker::ModelPackageGroup", "AWS::Logs::LogGroup"} <= kinds
    assert not (found := replaced(before, present())), "\n".join(found)


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("cfn/lake.yaml", "${Namespace}-lake-${AWS::AccountId}", "${Namespace}-data-${AWS::AccountId}"),
        ("cfn/lake.yaml", "\n  LakeKey:", "\n  DataKey:"),
        ("cfn/platform.yaml", "\n  Lake:", "\n  DataLake:"),
        ("service-catalog/project/registry.yaml", "GroupName: !Sub ${Namespace}-", "GroupName: !Sub ${Namespace}/"),
        ("service-catalog/project/encryption.yaml", "    DeletionPolicy: RetainExceptOnCreate\n", ""),
    ],
)
def test_a_change_that_would_lose_sight_of_data_is_found(path: str, old: str, new: str) -> None:
    """Shows that the test above can fail: a name, a logical id, a stack, a deletion policy."""
    files = _first()
    assert old in files[path]
    changed = {**files, path: files[path].replace(old, new)}
    assert replaced(first(), kept(changed.__getitem__))
