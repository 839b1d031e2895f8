"""The MLflow experiment of a project: one run for each execution of its SageMaker pipeline.

The build writes it, not the jobs: a step that is taken from the cache must not know the execution, commit or version
that it is used for, and the images of a project need no MLflow. The tracking server is AWS's (SageMaker Developer
Guide, "Track experiments using MLflow"); its ARN is the tracking address, which sagemaker-mlflow signs requests for.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from slipway.configuration.model import REPORT_KEYS, Problem
from slipway.errors import SlipwayError
from slipway.pipeline.plan import Plan, as_text
from slipway.pipeline.run import Execution

EXECUTION = "slipway.execution"
_MOST_CHARACTERS = 5000  # of a tag
# Read when MLflow is imported or asks: no telemetry, which a network without internet would wait for, and no retries
# for minutes, since a build does not fail for want of its tracking server.
_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # an address that opens for nobody: SageMaker signs its own
}


class ExperimentError(SlipwayError):
    """The tracking server could not be asked."""


@dataclass(frozen=True)
class Run:
    """A run to be noted; one for each execution, however often it is noted.

    Args:
        name: what people see; the version.
        execution: ARN of the pipeline's execution.
        started, ended: of the execution.
        parameters: what it was asked for.
        metrics: what came of it.
        tags: where it comes from.
    """

    name: str
    execution: str
    succeeded: bool
    started: datetime
    ended: datetime
    parameters: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


def name(namespace: str, project: str) -> str:
    """The experiment's name, {namespace}/{project}."""
    return f"{namespace}/{project}"


def asleep(sagemaker: Any, server: str) -> str:
    """Why the tracking server notes nothing now, and what mends it; nothing if it is active.

    A server that is stopped, made, updated or maintained does not tell its clients so, and may let them wait.
    """
    called = server.rpartition("/")[2]
    try:
        found = sagemaker.describe_mlflow_tracking_server(TrackingServerName=called)
    except (ClientError, BotoCoreError):  # a role of an earlier release may not ask; then the server itself is asked
        return ""
    status = found["TrackingServerStatus"]
    if found["IsActive"] == "Active":
        return ""
    if status.endswith("ing") or status == "MaintenanceInProgress":
        mend = "runs are noted again once that has ended"
    else:
        mend = f"an ML Engineer starts it: aws sagemaker start-mlflow-tracking-server --tracking-server-name {called}"
    return f"the tracking server {called} is not active, its status is {status}: {mend}"


def run_of(
    plan: Plan, execution: Execution, sagemaker: Any, report: bytes, parameters: Mapping[str, str], package: str
) -> Run:
    """What there is to note of an execution.

    Args:
        report: evaluation.json; empty if there is none.
        parameters: those that the pipeline was started with.
        package: ARN of the model package; "" if none was registered.
    """
    moments = [step[key] for step in execution.steps for key in ("StartTime", "EndTime") if key in step]
    chosen, figures = _training(sagemaker, execution)
    project = plan.project
    values: dict[str, Any] = {
        **{f"preprocessing.{key}": value for key, value in project.preprocessing.parameters.items()},
        **project.training.hyperparameters,
        **chosen,
        "training.instance_type": project.training.instance_type,
        "training.instance_count": project.training.instance_count,
        "data.dataset": project.data.dataset,
        "data.version": parameters["DataVersion"],
    }
    tags = {
        "mlflow.source.git.commit": parameters["CommitId"],
        "mlflow.source.name": plan.place.repository or project.project,
        "slipway.version": parameters["ModelVersion"],
        "slipway.cause": parameters["Cause"],
        "slipway.model-package": package,
        **{f"slipway.image-{key}": image for key, image in plan.images.items()},
    }
    return Run(
        name=parameters["ModelVersion"],
        execution=execution.arn,
        succeeded=execution.status == "Succeeded" and bool(package),
        started=min(moments, default=datetime.now(UTC)),
        ended=max(moments, default=datetime.now(UTC)),
        parameters={key: as_text(value) for key, value in values.items()},
        metrics={**figures, **_measured(report, project.problem)},
        tags={key: value[:_MOST_CHARACTERS] for key, value in tags.items() if value},
    )


