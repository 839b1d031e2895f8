"""Batch transform jobs as boto3 sees them: the model's container answers, the answers are joined and kept."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.localcloud.sagemaker_support import Bench, unique, wait
from tests.localcloud.test_sagemaker_pipelines import Lab, step

ENDED = ("Completed", "Failed", "Stopped")
CSV = "text/csv"


@pytest.fixture(scope="module")
def bench(cloud: Any, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(cloud, tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def model(bench: Bench) -> str:
    """A model that doubles the sum of a row."""
    return make_model(bench, DOUBLE="1", MARK="model")


def make_model(bench: Bench, **environment: str) -> str:
    name = unique("model")
    container = {"Image": bench.image, "Environment": environment}
    bench.sagemaker.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=bench.role)
    return name


def request(bench: Bench, model: str, source: str, target: str, **members: Any) -> dict[str, Any]:
    """CreateTransformJob without a name, on lines of CSV."""
    return {
        "ModelName": model,
        "TransformInput": {
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": source}},
            "ContentType": CSV,
            "SplitType": "Line",
        },
        "TransformOutput": {
            "S3OutputPath": f"s3://{bench.bucket}/{target}", "Accept": CSV, "AssembleWith": "Line",
        },
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
        **members,
    }  # fmt: skip


def ended(bench: Bench, name: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = bench.sagemaker.describe_transform_job(TransformJobName=name)
        return found if found["TransformJobStatus"] in ENDED else None

    return dict(wait(look, what=f"the end of {name}"))


def transform(bench: Bench, **given: Any) -> dict[str, Any]:
    name = unique("transform")
    bench.sagemaker.create_transform_job(TransformJobName=name, **given)
    return ended(bench, name)


def logs(bench: Bench, job: dict[str, Any]) -> str:
    return bench.logs("/aws/sagemaker/TransformJobs", job["TransformJobName"])


def refused(call: Any, **given: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**given)
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


def test_every_object_is_transformed(bench: Bench, model: str) -> None:
    """<key>.out for each object, encrypted with the key that is named; several records a request; events."""
    name = unique("in")
    bench.put(f"{name}/a.csv", "1,2\n3,4\n\n5,6\n")
    bench.put(f"{name}/deep/b.csv", "10,20")
    key = bench.cloud.client("kms").create_key()["KeyMetadata"]["Arn"]
    given = request(bench, model, f"s3://{bench.bucket}/{name}/", f"{name}-out")
    given["TransformOutput"]["KmsKeyId"] = key
    events = bench.events("SageMaker Transform Job State Change")
    job = transform(bench, **given)
    assert job["TransformJobStatus"] == "Completed", job
    assert job["TransformStartTime"] <= job["TransformEndTime"]
    assert sorted(bench.keys(f"{name}-out/")) == ["a.csv.out", "deep/b.csv.out"]
    assert bench.read(f"s3://{bench.bucket}/{name}-out/a.csv.out") == b"6.0\n14.0\n22.0\n"
    assert bench.read(f"s3://{bench.bucket}/{name}-out/deep/b.csv.out") == b"60.0\n"
    head = bench.s3.head_object(Bucket=bench.bucket, Key=f"{name}-out/a.csv.out")
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", key)
    assert "MaxConcurrentTransforms=1, MaxPayloadInMB=6, BatchStrategy=MULTI_RECORD" in logs(bench, job)
    assert "request of 3 records" in logs(bench, job)
    told = {"InProgress", "Completed"}
    mine = [job["TransformJobArn"]]
    wait(
        lambda: told <= {e["detail"]["TransformJobStatus"] for e in events() if e["resources"] == mine},
        what="the events",
    )
    listed = bench.sagemaker.list_transform_jobs(NameContains=job["TransformJobName"])["TransformJobSummaries"]
    assert listed[0]["TransformJobStatus"] == "Completed"


def test_records_are_filtered_and_joined(bench: Bench, model: str) -> None:
    """An id is kept from the model and stands beside its prediction; one record a request; gzip is unpacked."""
    name = unique("join")
    bench.s3.put_object(Bucket=bench.bucket, Key=f"{name}/a.csv.gz", Body=gzip.compress(b'"x, y",1,2\nz,3,4\n'))
    given = request(
        bench, model, f"s3://{bench.bucket}/{name}/", f"{name}-out", BatchStrategy="SingleRecord",
        MaxConcurrentTransforms=2, MaxPayloadInMB=1,
        DataProcessing={"InputFilter": "$[1:]", "JoinSource": "Input", "OutputFilter": "$[0,-1]"},
    )  # fmt: skip
    given["TransformInput"]["CompressionType"] = "Gzip"
    job = transform(bench, **given)
    assert job["TransformJobStatus"] == "Completed", job
    assert bench.read(f"s3://{bench.bucket}/{name}-out/a.csv.gz.out") == b'"x, y",6.0\nz,14.0\n'
    assert logs(bench, job).count("request of 1 records") == 2
    bench.put(f"{name}-json/a.jsonl", '{"id": 1, "x": [1, 2]}\n{"id": 2, "x": [3]}')
    given = request(
        bench, model, f"s3://{bench.bucket}/{name}-json/", f"{name}-out",
        DataProcessing={"JoinSource": "Input", "OutputFilter": "$['id','SageMakerOutput']"},
    )  # fmt: skip
    for part, member in (("TransformInput", "ContentType"), ("TransformOutput", "Accept")):
        given[part][member] = "application/jsonlines"
    assert transform(bench, **given)["TransformJobStatus"] == "Completed"
    lines = bench.read(f"s3://{bench.bucket}/{name}-out/a.jsonl.out").splitlines()
    assert [json.loads(line) for line in lines] == [
        {"id": 1, "SageMakerOutput": {"y": 6.0}}, {"id": 2, "SageMakerOutput": {"y": 6.0}},
    ]  # fmt: skip


def test_whole_objects_and_the_containers_wishes(bench: Bench) -> None:
    """Without a split an object is one request, and /execution-parameters counts where the job does not say."""
    wishes = '{"MaxConcurrentTransforms": 3, "BatchStrategy": "SINGLE_RECORD", "MaxPayloadInMB": 2}'
    model = make_model(bench, WISHES=wishes, MARK="model")
    name = unique("whole")
    bench.put(f"{name}/a.txt", "one\ntwo")
    given = request(bench, model, f"s3://{bench.bucket}/{name}/a", f"{name}-out", Environment={"MARK": "job"})
    given["TransformInput"] |= {"SplitType": "None", "ContentType": "text/plain"}
    given["TransformOutput"] |= {"AssembleWith": "None", "Accept": "application/json"}
    job = transform(bench, **given)
    assert job["TransformJobStatus"] == "Completed", job
    told = json.loads(bench.read(f"s3://{bench.bucket}/{name}-out/a.txt.out"))
    assert (told["echo"], told["type"], told["accept"], told["mark"]) == (
        "one\ntwo", "text/plain", "application/json", "job",
    )  # fmt: skip
    assert "MaxConcurrentTransforms=3, MaxPayloadInMB=2, BatchStrategy=SINGLE_RECORD" in logs(bench, job)


def test_failures(bench: Bench, model: str) -> None:
    """A record that the model does not take fails the job, named; what could be transformed is kept. A model that
    does not start says why; an empty input and a record beyond the limit are told."""
    plain, name = make_model(bench), unique("bad")
    bench.put(f"{name}/a.csv", "bad")
    bench.put(f"{name}/b.csv", "good")
    job = transform(bench, **request(bench, plain, f"s3://{bench.bucket}/{name}/", f"{name}-out"))
    assert job["TransformJobStatus"] == "Failed"
    assert job["FailureReason"].startswith(
        "ClientError: See job logs for more information. a.csv: the model answered 415"
    )
    assert bench.keys(f"{name}-out/") == ["b.csv.out"]
    assert "a.csv: the model answered 415: only text" in logs(bench, job)
    job = transform(bench, **request(bench, make_model(bench, CRASH="1"), f"s3://{bench.bucket}/{name}/", "x"))
    assert "exit code 3" in job["FailureReason"]
    assert "no module named 'model'" in job["FailureReason"]
    job = transform(bench, **request(bench, model, f"s3://{bench.bucket}/none/", "x"))
    assert "No S3 objects found" in job["FailureReason"]
    bench.put(f"{name}-large/a.csv", "1" * (1 << 20) + "1")
    job = transform(bench, **request(bench, model, f"s3://{bench.bucket}/{name}-large/", "x", MaxPayloadInMB=1))
    assert "Too much data for max payload size" in job["FailureReason"]


def test_a_transform_job_stops(bench: Bench) -> None:
    """Stop ends the model's container; an ended job cannot be stopped."""
    name = unique("stop")
    bench.put(f"{name}/a.csv", "slow")
    model = make_model(bench)
    bench.sagemaker.create_transform_job(
        TransformJobName=name, **request(bench, model, f"s3://{bench.bucket}/{name}/", f"{name}-out")
    )
    wait(lambda: "TransformStartTime" in bench.sagemaker.describe_transform_job(TransformJobName=name))
    bench.sagemaker.stop_transform_job(TransformJobName=name)
    assert ended(bench, name)["TransformJobStatus"] == "Stopped"
    assert bench.keys(f"{name}-out/") == []
    assert "in status Stopped" in refused(bench.sagemaker.stop_transform_job, TransformJobName=name)[1]


