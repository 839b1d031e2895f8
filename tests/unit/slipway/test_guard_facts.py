"""What the guard reads from a resource: what is as it must be has nothing said of it, and no defect goes unsaid."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import boto3
import pytest
from botocore.validate import ParamValidator
from hypothesis import given
from hypothesis import strategies as st

from slipway.guard.facts import Facts, keeps_its_own_key
from slipway.guard.guard import _members
from slipway.guard.kinds import BY_TITLE, CALLS, KINDS, STATE_CHANGES, Kind

KEY = "arn:aws:kms:eu-west-1:123456789012:key/0d9d6f2e-0000-4000-8000-000000000000"
VPC = {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
CLUSTER = {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 30, "VolumeKmsKeyId": KEY}
_TRAINING = {
    "ResourceConfig": CLUSTER,
    "OutputDataConfig": {"S3OutputPath": "s3://b/o", "KmsKeyId": KEY},
    "VpcConfig": VPC,
}
_VARIANT = {"VariantName": "v", "ModelName": "m", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}

# Sound answers of each Describe operation, as far as they matter.
SOUND: dict[str, dict[str, Any]] = {
    "training job": _TRAINING,
    "processing job": {
        "ProcessingResources": {"ClusterConfig": CLUSTER},
        "ProcessingOutputConfig": {"Outputs": [{"OutputName": "o"}], "KmsKeyId": KEY},
        "NetworkConfig": {"VpcConfig": VPC},
    },
    "transform job": {
        "ModelName": "m",
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeKmsKeyId": KEY},
        "TransformOutput": {"S3OutputPath": "s3://b/o", "KmsKeyId": KEY},
    },
    "tuning job": {
        "TrainingJobDefinition": _TRAINING,
        "TrainingJobDefinitions": [{"DefinitionName": "a", **_TRAINING}],
    },
    "AutoML job": {
        "SecurityConfig": {"VolumeKmsKeyId": KEY, "VpcConfig": VPC},
        "OutputDataConfig": {"S3OutputPath": "s3://b/o", "KmsKeyId": KEY},
    },
    "notebook instance": {"SubnetId": "subnet-1", "DirectInternetAccess": "Disabled", "KmsKeyId": KEY},
    "model": {"VpcConfig": VPC},
    "endpoint configuration": {
        "ProductionVariants": [_VARIANT],
        "ShadowProductionVariants": [{**_VARIANT, "VariantName": "s"}],
        "KmsKeyId": KEY,
        "DataCaptureConfig": {"EnableCapture": True, "KmsKeyId": KEY},
        "AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "s3://b/o", "KmsKeyId": KEY}},
    },
    "endpoint": {"EndpointConfigName": "c"},
}  # fmt: skip


def read(title: str, name: str) -> Mapping[str, Any]:
    return SOUND[title]


def holds(facts: Facts) -> bool:
    return not facts.outside and all(facts.keys.values())


def defects(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of what must not be missing: keys, networks."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            if name.endswith("KmsKeyId") or name in {"VpcConfig", "Subnets", "SecurityGroupIds", "SubnetId"}:
                yield (*path, name)
            yield from defects(item, (*path, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from defects(item, (*path, index))


ALL_DEFECTS = [(kind.title, path) for kind in KINDS for path in defects(SOUND[kind.title])]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.title)
def test_a_sound_resource_has_nothing_said_of_it(kind: Kind) -> None:
    assert holds(kind.facts(SOUND[kind.title], read))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.title)
def test_an_empty_answer_is_never_sound(kind: Kind) -> None:
    """Protects against a member that AWS renames: what is not there is a defect, not a pass."""
    assert not holds(kind.facts({}, read)) or kind.title == "endpoint"


@given(defect=st.sampled_from(ALL_DEFECTS), gone=st.booleans())
def test_whatever_is_missing_is_found(defect: tuple[str, tuple[Any, ...]], gone: bool) -> None:
    """Protects the control itself: no key and no network can be left out unseen, be it absent or empty."""
    title, path = defect
    found = copy.deepcopy(SOUND[title])
    place: Any = found
    for step in path[:-1]:
        place = place[step]
    if gone:
        del place[path[-1]]
    else:
        place[path[-1]] = {} if isinstance(place[path[-1]], dict) else "" if isinstance(place[path[-1]], str) else []
    assert not holds(BY_TITLE[title].facts(found, read))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.text("ABCabc", min_size=1, max_size=5).map(lambda t: t[:1].upper() + t[1:]), inner)
        ),
    )
)
def test_members_come_back_from_cloudtrails_spelling(value: Any) -> None:
    """Protects the evidence of what is gone already: CloudTrail's spelling is undone wholly."""

    def written(item: Any) -> Any:
        if isinstance(item, dict):
            return {name[:1].lower() + name[1:]: written(inner) for name, inner in item.items()}
        return [written(inner) for inner in item] if isinstance(item, list) else item

    assert _members(written(value)) == value


