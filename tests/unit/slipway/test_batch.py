"""Transform jobs with a released model: what is asked for, how it ends, and what staging is held against."""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path
from typing import Any

import pytest
from botocore.response import StreamingBody

from slipway.cli import main
from slipway.cli import release as command
from slipway.errors import SlipwayError
from slipway.progress import Progress
from slipway.release import batch, run_batch, verify

from .fakes import Session

SAMPLES: dict[str, Any] = {
    "target": "arr_delay",
    "columns": ["delay", "carrier"],
    "rows": [[1.5, "UA"], [None, "a\nb"]],
    "truth": [3.0, 4.0],
    "predicted": [2.5, 4.5],
}
KEY = "arn:aws:kms:eu-west-1:222222222222:key/11111111-2222-3333-4444-555555555555"
OUTPUTS = {
    "ModelVersion": "V1.0.0",
    "BatchModelName": "slipway-flight-delays-0a1b2c3d-staging",
    "BatchBucket": "files",
    "BatchKeyArn": KEY,
    "BatchInstanceType": "ml.c5.large",
    "BatchInstanceCount": "4",
    "BatchMaxPayloadInMB": "2",
    "BatchMaxConcurrentTransforms": "3",
    "BatchStrategy": "SingleRecord",
}
TAGS = {"Namespace": "slipway", "Project": "flight-delays", "Environment": "staging", "CommitId": "c0ffee"}
JOB = "slipway-flight-delays-261127000000abc-staging"
ARN = f"arn:aws:sagemaker:eu-west-1:222222222222:transform-job/{JOB}"


def stack(**outputs: str) -> dict[str, Any]:
    return {
        "StackName": "slipway-flight-delays-staging",
        "StackStatus": "UPDATE_COMPLETE",
        "CreationTime": "2026-01-01T00:00:00Z",
        "Outputs": [{"OutputKey": key, "OutputValue": value} for key, value in outputs.items()],
        "Tags": [{"Key": key, "Value": value} for key, value in TAGS.items()],
    }


RELEASE = batch.of_stack(stack(**OUTPUTS))


def blob(text: bytes) -> dict[str, Any]:
    return {"Body": StreamingBody(io.BytesIO(text), len(text))}


def job(status: str, **members: Any) -> dict[str, Any]:
    return {
        "TransformJobName": JOB, "TransformJobArn": ARN, "TransformJobStatus": status, "ModelName": "m",
        "TransformInput": {"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://files/a"}}},
        "TransformResources": {"InstanceType": "ml.c5.large", "InstanceCount": 1},
        "CreationTime": "2026-01-01T00:00:00Z", **members,
    }  # fmt: skip


def quiet() -> Progress:
    return Progress(io.StringIO())


# -- what is released


def test_what_is_released_is_read_from_its_stack() -> None:
    session = Session()
    session.stub("cloudformation", "describe_stacks", {"Stacks": [stack(**OUTPUTS)]})
    found = batch.released(session.client("cloudformation"), "slipway", "flight-delays", "staging")
    assert (found.model, found.bucket, found.key_arn) == (OUTPUTS["BatchModelName"], "files", KEY)
    assert (found.instance_count, found.max_payload_mb, found.max_concurrent_transforms) == (4, 2, 3)


def test_where_nothing_is_released_that_is_told() -> None:
    session = Session()
    session.refuse("cloudformation", "describe_stacks", "ValidationError", "Stack with id x does not exist")
    with pytest.raises(SlipwayError, match="nothing of flight-delays is released to production"):
        batch.released(session.client("cloudformation"), "slipway", "flight-delays", "production")


def test_an_endpoint_alone_is_told_with_the_key_to_change() -> None:
    with pytest.raises(SlipwayError, match=r"V1\.0\.0.*no model for transform jobs.*serving\.mode.*'batch' or 'both'"):
        batch.of_stack(stack(ModelVersion="V1.0.0", EndpointName="e"))


# -- the job


def test_a_name_fits_and_ends_in_the_environment() -> None:
    """Protects the longest project, and the policies, which know a job by its end."""
    name = batch.job_name("slipway123", "p" * 24, "production", now=lambda: 0.0)
    assert len(name) <= 63
    assert name.startswith("slipway123-" + "p" * 24 + "-700101000000")
    assert name.endswith("-production")
    assert len({batch.job_name("n", "p", "staging", now=lambda: 0.0) for _ in range(50)}) > 40