def test_what_is_refused(bench: Bench, model: str) -> None:
    """What AWS refuses is refused before anything runs; what is not served is refused by name."""
    good = request(bench, model, f"s3://{bench.bucket}/x/", "y")

    def told(path: str, value: Any) -> tuple[str, str]:
        given = json.loads(json.dumps(good))
        *parents, last = path.split("/")
        place = given
        for part in parents:
            place = place.setdefault(part, {})
        place[last] = value
        return refused(bench.sagemaker.create_transform_job, TransformJobName="x", **given)

    for path, value, code, words in (
        ("ModelName", "none", "ResourceNotFound", "Could not find model"),
        ("TransformInput/SplitType", "RecordIO", "NotImplemented", "SplitType RecordIO"),
        ("TransformResources/InstanceCount", 2, "ResourceLimitExceeded", "set InstanceCount to 1"),
        ("MaxPayloadInMB", 101, "ValidationException", "the maximum is 100"),
        ("MaxConcurrentTransforms", 20, "ValidationException", "must not exceed 100"),
        ("DataProcessing/InputFilter", "$..x", "ValidationException", "'$..x' has '..'"),
        ("DataProcessing/OutputFilter", "x[", "ValidationException", "is not a JSONPath"),
        ("TransformInput/DataSource/S3DataSource/S3Uri", "https://x/y", "ValidationException", "must begin with s3://"),
    ):
        found = told(path, value)
        assert found[0] == code, found
        assert words in found[1], found


