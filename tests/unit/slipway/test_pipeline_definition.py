"""The SageMaker pipeline's definition: what SageMaker accepts, the same bytes each time, no call to anybody."""

import json
import socket
from collections.abc import Iterator
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator

from slipway.configuration import loads
from slipway.pipeline.definition import definition
from slipway.pipeline.plan import arguments, gate_sentence, hyperparameters

from . import plans
from .plans import KEY, REGISTRY, TAGS, plan, resolved, session

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inside the SDK

TEXT = """
project: flight-delays
tag: 1
description: Arrival delay
problem: regression
data: {dataset: flights/2013-q1, target: arr_delay}
preprocessing:
  parameters: {test_share: 0.2, shuffle: true, quiet: false}
  environment: {MODE: fast}
training:
  instance_count: 2
  hyperparameters: {max_iter: 300, warm_start: false}
quality_gate:
  rmse: {max: 25.0}
  r2: {min: 0.5}
serving: {instance_type: ml.c5.large, environments: {production: {instance_type: ml.c5.xlarge}}}
"""


@pytest.fixture(scope="module")
def text() -> Iterator[str]:
    """The definition, made while nobody may be called."""
    called: list[Any] = []

    def refuse(_: socket.socket, address: Any) -> None:
        called.append(address)
        raise OSError("no network in this test")

    with pytest.MonkeyPatch.context() as patch:
        # The SDK makes sessions of its own, too, which look for credentials.
        patch.setenv("AWS_ACCESS_KEY_ID", "x")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "y")
        patch.setattr(socket.socket, "connect", refuse)
        yield definition(plan(TEXT), session())
    assert not called


@pytest.fixture(scope="module")
def steps(text: str) -> dict[str, dict[str, Any]]:
    return plans.steps(text)


def test_the_same_plan_gives_the_same_bytes(text: str) -> None:
    assert definition(plan(TEXT), session()) == text


def test_the_parameters(text: str) -> None:
    found = {item["Name"]: item.get("DefaultValue") for item in json.loads(text)["Parameters"]}
    assert found == {
        "ModelVersion": None,
        "CommitId": None,
        "Cause": "merge",
        "DataUri": "s3://lake/curated/flights/2013-q1/",
        "DataVersion": None,
    }


@pytest.mark.parametrize(
    ("step", "operation", "name"),
    [
        ("Preprocess", "CreateProcessingJob", "ProcessingJobName"),
        ("Train", "CreateTrainingJob", "TrainingJobName"),
        ("Evaluate", "CreateProcessingJob", "ProcessingJobName"),
        ("Register", "CreateModelPackage", None),
    ],
)
def test_every_step_is_a_valid_request(
    steps: dict[str, dict[str, Any]], step: str, operation: str, name: str | None
) -> None:
    shape = botocore.session.get_session().get_service_model("sagemaker").operation_model(operation).input_shape
    assert shape is not None
    request = resolved(steps[step]["Arguments"]) | ({name: "made-by-the-pipeline"} if name else {})
    report = ParamValidator().validate(request, shape)
    assert not report.has_errors(), report.generate_report()