def test_a_job_is_asked_for_as_the_release_says() -> None:
    files = batch.Files.of("jobs", "flight-delays", JOB, "rows.csv")
    asked = batch.request(RELEASE, JOB, files, "text/csv")
    session = Session()
    session.stub("sagemaker", "create_transform_job", {"TransformJobArn": ARN}, asked)
    session.client("sagemaker").create_transform_job(**asked)  # the shapes hold
    assert asked["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"] == (
        f"s3://files/jobs/flight-delays/in/{JOB}/rows.csv"
    )
    assert asked["TransformOutput"]["S3OutputPath"] == f"s3://files/jobs/flight-delays/out/{JOB}"
    assert files.answer == f"jobs/flight-delays/out/{JOB}/rows.csv.out"
    assert asked["TransformOutput"]["KmsKeyId"] == asked["TransformResources"]["VolumeKmsKeyId"] == KEY
    assert (asked["BatchStrategy"], asked["MaxPayloadInMB"], asked["MaxConcurrentTransforms"]) == ("SingleRecord", 2, 3)
    assert {tag["Key"]: tag["Value"] for tag in asked["Tags"]} == {key: TAGS[key] for key in TAGS if key != "CommitId"}


def test_a_failed_job_tells_its_reason_and_the_end_of_its_log() -> None:
    session = Session()
    session.stub("sagemaker", "describe_transform_job", job("InProgress"))
    session.stub("sagemaker", "describe_transform_job", job("Failed", FailureReason="ClientError: See job logs"))
    streams = {"logStreams": [{"logStreamName": f"{JOB}/i-1", "lastEventTimestamp": 1}]}
    asked = {"logGroupName": "/aws/sagemaker/TransformJobs", "logStreamNamePrefix": f"{JOB}/"}
    session.stub("logs", "describe_log_streams", streams, asked)
    session.stub("logs", "get_log_events", {"events": [{"message": "row 1: given 3 values"}]})
    with pytest.raises(SlipwayError, match="failed: ClientError: See job logs\n    row 1: given 3 values"):
        batch.wait(session, JOB, quiet(), sleep=lambda _: None)
    session.assert_all_called()


def test_a_failure_is_told_without_its_log_where_that_cannot_be_read() -> None:
    session = Session()
    session.stub("sagemaker", "describe_transform_job", job("Stopped"))
    session.refuse("logs", "describe_log_streams", "AccessDeniedException", "no")
    with pytest.raises(SlipwayError, match="stopped: no reason given"):
        batch.wait(session, JOB, quiet(), sleep=lambda _: None)


def test_a_job_that_takes_too_long_is_stopped() -> None:
    """Protects the build, which would be killed without a word, and the bill."""
    session, seconds = Session(), [0.0]
    for _ in range(4):  # at 0, 600, 1200 and 1800 seconds
        session.stub("sagemaker", "describe_transform_job", job("InProgress"))
    session.stub("sagemaker", "stop_transform_job", {}, {"TransformJobName": JOB})
    progress = Progress(io.StringIO(), clock=lambda: seconds[0])

    def later(_: float) -> None:
        seconds[0] += 600

    with pytest.raises(SlipwayError, match=r"was InProgress for .* it is stopped"):
        batch.wait(session, JOB, progress, longest_seconds=1500, sleep=later)
    session.assert_all_called()


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b"1.5\n-2\n", "text/csv", [1.5, -2.0]),
        (b'{"prediction": 1.5}\n\n{"prediction": 2}\n', "application/jsonlines", [1.5, 2.0]),
        (b"", "text/csv", []),
    ],
)
def test_answers_are_read(body: bytes, content_type: batch.ContentType, expected: list[float]) -> None:
    assert batch.predictions(body, content_type) == expected


@pytest.mark.parametrize(
    ("body", "content_type"), [(b"1.5\nx\n", "text/csv"), (b"1\n[]\n", "application/jsonlines"), (b"{}", "text/csv")]
)
def test_what_is_no_prediction_is_told_with_its_line(body: bytes, content_type: batch.ContentType) -> None:
    with pytest.raises(SlipwayError, match=r"line [12] of the answer is "):
        batch.predictions(body, content_type)


# -- the verification of staging


def staged(*answers: bytes, status: str = "Completed") -> Session:
    """Staging, where a job ends so and has answered so."""
    session = Session()
    files = batch.Files.of("verify", "flight-delays", JOB, "rows.jsonl")
    rows = b'{"delay": 1.5, "carrier": "UA"}\n{"delay": null, "carrier": "a\\nb"}\n'
    session.stub("s3", "put_object", {}, {"Bucket": "files", "Key": files.given, "Body": rows})
    session.stub("sagemaker", "create_transform_job", {"TransformJobArn": ARN})
    session.stub("sagemaker", "describe_transform_job", job(status))
    for answer in answers:
        session.stub("s3", "get_object", blob(answer), {"Bucket": "files", "Key": files.answer})
    for key in (files.given, files.answer):
        session.stub("s3", "delete_object", {}, {"Bucket": "files", "Key": key})
    return session