def test_a_transform_step(bench: Bench, model: str) -> None:
    """A Transform step is cached by model, input and processing; another output path hits, another filter does not."""
    name = unique("step")
    bench.put(f"{name}/a.csv", "1,2\n")
    given = request(bench, model, f"s3://{bench.bucket}/{name}/", f"{name}-out")
    lab = Lab(bench, [step("Score", "Transform", given, CacheConfig={"Enabled": True, "ExpireAfter": "P1D"})])
    run, steps = lab.run()
    assert run["PipelineExecutionStatus"] == "Succeeded", steps
    job = steps["Score"]["Metadata"]["TransformJob"]["Arn"].rsplit("/", 1)[1]
    assert job.startswith(f"pipelines-{run['PipelineExecutionArn'].rsplit('/', 1)[1]}-Score-")

    def again(**members: Any) -> dict[str, Any]:
        changed = json.loads(json.dumps(lab.definition))
        changed["Steps"][0]["Arguments"].update(members)
        lab.sagemaker.update_pipeline(PipelineName=lab.name, PipelineDefinition=json.dumps(changed))
        return lab.run()[1]["Score"]

    hit = again(TransformOutput={"S3OutputPath": f"s3://{bench.bucket}/elsewhere"}, MaxPayloadInMB=1)
    assert hit["CacheHitResult"] == {"SourcePipelineExecutionArn": run["PipelineExecutionArn"]}
    failed = again(Environment={"CRASH": "1"})
    assert failed["StepStatus"] == "Failed"
    assert "exit code 3" in failed["FailureReason"]