@pytest.mark.parametrize("name", ["Preprocess", "Train", "Evaluate"])
def test_every_job_is_in_the_vpc_encrypted_tagged_cached_and_retried(
    steps: dict[str, dict[str, Any]], name: str
) -> None:
    step = steps[name]
    job = step["Arguments"]
    network = job.get("NetworkConfig", job)
    assert network["VpcConfig"] == {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1", "subnet-2"]}
    assert network["EnableInterContainerTrafficEncryption"] is True
    cluster = job["ResourceConfig"] if name == "Train" else job["ProcessingResources"]["ClusterConfig"]
    assert cluster["VolumeKmsKeyId"] == KEY
    output = job["OutputDataConfig"] if name == "Train" else job["ProcessingOutputConfig"]
    assert output["KmsKeyId"] == KEY
    assert {tag["Key"]: tag["Value"] for tag in job["Tags"]} == TAGS
    assert step["CacheConfig"] == {"Enabled": True, "ExpireAfter": "P30D"}
    assert {kind for policy in step["RetryPolicies"] for kind in policy["ExceptionType"]} == {
        "Step.SERVICE_FAULT",
        "Step.THROTTLING",
        "SageMaker.JOB_INTERNAL_ERROR",
        "SageMaker.CAPACITY_ERROR",
        "SageMaker.RESOURCE_LIMIT",
    }


def test_what_differs_from_build_to_build_is_in_no_job(steps: dict[str, dict[str, Any]]) -> None:
    for name in ("Preprocess", "Train", "Evaluate"):
        text = json.dumps(steps[name]["Arguments"])
        for parameter in ("ModelVersion", "CommitId", "Cause"):
            assert f"Parameters.{parameter}" not in text
    # …but the cached step sees a change of the data.
    assert steps["Preprocess"]["Arguments"]["Environment"]["SLIPWAY_DATA_VERSION"] == {"Get": "Parameters.DataVersion"}


def test_the_project_file_reaches_the_steps(steps: dict[str, dict[str, Any]]) -> None:
    preprocess, train = steps["Preprocess"]["Arguments"], steps["Train"]["Arguments"]
    assert preprocess["AppSpecification"]["ContainerArguments"] == ["--test-share", "0.2", "--shuffle"]
    assert preprocess["Environment"]["MODE"] == "fast"
    assert preprocess["Environment"]["SLIPWAY_TARGET"] == "arr_delay"
    assert train["HyperParameters"] == {"max_iter": "300", "warm_start": "false"}
    assert train["ResourceConfig"]["InstanceCount"] == 2
    assert [channel["ChannelName"] for channel in train["InputDataConfig"]] == ["train", "validation"]
    container = steps["Register"]["Arguments"]["InferenceSpecification"]
    assert container["Containers"][0]["Image"].startswith(f"{REGISTRY}/inference@sha256:")
    assert container["SupportedRealtimeInferenceInstanceTypes"] == ["ml.c5.large", "ml.c5.xlarge"]
    assert steps["Register"]["Arguments"]["ModelApprovalStatus"] == "PendingManualApproval"
    assert "Tags" not in steps["Register"]["Arguments"]  # a versioned model package takes none


def test_the_gate_asks_in_the_order_of_the_file_and_says_what_was_missed(steps: dict[str, dict[str, Any]]) -> None:
    outer, inner = steps["Gate-rmse"]["Arguments"], steps["Gate-r2"]["Arguments"]
    assert [step["Name"] for step in outer["IfSteps"]] == ["Gate-r2"]
    assert [step["Name"] for step in inner["IfSteps"]] == ["Register"]
    assert (outer["Conditions"][0]["Type"], outer["Conditions"][0]["RightValue"]) == ("LessThanOrEqualTo", 25.0)
    assert (inner["Conditions"][0]["Type"], inner["Conditions"][0]["RightValue"]) == ("GreaterThanOrEqualTo", 0.5)
    values = steps["Refuse-rmse"]["Arguments"]["ErrorMessage"]["Std:Join"]["Values"]
    figure = values.pop(1)
    assert figure["Std:JsonGet"]["Path"] == "regression_metrics.rmse.value"
    assert values == [
        "quality gate not met: rmse is ",
        ", at most 25.0 allowed (project.yaml: quality_gate.rmse.max)",
    ]


def test_words_for_jobs() -> None:
    assert arguments({"a_b": 1, "c": True, "d": False, "e": "x y"}) == ["--a-b", "1", "--c", "--e", "x y"]
    assert hyperparameters({"a": True, "b": 0.1, "c": "x"}) == {"a": "true", "b": "0.1", "c": "x"}
    assert gate_sentence("r2", loads(TEXT).quality_gate["r2"])[1].endswith("(project.yaml: quality_gate.r2.min)")