def verified(session: Session) -> list[float]:
    return verify.verify_batch(
        session, RELEASE, "flight-delays", JOB, SAMPLES, quiet(), sleep=lambda _: None
    )  # fmt: skip


def test_the_same_answers_pass_and_leave_nothing_behind() -> None:
    """A text may hold a line's end: the rows are JSON lines, one each, however many lines a cell has."""
    session = staged(b'{"prediction": 2.5}\n{"prediction": 4.500000001}\n')
    assert verified(session) == pytest.approx([2.5, 4.5])
    session.assert_all_called()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b'{"prediction": 2.5}\n{"prediction": 4.6}\n', "answers 4.6 to sample row 2"),
        (b'{"prediction": 2.5}\n', "answered 2 sample rows with 1"),
        (b'{"prediction": 2.5}\n{"prediction": NaN}\n', "answered 2 sample rows with 2"),
        (b'{"error": "x"}\n', "line 1 of the answer"),
    ],
)
def test_other_answers_fail_and_leave_nothing_behind(answer: bytes, said: str) -> None:
    session = staged(answer)
    with pytest.raises(SlipwayError) as caught:
        verified(session)
    assert said in str(caught.value)
    session.assert_all_called()


def test_a_failed_verification_leaves_nothing_behind() -> None:
    session = staged(status="Failed")
    session.stub("logs", "describe_log_streams", {"logStreams": []})
    with pytest.raises(SlipwayError, match=r"transform job .* failed"):
        verified(session)
    session.assert_all_called()


