"""CloudFormation types by AWS's schemas: made, changed, replaced and deleted; what the schema forbids is refused."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from localcloud.core.schema import load
from localcloud.records.kept import Kept
from localcloud.services.account_types import DECLARED
from localcloud.services.kept_types import KEPT
from tests.localcloud.account_templates import EXAMPLES, REGION, Example
from tests.localcloud.conftest import LocalCloud, free_port

ALL = sorted(declared.type for declared in (*DECLARED, *KEPT))


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """A cloud of one's own: an account has one detector, one recorder, one hub."""
    running = LocalCloud(tmp_path_factory.mktemp("account") / "home", free_port())
    running.start()
    yield running
    running.stop()


def template(kind: str, example: Example, *changes: dict[str, Any]) -> dict[str, Any]:
    properties = dict(example.properties)
    for change in changes:
        properties |= change
    attributes = {
        f"A{index}": {"Value": {"Fn::Sub": f"${{Subject.{path.replace('/', '.')}}}"}}
        for index, path in enumerate(load(kind, REGION).read_only)
        if path not in absent(kind)
    }
    resources = {**example.beside, "Subject": {"Type": kind, "Properties": properties}}
    if any("Recorder" in name for name in example.beside):
        resources["Subject"]["DependsOn"] = "Recorder"
    return {"Resources": resources, "Outputs": {"Ref": {"Value": {"Ref": "Subject"}}, **attributes}}


def absent(kind: str) -> tuple[str, ...]:
    """Attributes without a value at first, and outputs that need one."""
    for declared in KEPT:
        if declared.type == kind and isinstance(declared.backend, Kept):
            return tuple(declared.backend.never)
    return {
        "AWS::CloudTrail::Trail": ("SnsTopicArn",),
        "AWS::Config::ConfigRule": ("Compliance/Type",),
        "AWS::IAM::SAMLProvider": ("SamlProviderUUID",),
    }.get(kind, ())


def settled(cloudformation: Any, name: str) -> dict[str, Any]:
    for _ in range(600):
        stack: dict[str, Any] = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
        if not stack["StackStatus"].endswith("_IN_PROGRESS"):
            return stack
        time.sleep(0.05)
    raise AssertionError(f"{name} does not end")


def reasons(cloudformation: Any, name: str) -> str:
    events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
    return "\n".join(str(e.get("ResourceStatusReason")) for e in events if e["ResourceStatus"].endswith("FAILED"))


def made(cloudformation: Any, name: str, body: dict[str, Any], status: str = "CREATE_COMPLETE") -> dict[str, str]:
    operation = cloudformation.create_stack if status.startswith("CREATE") else cloudformation.update_stack
    operation(StackName=name, TemplateBody=json.dumps(body), Capabilities=["CAPABILITY_IAM"])
    stack = settled(cloudformation, name)
    assert stack["StackStatus"] == status, reasons(cloudformation, name)
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def deleted(cloudformation: Any, name: str) -> None:
    stack_id = cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackId"]
    cloudformation.delete_stack(StackName=name)
    assert settled(cloudformation, stack_id)["StackStatus"] == "DELETE_COMPLETE", reasons(cloudformation, stack_id)


def unique(word: str) -> str:
    return f"{word}-{uuid.uuid4().hex[:8]}"


def test_every_type_has_an_example() -> None:
    """Protects the other tests from leaving a type out."""
    assert sorted(EXAMPLES) == ALL


@pytest.mark.parametrize("kind", sorted(declared.type for declared in KEPT))
def test_a_record_declares_what_the_schema_has(kind: str) -> None:
    """Protects attributes and formats from typing errors: each must be a property of AWS's schema."""
    declared = next(declared for declared in KEPT if declared.type == kind)
    assert isinstance(declared.backend, Kept)
    assert declared.backend.mistakes(load(kind, REGION)) == []


def test_a_typing_error_in_a_declaration_is_found() -> None:
    """Protects the test above: it can fail."""
    wrong = Kept({"Idd": "{hex:8}", "Id": "{Nmae}-x"}, unique=("Foo",))
    found = "\n".join(wrong.mistakes(load("AWS::GuardDuty::Detector", REGION)))
    assert "no property Idd" in found
    assert "{Nmae}" in found
    assert "no property Foo" in found


@pytest.mark.parametrize("kind", ALL)
def test_a_type_is_made_changed_replaced_and_deleted(account: LocalCloud, kind: str) -> None:
    """Protects the life of a resource: ids of AWS's form, updates in place or by a new one, nothing left."""
    cloudformation, name, example = account.client("cloudformation"), unique("life"), EXAMPLES[kind]
    schema = load(kind, REGION)
    first = made(cloudformation, name, template(kind, example))
    for index, path in enumerate(schema.read_only):
        if path not in absent(kind):
            value = schema.converted(path, first[f"A{index}"])
            assert schema.misfits(path, value) == [], (path, value)
            assert value != ""
            assert "{" not in str(value)
    if example.change:
        second = made(cloudformation, name, template(kind, example, example.change), "UPDATE_COMPLETE")
        assert second["Ref"] == first["Ref"]
    if example.replace:
        third = made(cloudformation, name, template(kind, example, example.change, example.replace), "UPDATE_COMPLETE")
        assert third["Ref"] != first["Ref"]
    deleted(cloudformation, name)
    again = unique("again")
    made(cloudformation, again, template(kind, example))
    deleted(cloudformation, again)


