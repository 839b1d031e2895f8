"""Building a model: the SageMaker pipeline is run and watched, and what it made is bundled."""

import dataclasses
import datetime
import io
import json
import zipfile
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest
from botocore.response import StreamingBody

from slipway import model, registry
from slipway.archive import archive
from slipway.errors import SlipwayError
from slipway.pipeline import run
from slipway.pipeline.plan import Plan
from slipway.progress import Progress
from slipway.release import bundle

from .fakes import Session

ACCOUNT = "111111111111"
GROUP = "slipway-flight-delays"
PACKAGE = f"arn:aws:sagemaker:eu-west-1:{ACCOUNT}:model-package/{GROUP}/3"
EXECUTION = f"arn:aws:sagemaker:eu-west-1:{ACCOUNT}:pipeline/{GROUP}/execution/abcdefghijkl"
NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
REPORT = {"regression_metrics": {"rmse": {"value": 15.0, "standard_deviation": 0.5}, "r2": {"value": 0.8}}}
PROJECT = """
project: flight-delays
tag: 1
description: d
problem: regression
data: {dataset: flights/2013-q1, target: arr_delay}
quality_gate: {rmse: {max: 25.0}}
"""


def step(name: str, status: str, **more: Any) -> dict[str, Any]:
    return {"StepName": name, "StepStatus": status, "StartTime": NOW, "EndTime": NOW, **more}


def package(**more: Any) -> dict[str, Any]:
    metadata = {"version": "V1.0.0", "commit": "c0ffee", "cause": "merge", "data-version": "d1"}
    return {
        "ModelPackageName": GROUP,
        "ModelPackageArn": PACKAGE,
        "ModelPackageVersion": 3,
        "CreationTime": NOW,
        "ModelPackageStatus": "Completed",
        "ModelPackageStatusDetails": {"ValidationStatuses": []},
        "ModelApprovalStatus": "PendingManualApproval",
        "CustomerMetadataProperties": metadata,
        "ModelMetrics": {
            "ModelQuality": {"Statistics": {"ContentType": "application/json", "S3Uri": "s3://b/e/evaluation.json"}}
        },
        **more,
    }


def watch(session: Session, status: str, steps: list[dict[str, Any]]) -> None:
    session.stub("sagemaker", "describe_pipeline_execution", {"PipelineExecutionStatus": status})
    session.stub("sagemaker", "list_pipeline_execution_steps", {"PipelineExecutionSteps": steps})


def test_a_pipeline_is_created_once_and_updated_only_where_it_differs() -> None:
    session = Session()
    sagemaker = session.client("sagemaker")
    role = f"arn:aws:iam::{ACCOUNT}:role/execution"
    session.refuse("sagemaker", "describe_pipeline", "ResourceNotFound")
    session.stub("sagemaker", "create_pipeline", {}, None)
    assert run.upsert(sagemaker, GROUP, "{}", role, {"Project": "p"}) == "created"
    session.stub("sagemaker", "describe_pipeline", {"PipelineDefinition": "{}", "RoleArn": role})
    assert run.upsert(sagemaker, GROUP, "{}", role, {}) == "unchanged"
    session.stub("sagemaker", "describe_pipeline", {"PipelineDefinition": "{}", "RoleArn": role})
    session.stub("sagemaker", "update_pipeline", {})
    assert run.upsert(sagemaker, GROUP, '{"a": 1}', role, {}) == "updated"
    session.assert_all_called()


def test_every_change_is_said_once() -> None:
    session, out = Session(), io.StringIO()
    watch(session, "Executing", [step("Preprocess", "Executing")])
    watch(session, "Executing", [step("Preprocess", "Executing")])
    cached = {"SourcePipelineExecutionArn": EXECUTION}
    done = [step("Preprocess", "Succeeded", CacheHitResult=cached), step("Gate-rmse", "Succeeded", Metadata={
        "Condition": {"Outcome": "True"}})]  # fmt: skip
    watch(session, "Succeeded", [*done, step("Register", "Succeeded", Metadata={"RegisterModel": {"Arn": PACKAGE}})])
    execution = run.wait(session.client("sagemaker"), EXECUTION, Progress(out), sleep=lambda _: None)
    assert execution.model_package() == PACKAGE
    assert [line.split("] ")[1] for line in out.getvalue().splitlines()] == [
        "Preprocess: executing in 0.0 s",
        "Preprocess: succeeded in 0.0 s (taken from the cache)",
        "Gate-rmse: succeeded in 0.0 s: met",
        "Register: succeeded in 0.0 s",
    ]


