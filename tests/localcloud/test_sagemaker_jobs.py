"""Processing and training jobs as boto3 and the `aws` command see them: containers run, S3 is read and written."""

from __future__ import annotations

import json
import re
import subprocess
import tarfile
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.localcloud.sagemaker_support import STAGING, Bench, unique, wait


@pytest.fixture(scope="module")
def bench(cloud: Any, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(cloud, tmp_path_factory.mktemp("images"))


def refused(call: Any, **request: Any) -> tuple[str, str]:
    """(code, message) of the error that a call answers with."""
    with pytest.raises(ClientError) as caught:
        call(**request)
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


def model_of(bench: Bench, job: dict[str, Any]) -> dict[str, Any]:
    """What the test program wrote into the model."""
    packed = bench.read(job["ModelArtifacts"]["S3ModelArtifacts"])
    with tarfile.open(fileobj=BytesIO(packed)) as tar:
        member = tar.extractfile("model.json")
        assert member is not None
        found: dict[str, Any] = json.loads(member.read())
        return found


# ---- processing


def test_processing_reads_and_writes_s3(bench: Bench) -> None:
    """A prefix comes down with its tree, what the container writes goes up, times and log are there."""
    name = unique("prep")
    bench.put(f"{name}/in/a.csv")
    bench.put(f"{name}/in/deep/b.csv")
    events = bench.events("SageMaker Processing Job State Change")
    target = f"s3://{bench.bucket}/{name}/out"
    job = bench.process(name, **bench.processing_arguments(target, f"s3://{bench.bucket}/{name}/in"))
    assert job["ProcessingJobStatus"] == "Completed", job
    assert json.loads(bench.read(f"{target}/report.json"))["files"] == ["a.csv", "deep/b.csv"]
    assert job["CreationTime"] <= job["ProcessingStartTime"] <= job["ProcessingEndTime"]
    assert job["ProcessingJobArn"] == f"arn:aws:sagemaker:eu-west-1:111111111111:processing-job/{name}"
    log = bench.logs("/aws/sagemaker/ProcessingJobs", f"{name}/algo-1-")
    assert f"processing {name} " in log
    assert "111111111111" not in log  # the container has the role's credentials, not the account's
    mine = wait(lambda: [e for e in events() if e["detail"]["ProcessingJobName"] == name][1:], what="the events")
    assert mine[-1]["detail"]["ProcessingJobStatus"] == "Completed"
    assert mine[-1]["resources"] == [job["ProcessingJobArn"]]
    assert isinstance(mine[-1]["detail"]["ProcessingEndTime"], int)
    assert mine[-1]["detail"]["ProcessingOutputConfig"]["Outputs"][0]["OutputName"] == "report"


def test_processing_failure_tells_why(bench: Bench) -> None:
    """exit 1: AlgorithmError with the last lines of the log; nothing is written."""
    name = unique("fails")
    request = bench.processing_arguments(f"s3://{bench.bucket}/{name}", Environment={"EXIT": "3"})
    job = bench.process(name, **request)
    assert job["ProcessingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("AlgorithmError: ")
    assert "no such column 'delay'" in job["FailureReason"]
    assert job["FailureReason"].endswith(", exit code: 3")
    assert bench.keys(name) == []


def test_processing_message_is_the_exit_message(bench: Bench) -> None:
    """What the container leaves in /opt/ml/output/message is its word on how it ended."""
    name = unique("message")
    request = bench.processing_arguments(f"s3://{bench.bucket}/{name}", Environment={"MESSAGE": "rows: 0", "EXIT": "1"})
    job = bench.process(name, **request)
    assert job["ExitMessage"] == "rows: 0"
    assert job["FailureReason"] == "AlgorithmError: rows: 0, exit code: 1"


def test_processing_input_that_is_missing(bench: Bench) -> None:
    """An empty prefix is a ClientError that names the URI, the region and the role."""
    name = unique("empty")
    request = bench.processing_arguments(f"s3://{bench.bucket}/{name}", f"s3://{bench.bucket}/no-such-prefix/")
    job = bench.process(name, **request)
    assert job["ProcessingJobStatus"] == "Failed"
    assert f's3://{bench.bucket}/no-such-prefix/" given in input data source' in job["FailureReason"]
    assert bench.role in job["FailureReason"]


def test_processing_manifest(bench: Bench) -> None:
    """A manifest file names objects below a prefix."""
    name = unique("manifest")
    for key in ("a.csv", "sub/b.csv", "c.csv"):
        bench.put(f"{name}/{key}")
    manifest = json.dumps([{"prefix": f"s3://{bench.bucket}/{name}/"}, "a.csv", "sub/b.csv"])
    request = bench.processing_arguments(f"s3://{bench.bucket}/{name}-out", bench.put(f"{name}.manifest", manifest))
    request["ProcessingInputs"][0]["S3Input"]["S3DataType"] = "ManifestFile"
    bench.process(name, **request)
    report = json.loads(bench.read(f"s3://{bench.bucket}/{name}-out/report.json"))
    assert report["files"] == ["a.csv", "sub/b.csv"]


def test_processing_without_network_has_no_credentials(bench: Bench) -> None:
    """Network isolation: nothing in the container can call AWS."""
    name = unique("isolated")
    request = bench.processing_arguments(f"s3://{bench.bucket}/{name}", NetworkConfig={"EnableNetworkIsolation": True})
    assert bench.process(name, **request)["ProcessingJobStatus"] == "Completed"
    assert "no credentials" in bench.logs("/aws/sagemaker/ProcessingJobs", name)


def test_processing_stops(bench: Bench) -> None:
    """StopProcessingJob ends the container; a job that has ended cannot be stopped."""
    name = unique("stop")
    request = bench.processing_arguments(f"s3://{bench.bucket}/{name}", Environment={"SLEEP": "60"})
    bench.sagemaker.create_processing_job(ProcessingJobName=name, **request)
    wait(lambda: "ProcessingStartTime" in bench.sagemaker.describe_processing_job(ProcessingJobName=name))
    bench.sagemaker.stop_processing_job(ProcessingJobName=name)
    assert bench.processed(name)["ProcessingJobStatus"] == "Stopped"
    code, message = refused(bench.sagemaker.stop_processing_job, ProcessingJobName=name)
    assert code == "ValidationException"
    assert "is in status Stopped" in message


def test_processing_ends_at_its_time_limit(bench: Bench) -> None:
    """MaxRuntimeInSeconds is kept."""
    name = unique("limit")
    request = bench.processing_arguments(
        f"s3://{bench.bucket}/{name}", Environment={"SLEEP": "60"}, StoppingCondition={"MaxRuntimeInSeconds": 1}
    )
    began = time.monotonic()
    assert bench.process(name, **request)["ProcessingJobStatus"] == "Stopped"
    assert time.monotonic() - began < 15


def test_processing_image_that_is_missing(bench: Bench) -> None:
    """A tag that ECR does not have fails the job, by name."""
    name = unique("image")
    request = bench.processing_arguments(f"s3://{bench.bucket}/{name}")
    request["AppSpecification"]["ImageUri"] = bench.image[:-1] + "none"
    job = bench.process(name, **request)
    assert job["ProcessingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith(f"ClientError: Cannot pull the image {bench.image[:-1]}none")


def test_jobs_that_are_refused(bench: Bench) -> None:
    """What is wrong with a request is told before anything runs."""
    create = bench.sagemaker.create_processing_job
    good = bench.processing_arguments(f"s3://{bench.bucket}/x", f"s3://{bench.bucket}/y")
    other = bench.make_role(unique("lambda"), "lambda.amazonaws.com")

    def changed(path: str, value: Any) -> dict[str, Any]:
        request: dict[str, Any] = json.loads(json.dumps(good))
        *parents, last = path.split("/")
        place: Any = request
        for part in parents:
            place = place[int(part) if part.isdigit() else part]
        place[last] = value
        return request

    for path, value, code, told in (
        ("RoleArn", other, "ValidationException", "allows principal 'sagemaker.amazonaws.com'"),
        ("RoleArn", bench.role + "x", "ValidationException", "Could not assume role"),
        ("ProcessingResources/ClusterConfig/InstanceCount", 2, "ResourceLimitExceeded", "set InstanceCount to 1"),
        ("ProcessingInputs/0/S3Input/LocalPath", "/tmp/x", "ValidationException", "/opt/ml/processing"),
        ("ProcessingInputs/0/S3Input/S3InputMode", "Pipe", "NotImplemented", "S3InputMode Pipe"),
    ):
        assert refused(create, ProcessingJobName="x", **changed(path, value))[0] == code
        assert told in refused(create, ProcessingJobName="x", **changed(path, value))[1]
    assert "x" in refused(bench.sagemaker.describe_processing_job, ProcessingJobName="x")[1]


def test_a_role_of_another_account_cannot_read_ones_data(bench: Bench) -> None:
    """A job acts as its role: the staging account's job does not see the tooling account's bucket."""
    staging = bench.cloud.client("sagemaker", STAGING)
    message = refused(
        staging.create_processing_job,
        ProcessingJobName="x",
        **bench.processing_arguments(f"s3://{bench.bucket}/x") | {"RoleArn": f"arn:aws:iam::{STAGING}:role/none"},
    )
    assert message[0] == "ValidationException"


# ---- training


def test_training_makes_a_model(bench: Bench) -> None:
    """Channels, hyperparameters, environment, model, metrics, times: what a training container may rely on."""
    name = unique("train")
    bench.put(f"{name}/train/part-1.csv")
    bench.put(f"{name}/validation.csv")
    events = bench.events("SageMaker Training Job State Change")
    job = bench.train(
        name,
        **bench.training_arguments(
            HyperParameters={"depth": "3"},
            Environment={"MARK": "x"},
            InputDataConfig=[
                {**bench.channel("train", f"s3://{bench.bucket}/{name}/train/"), "ContentType": "text/csv"},
                {**bench.channel("validation", f"s3://{bench.bucket}/{name}/valid"), "InputMode": "FastFile"},
            ],
            AlgorithmSpecification={
                "TrainingImage": bench.image,
                "TrainingInputMode": "File",
                "MetricDefinitions": [{"Name": "rmse", "Regex": "rmse=([0-9.]+)"}, {"Name": "none", "Regex": "zzz"}],
            },
        ),
    )
    assert job["TrainingJobStatus"] == job["SecondaryStatus"] == "Completed", job
    base = f"s3://{bench.bucket}/models/{name}/output"
    assert job["ModelArtifacts"]["S3ModelArtifacts"] == f"{base}/model.tar.gz"
    found = model_of(bench, job)
    assert found["files"] == {"train": ["part-1.csv"], "validation": ["validation.csv"]}
    assert found["hyper"] == {"depth": "3"}
    assert found["resources"]["current_host"] == "algo-1"
    assert found["resources"]["hosts"] == ["algo-1"]
    assert found["env"]["TRAINING_JOB_NAME"] == name
    assert found["env"]["TRAINING_JOB_ARN"] == job["TrainingJobArn"]
    assert found["env"]["MARK"] == "x"
    assert found["env"]["AWS_ACCESS_KEY_ID"].startswith("ASIA")
    with tarfile.open(fileobj=BytesIO(bench.read(f"{base}/output.tar.gz"))) as tar:
        assert tar.getnames() == ["log.txt"]
    assert [(item["MetricName"], item["Value"]) for item in job["FinalMetricDataList"]] == [("rmse", 12.5)]
    assert job["BillableTimeInSeconds"] >= 1
    passed = [item["Status"] for item in job["SecondaryStatusTransitions"]]
    assert passed == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert all("EndTime" in item for item in job["SecondaryStatusTransitions"])
    assert "epoch 2 rmse=12.5" in bench.logs("/aws/sagemaker/TrainingJobs", f"{name}/algo-1-")
    mine = wait(lambda: [e for e in events() if e["detail"]["TrainingJobName"] == name][4:], what="the events")
    assert mine[-1]["detail"]["SecondaryStatus"] == "Completed"


def test_training_failure_has_the_failure_file(bench: Bench) -> None:
    """/opt/ml/output/failure is the reason; no model is kept."""
    name = unique("fails")
    job = bench.train(name, **bench.training_arguments(HyperParameters={"fail": "no rows left after filtering"}))
    assert job["TrainingJobStatus"] == job["SecondaryStatus"] == "Failed"
    assert job["FailureReason"] == "AlgorithmError: no rows left after filtering, exit code: 1"
    assert not any(key.endswith("model.tar.gz") for key in bench.keys(f"models/{name}"))


def test_training_that_is_killed_or_leaves_no_model(bench: Bench) -> None:
    """A killed process tells its signal and its last words; a job without a model is completed and has no archive."""
    job = bench.train(unique("killed"), **bench.training_arguments(HyperParameters={"kill": "1"}))
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("AlgorithmError: ")
    assert "epoch 2 rmse=12.5" in job["FailureReason"]
    assert job["FailureReason"].endswith(", exit code: 137")
    name = unique("empty")
    job = bench.train(name, **bench.training_arguments(HyperParameters={"no_model": "1"}))
    assert job["TrainingJobStatus"] == "Completed"
    assert bench.keys(f"models/{name}/") == []
    used = bench.processing_arguments(f"s3://{bench.bucket}/x", job["ModelArtifacts"]["S3ModelArtifacts"])
    assert "No S3 objects found" in bench.process(unique("use"), **used)["FailureReason"]


def test_training_goes_on_from_checkpoints(bench: Bench) -> None:
    """What one run leaves as a checkpoint, the next one finds."""
    name = unique("check")
    config = {"S3Uri": f"s3://{bench.bucket}/{name}/checkpoints"}
    for number in (1, 2):
        job = bench.train(f"{name}-{number}", **bench.training_arguments(CheckpointConfig=config))
        assert job["TrainingJobStatus"] == "Completed", job
    assert sorted(bench.keys(f"{name}/checkpoints/")) == ["0.ckpt", "1.ckpt"]


def test_training_uses_the_output_key(bench: Bench) -> None:
    """Artefacts are encrypted with the key that the job names."""
    name = unique("key")
    key = bench.cloud.client("kms").create_key()["KeyMetadata"]["Arn"]
    config = {"S3OutputPath": f"s3://{bench.bucket}/models", "KmsKeyId": key}
    assert bench.train(name, **bench.training_arguments(OutputDataConfig=config))["TrainingJobStatus"] == "Completed"
    head = bench.s3.head_object(Bucket=bench.bucket, Key=f"models/{name}/output/model.tar.gz")
    assert head["ServerSideEncryption"] == "aws:kms"
    assert head["SSEKMSKeyId"] == key


def test_training_stops_and_time_limit(bench: Bench) -> None:
    """Stopped by hand or by time, a job says which."""
    name = unique("stop")
    bench.sagemaker.create_training_job(
        TrainingJobName=name, **bench.training_arguments(HyperParameters={"sleep": "60"})
    )
    wait(lambda: bench.sagemaker.describe_training_job(TrainingJobName=name)["SecondaryStatus"] == "Training")
    bench.sagemaker.stop_training_job(TrainingJobName=name)
    job = bench.trained(name)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "Stopped")
    limited = bench.train(
        name + "-limit",
        **bench.training_arguments(HyperParameters={"sleep": "60"}, StoppingCondition={"MaxRuntimeInSeconds": 1}),
    )
    assert (limited["TrainingJobStatus"], limited["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")


def test_more_jobs_than_slots_wait_their_turn(bench: Bench) -> None:
    """The machine is not overrun: jobs above its capacity are Pending and run later."""
    import os

    slots = max(2, os.cpu_count() or 2)
    names = [unique("many") for _ in range(slots + 1)]
    for name in names:
        bench.sagemaker.create_training_job(
            TrainingJobName=name, **bench.training_arguments(HyperParameters={"sleep": "1"})
        )
    jobs = [bench.trained(name) for name in names]
    assert {job["TrainingJobStatus"] for job in jobs} == {"Completed"}
    waited = [job for job in jobs if any(t["Status"] == "Pending" for t in job["SecondaryStatusTransitions"])]
    assert len(waited) == 1


def test_the_aws_command(bench: Bench) -> None:
    """The CLI creates, waits for and lists jobs."""
    name = unique("cli")

    def aws(*arguments: str) -> Any:
        done = subprocess.run(
            ["aws", "sagemaker", *arguments], env=bench.cloud.environment(), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout else None

    request = {"TrainingJobName": name, **bench.training_arguments()}
    assert aws("create-training-job", "--cli-input-json", json.dumps(request))["TrainingJobArn"].endswith(name)
    bench.trained(name)
    aws("wait", "training-job-completed-or-stopped", "--training-job-name", name)
    listed = aws("list-training-jobs", "--name-contains", name)["TrainingJobSummaries"]
    assert [(item["TrainingJobName"], item["TrainingJobStatus"]) for item in listed] == [(name, "Completed")]


def test_a_restart_fails_what_ran(own_cloud: Any, tmp_path: Path) -> None:
    """kill -9 of the local cloud: no job stays InProgress, and none of its processes is left."""
    bench = Bench(own_cloud, tmp_path)
    training, processing = unique("train"), unique("process")
    bench.sagemaker.create_training_job(
        TrainingJobName=training, **bench.training_arguments(HyperParameters={"sleep": "600"})
    )
    bench.sagemaker.create_processing_job(
        ProcessingJobName=processing,
        **bench.processing_arguments(f"s3://{bench.bucket}/x", Environment={"SLEEP": "600"}),
    )
    wait(lambda: bench.sagemaker.describe_training_job(TrainingJobName=training)["SecondaryStatus"] == "Training")
    wait(lambda: "ProcessingStartTime" in bench.sagemaker.describe_processing_job(ProcessingJobName=processing))
    wait(lambda: len(_processes(own_cloud.home)) == 2, what="both containers")
    own_cloud.kill()
    own_cloud.start()
    job = bench.trained(training)
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("InternalServerError: the local cloud was restarted")
    assert bench.processed(processing)["FailureReason"].startswith("InternalServerError: the local cloud was restarted")
    wait(lambda: not _processes(own_cloud.home), what="the end of the orphans")


def _processes(home: Path) -> list[int]:
    """Processes that have the job's directory in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            environment = path.read_bytes().decode(errors="ignore")
        except OSError:
            continue
        if re.search(rf"SAGEMAKER_BASE_DIR={re.escape(str(home))}", environment):
            found.append(int(path.parent.name))
    return found