@pytest.mark.parametrize("kind", ALL)
def test_unknown_properties_are_refused(account: LocalCloud, kind: str) -> None:
    """Protects from templates that only this cloud would take: AWS refuses what its schema does not have."""
    cloudformation, name, example = account.client("cloudformation"), unique("bad"), EXAMPLES[kind]
    body = template(kind, example, {"Misspelt": "x"})
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(body), Capabilities=["CAPABILITY_IAM"])
    assert settled(cloudformation, name)["StackStatus"] == "ROLLBACK_COMPLETE"
    told = reasons(cloudformation, name)
    assert "Properties validation failed for resource Subject with message:" in told
    assert "#: extraneous key [Misspelt] is not permitted" in told
    cloudformation.delete_stack(StackName=name)


@pytest.mark.parametrize(
    ("kind", "properties", "told"),
    [
        ("AWS::GuardDuty::Detector", {}, "#: required key [Enable] not found"),
        ("AWS::GuardDuty::Detector", {"Enable": "yes"}, "#/Enable: expected type: Boolean, found: String"),
        ("AWS::GuardDuty::Detector", {"Enable": True, "Id": "x"}, "#: extraneous key [Id] is not permitted"),
        (
            "AWS::CE::AnomalyMonitor",
            {"MonitorName": "m", "MonitorType": "WEEKLY"},
            "#/MonitorType: WEEKLY is not a valid enum value",
        ),
        (
            "AWS::AccessAnalyzer::Analyzer",
            {"Type": "ACCOUNT", "AnalyzerName": "1 2"},
            "#/AnalyzerName: failed validation constraint for keyword [pattern]",
        ),
        (
            "AWS::Config::ConfigRule",
            {"Source": {"Owner": "AWS", "Identifier": "X"}},
            "#/Source: extraneous key [Identifier] is not permitted",
        ),
    ],
)
def test_what_the_schema_forbids_is_told(account: LocalCloud, kind: str, properties: dict[str, Any], told: str) -> None:
    """Protects the reader of a failed stack: where, what, as CloudFormation words it."""
    cloudformation, name = account.client("cloudformation"), unique("told")
    body = {"Resources": {"Subject": {"Type": kind, "Properties": properties}}}
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(body))
    assert settled(cloudformation, name)["StackStatus"] == "ROLLBACK_COMPLETE"
    assert told in reasons(cloudformation, name)


def test_a_second_of_the_same_name_is_refused(account: LocalCloud) -> None:
    """Protects names: AWS has one detector in a region, and one analyzer of a name."""
    cloudformation, first, second = account.client("cloudformation"), unique("first"), unique("second")
    body = {"Resources": {"Subject": {"Type": "AWS::GuardDuty::Detector", "Properties": {"Enable": True}}}}
    made(cloudformation, first, body)
    cloudformation.create_stack(StackName=second, TemplateBody=json.dumps(body))
    assert settled(cloudformation, second)["StackStatus"] == "ROLLBACK_COMPLETE"
    assert "HandlerErrorCode: AlreadyExists" in reasons(cloudformation, second)
    deleted(cloudformation, first)


def test_a_named_resource_is_not_replaced_under_its_name(account: LocalCloud) -> None:
    """Protects from a replacement that AWS cannot make: two of one name."""
    cloudformation, name = account.client("cloudformation"), unique("named")
    kind = "AWS::AccessAnalyzer::Analyzer"
    properties = {"Type": "ACCOUNT", "AnalyzerName": "mine"}
    made(cloudformation, name, {"Resources": {"Subject": {"Type": kind, "Properties": properties}}})
    changed = {"Resources": {"Subject": {"Type": kind, "Properties": {**properties, "Type": "ORGANIZATION"}}}}
    cloudformation.update_stack(StackName=name, TemplateBody=json.dumps(changed))
    assert settled(cloudformation, name)["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert "Rename mine and update the stack again." in reasons(cloudformation, name)
    deleted(cloudformation, name)


def test_records_survive_a_power_cut(tmp_path: Path) -> None:
    """Protects acknowledged stacks: after kill -9 they are there, can be changed and deleted."""
    running = LocalCloud(tmp_path / "home", free_port())
    running.start()
    try:
        kinds = ("AWS::GuardDuty::Detector", "AWS::CloudTrail::Trail", "AWS::Config::ConfigurationRecorder")
        before = {}
        for kind in kinds:
            before[kind] = made(running.client("cloudformation"), unique("cut"), template(kind, EXAMPLES[kind]))
        running.kill()
        running.start()
        cloudformation = running.client("cloudformation")
        for stack in cloudformation.describe_stacks()["Stacks"]:
            found = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
            kind = next(kind for kind in kinds if before[kind] == found)
            changed = template(kind, EXAMPLES[kind], EXAMPLES[kind].change)
            assert made(cloudformation, stack["StackName"], changed, "UPDATE_COMPLETE")["Ref"] == found["Ref"]
            deleted(cloudformation, stack["StackName"])
    finally:
        running.stop()
