"""What a build notes of an execution in the project's experiment."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from slipway import experiment, model
from slipway.pipeline.run import Execution
from slipway.progress import Progress

from .fakes import Session
from .plans import plan

PROJECT = """
project: flight-delays
tag: 1
description: Arrival delay
problem: regression
data: {dataset: flights/2013-q1, target: arr_delay}
preprocessing: {parameters: {test_share: 0.2}}
training: {hyperparameters: {max_iter: 300, warm: true}}
quality_gate: {rmse: {max: 25.0}}
"""
ARN = "arn:aws:sagemaker:eu-west-1:111111111111"
NAMED = "slipway/flight-delays"
GIVEN = {"ModelVersion": "V1.0.0", "CommitId": "c0ffee", "Cause": "merge", "DataVersion": "d1"}
REPORT = json.dumps({"regression_metrics": {"rmse": {"value": 12.5, "standard_deviation": 0.5}, "r2": {"value": 0.8}}})
BEGAN, ENDED = datetime(2026, 11, 26, 12, tzinfo=UTC), datetime(2026, 11, 26, 13, tzinfo=UTC)


def execution(kind: str, job: str, status: str = "Succeeded") -> Execution:
    steps: list[dict[str, Any]] = [
        {
            "StepName": "Preprocess",
            "StartTime": BEGAN,
            "Metadata": {"ProcessingJob": {"Arn": f"{ARN}:processing-job/p"}},
        },
        {"StepName": "Train", "EndTime": ENDED, "Metadata": {kind: {"Arn": job}}},
    ]
    return Execution(f"{ARN}:pipeline/x/execution/1", status, steps)


def trained(session: Session, name: str) -> None:
    """The training printed a figure."""
    figures = [{"MetricName": "validation:rmse", "Value": 12.0, "Timestamp": ENDED}]
    described = {
        "TrainingJobName": name, "TrainingJobArn": f"{ARN}:training-job/{name}", "TrainingJobStatus": "Completed",
        "SecondaryStatus": "Completed", "CreationTime": BEGAN, "FinalMetricDataList": figures,
        "ModelArtifacts": {"S3ModelArtifacts": "s3://b/m"}, "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        "AlgorithmSpecification": {"TrainingInputMode": "File"},
        "ResourceConfig": {"VolumeSizeInGB": 1}, "RoleArn": "r" * 20, "OutputDataConfig": {"S3OutputPath": "s3://b/o"},
    }  # fmt: skip
    session.stub("sagemaker", "describe_training_job", described, {"TrainingJobName": name})


def test_a_run_says_what_was_asked_what_came_of_it_and_where_it_comes_from() -> None:
    session = Session()
    trained(session, "t")
    done = execution("TrainingJob", f"{ARN}:training-job/t")
    found = experiment.run_of(plan(PROJECT), done, session.client("sagemaker"), REPORT.encode(), GIVEN, "package/1")
    assert (found.name, found.succeeded, found.started, found.ended) == ("V1.0.0", True, BEGAN, ENDED)
    assert found.parameters["max_iter"] == "300"
    assert found.parameters["warm"] == "true"
    assert found.parameters["preprocessing.test_share"] == "0.2"
    assert found.parameters["data.version"] == "d1"
    assert found.metrics == {
        "validation/rmse": 12.0, "test/rmse": 12.5, "test/rmse_standard_deviation": 0.5, "test/r2": 0.8
    }  # fmt: skip
    assert found.tags["mlflow.source.git.commit"] == "c0ffee"
    assert found.tags["slipway.model-package"] == "package/1"
    session.assert_all_called()


def test_of_a_tuning_the_hyperparameters_are_those_that_it_chose() -> None:
    session = Session()
    job = {"HyperParameterTuningJobName": "tune"}
    described = {
        **job, "HyperParameterTuningJobArn": f"{ARN}:hyper-parameter-tuning-job/tune", "CreationTime": BEGAN,
        "HyperParameterTuningJobConfig": {"Strategy": "Grid", "ResourceLimits": {"MaxParallelTrainingJobs": 1}},
        "HyperParameterTuningJobStatus": "Completed", "TrainingJobStatusCounters": {},
        "ObjectiveStatusCounters": {},
        "BestTrainingJob": {
            "TrainingJobName": "t-7", "TrainingJobArn": f"{ARN}:training-job/t-7", "CreationTime": BEGAN,
            "TrainingJobStatus": "Completed", "TunedHyperParameters": {"max_depth": "5"},
            "ObjectiveStatus": "Succeeded",
        },
    }  # fmt: skip
    session.stub("sagemaker", "describe_hyper_parameter_tuning_job", described, job)
    trained(session, "t-7")
    done = execution("TuningJob", f"{ARN}:hyper-parameter-tuning-job/tune")
    found = experiment.run_of(plan(PROJECT), done, session.client("sagemaker"), b"", GIVEN, "")
    assert found.parameters["max_depth"] == "5"
    assert found.metrics == {"validation/rmse": 12.0}
    assert not found.succeeded, "no model was registered"
    assert "slipway.model-package" not in found.tags


@pytest.mark.parametrize(
    "report", ["", "no JSON", "[]", '{"regression_metrics": [1]}', '{"regression_metrics": {"a": 1}}']
)
def test_a_report_that_is_none_has_no_metrics(report: str) -> None:
    """Protects the message about the report: it is told elsewhere, and noting the run must not end the build first."""
    assert experiment._measured(report.encode(), "regression") == {}


def test_a_platform_without_a_tracking_server_is_asked_nothing() -> None:
    session = Session()
    done = execution("TrainingJob", f"{ARN}:training-job/t")
    model._note(_build(session), plan(PROJECT), done, GIVEN, "", Progress())
    assert not session._clients


def noted(session: Session, server: str = f"{ARN}:mlflow-tracking-server/slipway") -> None:
    """A build of a platform with a tracking server notes its execution."""
    wanted = plan(PROJECT)
    wanted = dataclasses.replace(wanted, place=dataclasses.replace(wanted.place, tracking_server=server))
    done = execution("TrainingJob", f"{ARN}:training-job/t", "Failed")
    model._note(_build(session), wanted, done, GIVEN, "", Progress())


def test_a_server_that_does_not_answer_costs_the_run_and_no_model(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Protects the build: what the registry has is not lost for want of a list of runs."""

    def down(*_: object) -> str:
        raise experiment.ExperimentError("the request timed out")

    monkeypatch.setattr(experiment, "note", down)
    session = Session()
    session.refuse("sagemaker", "describe_mlflow_tracking_server", "AccessDeniedException")
    trained(session, "t")
    noted(session)
    session.assert_all_called()
    said = capsys.readouterr().out
    assert f"experiment {NAMED}: this run is missing from it (no model is lost by that): the request timed" in said


@pytest.mark.parametrize(
    ("status", "mend"),
    [
        ("Stopped", "an ML Engineer starts it: aws sagemaker start-mlflow-tracking-server --tracking-server-name slip"),
        ("StartFailed", "an ML Engineer starts it: aws"),
        ("Creating", "runs are noted again once that has ended"),
        ("MaintenanceInProgress", "runs are noted again once that has ended"),
    ],
)
def test_a_server_that_sleeps_is_not_waited_for(status: str, mend: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Protects whoever paused the server: the log says so and who starts it; MLflow is not asked, which could hang."""
    session = Session()
    described = {"TrackingServerName": "slipway", "TrackingServerStatus": status, "IsActive": "Inactive"}
    session.stub("sagemaker", "describe_mlflow_tracking_server", described, {"TrackingServerName": "slipway"})
    noted(session)
    session.assert_all_called()
    said = capsys.readouterr().out
    assert f"experiment {NAMED}: this run is missing from it (no model is lost by that): the tracking server " in said
    assert f"slipway is not active, its status is {status}: {mend}" in said


def _build(session: Session) -> model.Build:
    from pathlib import Path

    return model.Build(session, "slipway", "flight-delays", Path(), "c0ffee", "merge")