def test_a_model_outside_makes_its_endpoint_unsound() -> None:
    """Protects against the detour: endpoints and transform jobs have their network from their models."""

    def outside(title: str, name: str) -> Mapping[str, Any] | None:
        return {} if title == "model" else SOUND[title]

    for title in ("endpoint", "endpoint configuration", "transform job"):
        assert BY_TITLE[title].facts(SOUND[title], outside).outside == ["model m: it has none"]
        gone = BY_TITLE[title].facts(SOUND[title], lambda *_: None).outside
        assert gone
        assert "is gone" in gone[0]


def test_inference_components_and_serverless_variants() -> None:
    """A variant without a model has the network of its configuration; a serverless one has no volume."""
    config = {"ProductionVariants": [{"VariantName": "v", "InstanceType": "ml.m5.large"}], "KmsKeyId": KEY}
    judge = BY_TITLE["endpoint configuration"].facts
    assert not holds(judge(config, read))
    assert holds(judge({**config, "VpcConfig": VPC}, read))
    assert holds(judge({"ProductionVariants": [{"VariantName": "v", "ModelName": "m", "ServerlessConfig": {}}]}, read))


@pytest.mark.parametrize(
    "type_", ["ml.g4dn.xlarge", "ml.g5.2xlarge", "ml.p4d.24xlarge", "ml.m5d.large", "ml.c6id.large", "ml.trn1.2xlarge"]
)
def test_local_storage_needs_no_key(type_: str) -> None:
    """SageMaker refuses a key for these: to want one would make them unusable."""
    assert keeps_its_own_key(type_)
    without = {name: value for name, value in CLUSTER.items() if name != "VolumeKmsKeyId"}
    job = {**_TRAINING, "ResourceConfig": {**without, "InstanceType": type_}}
    assert holds(BY_TITLE["training job"].facts(job, read))
    mixed = {**without, "InstanceType": type_, "InstanceGroups": [{"InstanceType": "ml.m5.large"}]}
    assert not holds(BY_TITLE["training job"].facts({**_TRAINING, "ResourceConfig": mixed}, read))


@pytest.mark.parametrize("type_", ["ml.m5.large", "ml.c5n.large", "ml.p3.2xlarge", "ml.inf2.xlarge", "ml.t3.medium"])
def test_other_types_need_one(type_: str) -> None:
    assert not keeps_its_own_key(type_)


def test_the_table_fits_the_api() -> None:
    """Protects every row: methods exist, and name, ARN and states are those of AWS's model."""
    client = boto3.client("sagemaker", region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="y")
    methods = client.meta.method_to_api_mapping
    for kind in KINDS:
        described = client.meta.service_model.operation_model(methods[kind.describe])
        ended = client.meta.service_model.operation_model(methods[kind.end])
        assert not ParamValidator().validate({kind.name: "n"}, described.input_shape).has_errors(), kind.title
        assert not ParamValidator().validate({kind.name: "n"}, ended.input_shape).has_errors(), kind.title
        members = described.output_shape.members
        assert {kind.name, kind.arn} <= set(members), kind.title
        if kind.status:
            assert {*kind.active, *kind.busy} <= set(members[kind.status].enum), kind.title
        for path in defects(SOUND[kind.title]):
            if kind.title != "tuning job":
                assert path[0] in members, (kind.title, path)
    for call, kind in CALLS.items():
        request = client.meta.service_model.operation_model(call).input_shape
        assert kind.name in request.members, call
    assert set(STATE_CHANGES.values()) == {BY_TITLE["endpoint"], BY_TITLE["notebook instance"]}