def note(session: Any, server: str, experiment: str, run: Run) -> str:
    """Write a run to the experiment, which is made if need be. Returns the run's id. Raises ExperimentError."""
    with _client(session, server) as client:
        found = client.get_experiment_by_name(experiment)
        if found is None:
            found = client.get_experiment(client.create_experiment(experiment))
        elif found.lifecycle_stage == "deleted":  # by hand: a project's own removal takes the name away, too
            client.restore_experiment(found.experiment_id)
        asked = f"tags.`{EXECUTION}` = '{run.execution}'"
        known = client.search_runs([found.experiment_id], asked, max_results=1)
        if known:
            run_id = str(known[0].info.run_id)
        else:
            made = client.create_run(
                found.experiment_id,
                start_time=_milliseconds(run.started),
                tags={EXECUTION: run.execution},
                run_name=run.name,
            )
            run_id = str(made.info.run_id)
        _log(client, run_id, run)
        status = "FINISHED" if run.succeeded else "FAILED"
        client.set_terminated(run_id, status, _milliseconds(run.ended))
        return run_id


def remove(session: Any, server: str, experiment: str) -> bool:
    """Delete the experiment. Returns whether there was one. Raises ExperimentError.

    MLflow keeps what is deleted, under its name: the name is changed first, so that a later project may have it.
    """
    with _client(session, server) as client:
        found = client.get_experiment_by_name(experiment)
        if found is None:
            return False
        if found.lifecycle_stage == "deleted":
            client.restore_experiment(found.experiment_id)
        client.rename_experiment(found.experiment_id, f"{experiment} (removed, {found.experiment_id})")
        client.delete_experiment(found.experiment_id)
        return True


@contextmanager
def _client(session: Any, server: str) -> Iterator[Any]:
    """MLflow's client, signing with the session. Importing it takes seconds."""
    for key, value in _SETTINGS.items():
        os.environ.setdefault(key, value)
    import mlflow
    from mlflow.exceptions import MlflowException
    from sagemaker_mlflow import use_session

    mlflow.set_tracking_uri(server)  # the plug-in reads it from here, whatever the client is given
    try:
        with use_session(session):
            yield mlflow.MlflowClient(server)
    except (MlflowException, ClientError, BotoCoreError) as error:
        raise ExperimentError(f"{server}: {str(error).splitlines()[0]}") from error


def _log(client: Any, run_id: str, run: Run) -> None:
    from mlflow.entities import Metric, Param, RunTag

    moment = _milliseconds(run.ended)
    client.log_batch(
        run_id,
        metrics=[Metric(key, value, moment, 0) for key, value in sorted(run.metrics.items())],
        params=[Param(key, value) for key, value in sorted(run.parameters.items())],
        tags=[RunTag(key, value) for key, value in sorted(run.tags.items())],
    )


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _training(sagemaker: Any, execution: Execution) -> tuple[dict[str, str], dict[str, float]]:
    """The hyperparameters that a tuning chose, and the last figures that the training printed."""
    chosen: dict[str, str] = {}
    for step in execution.steps:
        metadata = step.get("Metadata", {})
        job = metadata.get("TrainingJob", {}).get("Arn", "")
        if tuning := metadata.get("TuningJob", {}).get("Arn", ""):
            found = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=_named(tuning))
            best = found.get("BestTrainingJob", {})
            chosen, job = dict(best.get("TunedHyperParameters", {})), best.get("TrainingJobName", "")
        if job:
            described = sagemaker.describe_training_job(TrainingJobName=_named(job))
            figures = described.get("FinalMetricDataList", [])
            return chosen, {item["MetricName"].replace(":", "/"): float(item["Value"]) for item in figures}
    return chosen, {}


def _named(arn: str) -> str:
    return arn.rpartition("/")[2]


def _measured(report: bytes, problem: Problem) -> dict[str, float]:
    """Each metric of evaluation.json with its standard deviation; nothing of a report that is none."""
    try:
        found = json.loads(report)[REPORT_KEYS[problem]]
        return {
            f"test/{metric}{suffix}": float(figure[key])
            for metric, figure in found.items()
            for key, suffix in (("value", ""), ("standard_deviation", "_standard_deviation"))
            if key in figure
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
