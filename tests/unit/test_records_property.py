"""Every declared kind of SageMaker keeps what it is given: create → describe → list → delete, with requests that
hypothesis makes from the service model's shapes. No server: the handlers are called, and both ends are validated as the
server validates them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from botocore.validate import ParamValidator
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from localcloud.core import Call, Cloud, Fault
from localcloud.core.constraints import check
from localcloud.records import Records, coverage
from localcloud.records.shaping import project
from localcloud.services.sagemaker import SageMaker
from localcloud.services.sagemaker.catalogue import KINDS
from tests.unit.records_strategies import request

REGION = "eu-west-1"
# What is given to these is looked into (images, models, definitions): they have tests of their own.
CHECKED = {"Model", "EndpointConfig", "ModelPackage", "Pipeline"}
ACCOUNTS = count(444444444444)  # an account for each example: nothing is there before
KEPT = [kind.name for kind in KINDS if not kind.acts and kind.create != "-" and kind.name not in CHECKED]


@pytest.fixture(scope="module")
def sagemaker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SageMaker]:
    cloud = Cloud(tmp_path_factory.mktemp("records"), "http://127.0.0.1:9")
    yield SageMaker(cloud)
    cloud.store.close()


class Caller:
    """Calls operations as the server does: requests and answers are validated against the model."""

    def __init__(self, service: SageMaker, account: str) -> None:
        self.service, self.account = service, account
        self.handlers = service.handlers()

    def __call__(self, name: str, members: dict[str, Any]) -> dict[str, Any]:
        operation = self.service.model.operation_model(name)
        assert check(operation.input_shape, members) == []
        call = Call(name, members, self.account, REGION, f"arn:aws:iam::{self.account}:root", self.account)
        answer = dict(self.handlers[name](call) or {})
        shape = operation.output_shape
        if shape is not None:
            assert set(answer) <= set(shape.members)
            report = ParamValidator().validate(answer, shape)
            assert not report.has_errors(), report.generate_report()
            # The model has a device fleet's ARN under iam:, AWS's authorization reference under sagemaker:.
            wrong = [
                p for p in check(shape, answer) if "Arn'" in p and "RoleArn'" not in p and "deviceFleetArn" not in p
            ]
            assert wrong == []
        return answer


def prepared(records: Records, caller: Caller, drawn: dict[str, Any], data: st.DataObject) -> dict[str, Any]:
    """What the request refers to exists, and what AWS checks beyond the model holds."""
    members = dict(drawn)
    for parent_name in records.kind.parents:
        parent = caller.service.records[parent_name]
        create = caller.service.model.operation_model(parent.kind.create_operation)
        given = prepared(parent, caller, data.draw(request(create.input_shape)), data)
        answer = {**given, **caller(create.name, given)}
        members.update({name: answer[name] for name in parent.derived.identity})
    if records.kind.name == "FeatureGroup":
        feature = {"FeatureName": "id", "FeatureType": "String"}
        role = "arn:aws:iam::111111111111:role/features"
        members.update(
            FeatureDefinitions=[feature], RecordIdentifierFeatureName="id", EventTimeFeatureName="id", RoleArn=role
        )
    if records.kind.name == "Domain":
        members.update(VpcId="vpc-1", SubnetIds=["subnet-1"])
    if records.kind.name == "Workforce" and members.get("WorkforceVpcConfig"):
        members["WorkforceVpcConfig"] = {"VpcId": "vpc-1", "Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
    if records.kind.name == "Space":
        members.pop("OwnershipSettings", None)
        members.pop("SpaceSharingSettings", None)
    if records.kind.name == "ModelCard":
        members["Content"] = "{}"
    return members


@pytest.mark.parametrize("name", KEPT)
@settings(
    max_examples=3, phases=(Phase.generate,), deadline=None, database=None, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.function_scoped_fixture,
                           HealthCheck.data_too_large, HealthCheck.large_base_example],
)  # fmt: skip
@given(data=st.data())
def test_a_record_keeps_what_it_is_given(sagemaker: SageMaker, name: str, data: st.DataObject) -> None:
    """Protects: nothing that a client gives is lost or changed; what was made is found, and gone when deleted."""
    records = sagemaker.records[name]
    caller = Caller(sagemaker, str(next(ACCOUNTS)))
    create = sagemaker.model.operation_model(records.kind.create_operation)
    members = prepared(records, caller, data.draw(request(create.input_shape)), data)
    known = {**members, **caller(create.name, dict(members))}

    stored = records.list(caller.account, REGION)
    assert len(stored) == 1
    identity = {member: stored[0][member] for member in records.derived.identity}

    shown = caller(records.derived.name_of("Describe"), identity)
    shown = shown[name] if records.derived.wrapped else shown
    assert records.derived.described is not None
    for member, value in members.items():
        if member in records.derived.described.members:
            assert shown[member] == project(value, records.derived.described.members[member]), member
    for member in records.derived.arn_members:
        assert shown.get(member, known.get(member)) == known.get(member, shown.get(member))

    parents = {"ImageName": members["ImageName"]} if name == "ImageVersion" else {}
    summaries = caller(records.derived.name_of("List"), parents)[records.derived.list_member[0]]
    assert len(summaries) == 1

    caller(records.derived.name_of("Delete"), identity)
    with pytest.raises(Fault) as refused:
        caller(records.derived.name_of("Describe"), identity)
    assert refused.value.code in ("ResourceNotFound", "ValidationException")
    assert caller(records.derived.name_of("List"), parents)[records.derived.list_member[0]] == []


def test_kinds_that_would_have_to_act_are_refused_until_they_do(sagemaker: SageMaker) -> None:
    """Protects: no success is pretended. Create of a kind without behaviour has no handler, so the server says so."""
    handlers = sagemaker.handlers()
    for kind in KINDS:
        if kind.create == "-":
            continue
        behaves = bool(sagemaker.hooks(kind.name, "after_create")) or kind.create_operation in sagemaker.own_handlers()
        assert (kind.create_operation in handlers) == (not kind.acts or behaves), kind.name


def test_the_table_of_operations_is_whole_and_true(sagemaker: SageMaker) -> None:
    """Protects: the documentation tells for every operation of AWS's model what the local cloud does with it."""
    table = dict(coverage(sagemaker))
    assert set(table) == set(sagemaker.model.operation_names)
    assert {name for name, support in table.items() if support != "refused"} == set(sagemaker.handlers())
    assert table["CreateModelPackage"] == "served"
    assert table["DescribeCodeRepository"] == "record"
    assert table["CreatePresignedDomainUrl"] == "refused"