def test_a_failure_tells_the_step_its_reason_and_the_end_of_its_log() -> None:
    session = Session()
    job = f"arn:aws:sagemaker:eu-west-1:{ACCOUNT}:training-job/pipelines-abc-Train-xyz"
    failed = step("Train", "Failed", FailureReason="ClientError: boom", Metadata={"TrainingJob": {"Arn": job}})
    refused = step("Refuse-rmse", "Failed", FailureReason="quality gate not met: rmse is 31.2")
    session.stub(
        "logs",
        "describe_log_streams",
        {"logStreams": [{"logStreamName": "pipelines-abc-Train-xyz/algo-1", "lastEventTimestamp": 1}]},
        {"logGroupName": "/aws/sagemaker/TrainingJobs", "logStreamNamePrefix": "pipelines-abc-Train-xyz"},
    )
    session.stub("logs", "get_log_events", {"events": [{"message": "failed: no rows\n", "timestamp": 1}]})
    error = run.failure(run.Execution(EXECUTION, "Failed", [step("Preprocess", "Succeeded"), failed, refused]), session)
    assert str(error).splitlines() == [
        f"the SageMaker pipeline ended as Failed: {EXECUTION}",
        "Train: ClientError: boom",
        "last lines of the log of Train:",
        "    failed: no rows",
        "Refuse-rmse: quality gate not met: rmse is 31.2",
    ]


def test_the_newest_model_of_a_tag_is_found() -> None:
    session = Session()
    summaries = [
        {"ModelPackageArn": f"{PACKAGE[:-1]}{n}", "CreationTime": NOW, "ModelPackageStatus": "Completed"}
        for n in (3, 2, 1)
    ]
    session.stub("sagemaker", "list_model_packages", {"ModelPackageSummaryList": summaries})
    session.stub("sagemaker", "describe_model_package", package(CustomerMetadataProperties={"version": "V2.0.0"}))
    session.stub("sagemaker", "describe_model_package", package(CustomerMetadataProperties={}))
    session.stub("sagemaker", "describe_model_package", package())
    found = registry.newest(session.client("sagemaker"), GROUP, 1)
    assert found is not None
    assert str(found.version) == "V1.0.0"


def test_the_version_of_data_changes_with_the_data() -> None:
    def version(*etags: str) -> str:
        session = Session()
        contents = [{"Key": f"curated/x/{n}.csv", "Size": 9, "ETag": etag} for n, etag in enumerate(etags)]
        session.stub("s3", "list_objects_v2", {"Contents": contents}, {"Bucket": "lake", "Prefix": "curated/x/"})
        return model.data_version(session.client("s3"), "s3://lake/curated/x/")

    assert version("a", "b") == version("a", "b") != version("a", "c")
    with pytest.raises(SlipwayError, match=r"data\.dataset: there is nothing at s3://lake/curated/x/"):
        version()


def body(content: object) -> dict[str, Any]:
    text = json.dumps(content).encode()
    return {"Body": StreamingBody(io.BytesIO(text), len(text))}


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> model.Build:
    (tmp_path / "project.yaml").write_text(PROJECT)
    for name in ("preprocessing", "training", "inference"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "Dockerfile").write_text("FROM x\n")
    session = Session()
    session.parameters(
        "/slipway/platform/",
        {
            "builds/base-image": f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com/slipway/base/python@sha256:{'a' * 64}",
            "network/private-subnet-ids": "subnet-1,subnet-2",
            "network/compute-security-group-id": "sg-1",
            "lake/bucket": "lake",
        },
    )
    repositories = {
        f"ecr/{name}": f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com/r/{name}"
        for name in ("preprocessing", "training", "inference")
    }
    session.parameters(
        "/slipway/projects/flight-delays/",
        {
            "bucket": "b",
            "key-arn": "k",
            "repository": "flight-delays",
            "execution-role-arn": f"arn:aws:iam::{ACCOUNT}:role/execution",
            "model-package-group": GROUP,
            "sagemaker-pipeline": GROUP,
            "cost-center": "ml",
            **repositories,
        },
    )
    for _ in range(3):
        session.stub("ecr", "describe_images", {"imageDetails": [{"imageDigest": "sha256:abc"}]})
    monkeypatch.setattr(model, "data_version", lambda *_: "d1")
    return model.Build(session, "slipway", "flight-delays", tmp_path, "c0ffee", "merge", "token")


def finish(session: Session) -> None:
    session.stub("sagemaker", "describe_model_package", package())
    session.stub("sagemaker", "describe_model_package", package())
    session.stub("s3", "get_object", body(REPORT), {"Bucket": "b", "Key": "e/evaluation.json"})
    session.stub("s3", "get_object", body({"rows": []}), {"Bucket": "b", "Key": "e/samples.json"})
    session.stub("s3", "put_object", {})


def claim(**condition: str) -> dict[str, Any]:
    return {
        "Bucket": "b", "Key": "versions/1/V1.0.0.json", "Body": ANY, "ServerSideEncryption": "aws:kms",
        "SSEKMSKeyId": "k", **condition,
    }  # fmt: skip


def registered(session: Session, times: int, **more: Any) -> None:
    """The registry has one model."""
    for _ in range(times):
        summary = {"ModelPackageArn": PACKAGE, "CreationTime": NOW, "ModelPackageStatus": "Completed"}
        session.stub("sagemaker", "list_model_packages", {"ModelPackageSummaryList": [summary]})
        session.stub("sagemaker", "describe_model_package", package(**more))