def test_what_cannot_be_deleted_is_said_and_hides_nothing() -> None:
    session = Session()
    session.refuse("s3", "delete_object", "AccessDenied", "no")
    progress = quiet()
    verify._delete(session.client("s3"), "files", "k", progress)
    assert "s3://files/k stays for a day: no" in progress.out.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("serving", "asked"), [("real-time", ["endpoint"]), ("batch", ["job"]), ("both", ["endpoint", "job"])]
)
def test_staging_is_verified_for_what_it_is_released_as(
    serving: str, asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects production: nothing that a release promises goes unverified."""
    done: list[str] = []
    session = Session()
    own = {"execution-role-arn": "arn:aws:iam::111111111111:role/x", "staging-account": "222222222222"}
    session.parameters("/slipway/projects/flight-delays/", own)
    session.stub("cloudformation", "describe_stacks", {"Stacks": [stack(**OUTPUTS)]})
    for name, content in (
        ("samples.json", SAMPLES), ("release.json", {"version": "V1.0.0"}),
        ("staging.json", {"Parameters": {"Serving": serving}}),
    ):  # fmt: skip
        (tmp_path / name).write_text(json.dumps(content))
    monkeypatch.setenv("SLIPWAY_PROJECT", "flight-delays")
    monkeypatch.setattr(command.common, "session", lambda: session)
    monkeypatch.setattr(verify, "assume", lambda *_: session)
    monkeypatch.setattr(verify, "wait_in_service", lambda *_: None)
    monkeypatch.setattr(verify, "verify", lambda *_: done.append("endpoint") or [2.5, 4.5])
    monkeypatch.setattr(verify, "verify_batch", lambda *_: done.append("job") or [2.5, 4.5])
    given = argparse.Namespace(bundle=tmp_path, namespace="slipway")
    command.verify(given)
    assert done == asked
    if serving != "real-time":
        (tmp_path / "release.json").write_text(json.dumps({"version": "V2.0.0"}))
        session.parameters("/slipway/projects/flight-delays/", own)
        session.stub("cloudformation", "describe_stacks", {"Stacks": [stack(**OUTPUTS)]})
        with pytest.raises(SlipwayError, match=r"staging has V1\.0\.0, not V2\.0\.0"):
            command.verify(given)


# -- a person's job


@pytest.mark.parametrize(
    ("name", "content", "content_type", "said"),
    [
        ("rows.csv", None, None, "there is no file"),
        ("rows.csv", "", None, "is empty"),
        ("rows.txt", "1\n", None, "--content-type: the name .* does not say what it is"),
    ],
)
def test_what_cannot_be_asked_is_told(
    name: str, content: str | None, content_type: str | None, said: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(SlipwayError, match=said):
        run_batch.source(str(tmp_path / name), content_type)


def test_a_files_name_says_its_type(tmp_path: Path) -> None:
    (tmp_path / "rows.JSONL").write_text("{}\n")
    assert run_batch.source(str(tmp_path / "rows.JSONL"), None).content_type == "application/jsonlines"
    assert run_batch.source(str(tmp_path / "rows.JSONL"), "text/csv").content_type == "text/csv"
    assert run_batch.source("s3://files/jobs/p/in/a.csv", None).brought


@pytest.mark.parametrize("place", ["s3://other/jobs/flight-delays/in/a.csv", "s3://files/jobs/another/in/a.csv"])
def test_files_elsewhere_are_refused(place: str) -> None:
    """Protects other projects' files from a slip; who means it is told by the role."""
    session = Session()
    session.stub("cloudformation", "describe_stacks", {"Stacks": [stack(**OUTPUTS)]})
    work = run_batch.Work("slipway", "flight-delays", "staging", run_batch.source(place, None))
    with pytest.raises(
        SlipwayError, match="allowed: a file here, or what lies below s3://files/jobs/flight-delays/in/"
    ):
        run_batch.run(session, work, quiet())


def listed(*keys: str) -> dict[str, Any]:
    return {"Contents": [{"Key": key} for key in keys], "KeyCount": len(keys), "IsTruncated": False}


def test_what_lies_in_the_bucket_is_answered_where_the_job_writes(tmp_path: Path) -> None:
    session, progress = Session(), quiet()
    session.stub("cloudformation", "describe_stacks", {"Stacks": [stack(**OUTPUTS)]})
    session.stub("sagemaker", "create_transform_job", {"TransformJobArn": ARN})
    session.stub("sagemaker", "describe_transform_job", job("Completed"))
    session.stub("s3", "list_objects_v2", listed("jobs/flight-delays/out/x/a.csv.out"))
    source = run_batch.source("s3://files/jobs/flight-delays/in/monday/", "text/csv")
    where = run_batch.run(session, run_batch.Work("slipway", "flight-delays", "staging", source), progress)
    assert where.startswith("s3://files/jobs/flight-delays/out/slipway-flight-delays-")
    assert "s3://files/jobs/flight-delays/out/x/a.csv.out" in progress.out.getvalue()  # type: ignore[attr-defined]
    session.assert_all_called()


def test_a_job_that_found_nothing_is_no_success() -> None:
    session = Session()
    session.stub("cloudformation", "describe_stacks", {"Stacks": [stack(**OUTPUTS)]})
    session.stub("sagemaker", "create_transform_job", {"TransformJobArn": ARN})
    session.stub("sagemaker", "describe_transform_job", job("Completed"))
    session.stub("s3", "list_objects_v2", listed())
    source = run_batch.source("s3://files/jobs/flight-delays/in/none/", "text/csv")
    with pytest.raises(SlipwayError, match="wrote nothing"):
        run_batch.run(session, run_batch.Work("slipway", "flight-delays", "staging", source), quiet())


def test_a_job_goes_on_when_the_command_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects hours of work from Ctrl-C; the command that ends the job is said."""
    session, progress = Session(), quiet()
    session.stub("cloudformation", "describe_stacks", {"Stacks": [stack(**OUTPUTS)]})
    session.stub("sagemaker", "create_transform_job", {"TransformJobArn": ARN})

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(batch, "wait", interrupted)
    source = run_batch.source("s3://files/jobs/flight-delays/in/monday/", "text/csv")
    with pytest.raises(KeyboardInterrupt):
        run_batch.run(session, run_batch.Work("slipway", "flight-delays", "staging", source), progress)
    assert "stop-transform-job --transform-job-name" in progress.out.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("options", "account"), [([], "333333333333"), (["--account", "444444444444"], "444444444444")]
)
def test_the_command_takes_the_operators_role_of_the_environments_account(
    options: list[str], account: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects users from having to know the role; who is in production, where no contract is, names the account."""
    session, taken = Session(), list[Any]()
    who = {"Account": "111111111111", "Arn": "arn:aws-cn:sts::111111111111:assumed-role/slipway-MLEngineer/mary"}
    session.stub("sts", "get_caller_identity", who)
    session.parameters("/slipway/projects/flight-delays/", {"production-account": "333333333333"})
    monkeypatch.setattr(command.common, "session", lambda: session)
    monkeypatch.setattr(verify, "assume", lambda _, role, name: taken.extend((role, name)) or session)
    monkeypatch.setattr(run_batch, "run", lambda _, work, __: taken.append(work))
    (tmp_path / "rows.csv").write_text("1\n")
    given = ["batch", "run", "--project", "flight-delays", "--input", str(tmp_path / "rows.csv"), *options]
    assert main([*given, "--namespace", "slipway"]) == 0
    role, name, work = taken
    assert role == f"arn:aws-cn:iam::{account}:role/slipway-release-batch-operator-production"
    assert name == "batch-flight-delays"
    assert (work.environment, work.source.content_type, work.output) == ("production", "text/csv", None)
