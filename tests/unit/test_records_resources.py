"""SageMaker's CloudFormation types against AWS's resource provider schemas, which cfn-lint ships."""

from __future__ import annotations

from typing import Any

import pytest
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

from localcloud.core.model import load
from localcloud.records.cfn import RecordResource
from localcloud.records.kind import Derived
from localcloud.services.sagemaker import SageMaker
from localcloud.services.sagemaker.catalogue import KINDS
from localcloud.services.sagemaker.resources import TABLE

KIND = {kind.name: kind for kind in KINDS}
TYPES = [f"AWS::SageMaker::{declared.kind}" for declared in TABLE]
# Kept as records here, but CloudFormation's type is another's: a device belongs to a fleet, a component has two types.
WITHOUT = {"AWS::SageMaker::Device", "AWS::SageMaker::ExperimentTrialComponent"}


def schema(name: str) -> dict[str, Any]:
    found: dict[str, Any] = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", name).schema
    return found


def names(schema: dict[str, Any], member: str) -> list[str]:
    return [path.removeprefix("/properties/") for path in schema.get(member) or []]


@pytest.mark.parametrize("declared", TABLE, ids=TYPES)
def test_ref_attributes_and_replacement_are_those_of_the_schema(declared: RecordResource) -> None:
    """Protects: a template gets the same Ref and attributes as on AWS, and the same updates replace."""
    found = schema(f"AWS::SageMaker::{declared.kind}")
    assert list(declared.ref) == names(found, "primaryIdentifier")
    top = [name for name in names(found, "readOnlyProperties") if "/" not in name]
    assert set(top) <= {*declared.attributes, *declared.ref}
    derived = Derived(KIND[declared.kind], load("sagemaker"))
    if derived.name_of("Update"):
        assert set(declared.replace) == set(names(found, "createOnlyProperties"))
    else:
        assert set(declared.replace) <= {"Tags"}


@pytest.mark.parametrize("declared", TABLE, ids=TYPES)
def test_every_property_reaches_the_request(declared: RecordResource) -> None:
    """Protects: no property of a template is lost on the way to the API. What is only read, or is old, is listed."""
    found = schema(f"AWS::SageMaker::{declared.kind}")
    derived = Derived(KIND[declared.kind], load("sagemaker"))
    members = {name.lower() for verb in ("Create", "Update") for name in derived.members(verb)}
    given = set(found["properties"]) - set(names(found, "readOnlyProperties")) - set(declared.beside)
    lost = {
        name for name in given if declared.rename.get(name, name).lower() not in members and name != declared.unpack
    }
    assert lost <= UNSENT.get(declared.kind, set())


MONITORS = ("DataQuality", "ModelBias", "ModelExplainability", "ModelQuality")
UNSENT: dict[str, set[str]] = {
    # CloudFormation itself made these into something else, or AWS lists as writable what Describe answers with.
    **{f"{word}JobDefinition": {"EndpointName"} for word in MONITORS},
    "ImageVersion": {"Alias"},
    "InferenceExperiment": {"DesiredState", "StatusReason"},
    "ModelCard": {"CreatedBy", "LastModifiedBy"},
    "ModelPackage": {"ModelPackageStatusDetails", "ModelPackageVersion"},
    "MonitoringSchedule": {
        "EndpointName", "FailureReason", "LastMonitoringExecutionSummary", "MonitoringScheduleStatus",
    },
    "Project": {"ServiceCatalogProvisionedProductDetails", "TemplateProviderDetails"},
}  # fmt: skip


def test_every_kind_that_is_served_has_its_type() -> None:
    """Protects: what boto3 can create here, a template can create here."""
    served = {resource.type for resource in SageMaker.resources}
    every = {
        name for name in PROVIDER_SCHEMA_MANAGER.get_resource_types("us-east-1") if name.startswith("AWS::SageMaker::")
    }
    acting = {f"AWS::SageMaker::{kind.name}" for kind in KINDS if kind.acts}
    assert every - WITHOUT - acting <= served


def lost_below(
    found: dict[str, Any], node: dict[str, Any], shape: Any, path: str, declared: RecordResource
) -> list[str]:
    """Nested properties of a schema that the request's shape has no member for."""
    if "$ref" in node:
        node = found["definitions"][node["$ref"].rsplit("/", 1)[1]]
    if shape.type_name == "list":
        return lost_below(found, node.get("items", {}), shape.member, path + "[]", declared)
    if shape.type_name != "structure" or path.count(".") > 6:
        return []
    members = {name.lower(): member for name, member in shape.members.items()}
    lost = []
    for name, child in (node.get("properties") or {}).items():
        member = members.get(declared.rename.get(name, name).lower())
        if member is None:
            lost.append(f"{path}.{name}")
        else:
            lost += lost_below(found, child, member, f"{path}.{name}", declared)
    return lost


@pytest.mark.parametrize("declared", TABLE, ids=TYPES)
def test_nested_properties_reach_the_request_too(declared: RecordResource) -> None:
    """Protects: names inside a property that differ from the API's are renamed, not dropped."""
    found = schema(f"AWS::SageMaker::{declared.kind}")
    members = Derived(KIND[declared.kind], load("sagemaker")).members("Create")
    by_name = {name.lower(): shape for name, shape in members.items()}
    only_read = set(names(found, "readOnlyProperties"))
    lost = []
    for name, node in found["properties"].items():
        shape = by_name.get(declared.rename.get(name, name).lower())
        if shape is not None:
            lost += lost_below(found, node, shape, name, declared)
    lost = [path for path in lost if path.replace("[]", "/*").replace(".", "/") not in only_read]
    assert lost == []