def never(*_: object) -> str:
    raise AssertionError("nothing is to be composed")


def test_a_model_is_built_and_bundled(build: model.Build, capsys: pytest.CaptureFixture[str]) -> None:
    session = build.session
    for _ in range(3):  # the highest tag, the newest of this tag, and once more when the version is claimed
        session.stub("sagemaker", "list_model_packages", {"ModelPackageSummaryList": []})
    session.stub("s3", "list_objects_v2", {}, {"Bucket": "b", "Prefix": "versions/1/"})
    session.stub("s3", "put_object", {"ETag": "e1"}, claim(IfNoneMatch="*"))
    session.refuse("sagemaker", "describe_pipeline", "ResourceNotFound")
    session.stub("sagemaker", "create_pipeline", {})
    session.stub("s3", "put_object", {})  # the constraints
    session.stub("s3", "put_object", {"ETag": "e2"}, claim(IfMatch="e1"))
    session.stub("sagemaker", "start_pipeline_execution", {"PipelineExecutionArn": EXECUTION})
    watch(session, "Succeeded", [step("Register", "Succeeded", Metadata={"RegisterModel": {"Arn": PACKAGE}})])
    finish(session)
    seen: list[Plan] = []
    release = model.build(build, Progress(), lambda plan, _: seen.append(plan) or "{}")  # type: ignore[func-returns-value]
    assert seen[0].place.tags == {"Namespace": "slipway", "Project": "flight-delays", "CostCenter": "ml"}
    assert seen[0].images["training"].endswith("/r/training@sha256:abc")
    assert release["version"] == "V1.0.0"
    assert release["project"] == "flight-delays"
    assert release["metrics"] == {"rmse": 15.0, "r2": 0.8}
    assert release["bundle"] == "s3://b/releases/3.zip"
    assert "at most 25.0" in capsys.readouterr().out
    session.assert_all_called()


def test_a_second_run_for_the_same_commit_makes_no_second_model(build: model.Build) -> None:
    session = build.session
    registered(session, 2)
    finish(session)
    assert model.build(build, Progress(), never)["version"] == "V1.0.0"
    session.assert_all_called()


def test_a_schedule_that_finds_nothing_new_makes_no_model(
    build: model.Build, capsys: pytest.CaptureFixture[str]
) -> None:
    session = build.session
    registered(session, 2)
    finish(session)
    build = dataclasses.replace(build, cause="schedule")
    out = io.StringIO()
    assert model.build(build, Progress(out), never)["version"] == "V1.0.0"
    assert "nothing is new, so that no model is made" in out.getvalue()
    session.assert_all_called()


@pytest.mark.parametrize(
    ("change", "cause", "said"),
    [
        ({}, "schedule", "nothing is new"),
        ({}, "merge", "is registered already"),
        ({"commit": "other"}, "schedule", ""),
        ({"data-version": "d0"}, "schedule", ""),
        ({"image-training": "r/training@sha256:old"}, "schedule", ""),  # the base image was patched
        ({"cause": "schedule"}, "merge", ""),  # somebody merged what the schedule had built: a version of its own
    ],
)
def test_what_is_new_to_a_build(build: model.Build, change: dict[str, str], cause: Any, said: str) -> None:
    metadata = package()["CustomerMetadataProperties"] | change
    images = {"training": "r/training@sha256:abc"}
    found = model._nothing_new(dataclasses.replace(build, cause=cause), metadata, "d1", images)
    assert (said in found) if said else not found


def test_a_lower_tag_is_refused_with_the_mend(build: model.Build) -> None:
    metadata = package()["CustomerMetadataProperties"] | {"version": "V3.0.0"}
    registered(build.session, 1, CustomerMetadataProperties=metadata)
    with pytest.raises(SlipwayError, match=r"project\.yaml: tag: versions do not go back: given 1, allowed 3 or more"):
        model.build(build, Progress(), never)


def test_a_project_file_of_another_project_is_refused(build: model.Build) -> None:
    (build.root / "project.yaml").write_text(PROJECT.replace("flight-delays", "other"))
    with pytest.raises(SlipwayError, match="given 'other', allowed 'flight-delays'"):
        model.prepare(build)


def test_a_bundle_has_the_same_bytes_each_time() -> None:
    first = archive({"b": b"2", "a": b"1"})
    assert first == archive({"a": b"1", "b": b"2"})
    assert zipfile.ZipFile(io.BytesIO(first)).namelist() == ["a", "b"]


@pytest.mark.parametrize("report", [b"", b"[]", b"{}", b'{"regression_metrics": {"rmse": 3}}'])
def test_a_report_without_metrics_is_told(report: bytes) -> None:
    with pytest.raises(SlipwayError, match=r"evaluation\.json has no metrics"):
        bundle.metrics(report)
