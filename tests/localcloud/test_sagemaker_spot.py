"""Managed spot training: checkpoints are in S3 while the job runs, and it goes on from them after an interruption."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.localcloud.sagemaker_support import STAGING, Bench, unique, wait
from tests.localcloud.test_sagemaker_pipelines import Lab, step


@pytest.fixture(scope="module")
def bench(cloud: Any, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(cloud, tmp_path_factory.mktemp("images"))


def spot(bench: Bench, prefix: str, **members: Any) -> dict[str, Any]:
    """A spot job that writes a checkpoint an epoch, and runs on from the last it finds."""
    return bench.training_arguments(
        EnableManagedSpotTraining=True,
        StoppingCondition={"MaxRuntimeInSeconds": 300, "MaxWaitTimeInSeconds": 600},
        CheckpointConfig={"S3Uri": f"s3://{bench.bucket}/{prefix}"},
        **{"HyperParameters": {"checkpoints": "12", "pause": "0.5"}, **members},
    )


def status(bench: Bench, name: str) -> str:
    return str(bench.sagemaker.describe_training_job(TrainingJobName=name)["SecondaryStatus"])


def passed(job: dict[str, Any]) -> list[str]:
    return [item["Status"] for item in job["SecondaryStatusTransitions"]]


def first_epoch(bench: Bench, name: str, run: int) -> int:
    """The epoch at which a run of the job began, by its log."""
    lines = bench.logs("/aws/sagemaker/TrainingJobs", f"{name}/").splitlines()
    return [int(line.split("=")[1]) for line in lines if line.startswith("begins at epoch=")][run]


def test_an_interrupted_job_goes_on_from_its_checkpoints(bench: Bench) -> None:
    """Interrupted from outside: the statuses are AWS's, nothing is trained twice, the time between is not billed."""
    name = unique("spot")
    events = bench.events("SageMaker Training Job State Change")
    bench.sagemaker.create_training_job(TrainingJobName=name, **spot(bench, name))
    wait(lambda: len(bench.keys(f"{name}/")) >= 2, what="checkpoints in S3 while the job runs")
    assert status(bench, name) == "Training"
    done = subprocess.run(
        [sys.executable, "-m", "localcloud", "--home", str(bench.cloud.home), "--port", str(bench.cloud.port),
         "interrupt", name], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    job = bench.trained(name)
    assert job["TrainingJobStatus"] == "Completed", job
    assert passed(job) == [
        "Starting", "Downloading", "Training", "Interrupted", "Starting", "Downloading", "Training", "Uploading",
        "Completed",
    ]  # fmt: skip
    assert first_epoch(bench, name, 0) == 0
    assert first_epoch(bench, name, 1) >= 2
    assert sorted(bench.keys(f"{name}/")) == sorted(f"{epoch}.ckpt" for epoch in range(12))
    assert 0 < job["BillableTimeInSeconds"] <= job["TrainingTimeInSeconds"]
    told = wait(lambda: [e for e in events() if e["detail"]["TrainingJobName"] == name][8:], what="the events")
    assert told[-1]["detail"]["SecondaryStatus"] == "Completed"


def test_what_cannot_be_interrupted(bench: Bench) -> None:
    """A job that is on demand, has ended or does not exist is refused with the reason, and so is a bad request."""
    name = unique("demand")
    bench.train(name, **bench.training_arguments())
    ended = unique("ended")
    bench.train(ended, **spot(bench, ended, HyperParameters={}))

    def ask(body: Any, method: str = "POST") -> tuple[int, str]:
        request = urllib.request.Request(
            f"{bench.cloud.endpoint}/_localcloud/sagemaker/interrupt", json.dumps(body).encode(), method=method
        )
        try:
            urllib.request.urlopen(request)
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())["message"]
        raise AssertionError("it was taken")

    for body, code, told in (
        ({"TrainingJobName": name}, 409, "on demand"),
        ({"TrainingJobName": ended}, 409, "is Completed"),
        ({"TrainingJobName": ended, "Account": STAGING}, 404, f"no training job {ended} in account {STAGING}"),
        ({}, 400, '"TrainingJobName"'),
        ([], 400, '"TrainingJobName"'),
    ):
        status, message = ask(body)
        assert (status, told in message) == (code, True), message
    assert ask({"TrainingJobName": name}, "PUT")[0] == 405


def test_limits_of_spot_jobs(bench: Bench) -> None:
    """MaxWaitTimeInSeconds is for spot jobs, at least MaxRuntimeInSeconds, and ends a job that waits or runs longer."""
    create = bench.sagemaker.create_training_job
    for change, told in (
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 300}}, "must be present"),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 300, "MaxWaitTimeInSeconds": 299}}, "given is 299"),
        ({"EnableManagedSpotTraining": False}, "managed spot training jobs alone"),
        ({"CheckpointConfig": {"S3Uri": "s3://b/k", "LocalPath": "/opt/ml/model"}}, "LocalPath is '/opt/ml/model'"),
    ):
        with pytest.raises(ClientError, match=told):
            create(TrainingJobName="x", **{**spot(bench, "x"), **change})
    name = unique("wait")
    condition = {"MaxRuntimeInSeconds": 2, "MaxWaitTimeInSeconds": 2}
    job = bench.train(name, **{**spot(bench, name), "StoppingCondition": condition})
    assert job["TrainingJobStatus"] == "Stopped"
    assert job["SecondaryStatus"] in ("MaxRuntimeExceeded", "MaxWaitTimeExceeded")


@pytest.mark.thorough
def test_a_restart_interrupts_spot_jobs(own_cloud: Any, tmp_path: Path) -> None:
    """kill -9 of the local cloud: the spot job goes on from what was in S3, and its pipeline goes on with it."""
    bench = Bench(own_cloud, tmp_path)
    prefix = unique("spot")
    after = bench.processing_arguments(
        f"s3://{bench.bucket}/after",
        {"Get": "Steps.Train.ModelArtifacts.S3ModelArtifacts"},  # type: ignore[arg-type]
    )
    lab = Lab(bench, [step("Train", "Training", spot(bench, prefix)), step("After", "Processing", after)])
    arn = lab.start()
    wait(lambda: len(bench.keys(f"{prefix}/")) >= 2, what="checkpoints in S3")
    began = lab.steps(arn)["Train"]
    own_cloud.kill()
    own_cloud.start()
    assert lab.end(arn)["PipelineExecutionStatus"] == "Succeeded", lab.steps(arn)
    steps = lab.steps(arn)
    assert list(steps) == ["Train", "After"]
    assert (steps["Train"]["Metadata"], steps["Train"]["StartTime"]) == (began["Metadata"], began["StartTime"])
    name = began["Metadata"]["TrainingJob"]["Arn"].rsplit("/", 1)[1]
    job = bench.trained(name)
    assert job["TrainingJobStatus"] == "Completed", job
    assert "Interrupted" in passed(job)
    assert first_epoch(bench, name, -1) >= 2
    assert len(bench.keys(f"{prefix}/")) == 12
