"""The smoke test of staging: it answers the sample rows as the model did when it was evaluated."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

from slipway.errors import SlipwayError
from slipway.progress import Progress
from slipway.release import batch

# The same model in another process may differ in the last bits, not more.
TOLERANCE = 1e-6
# A transform job takes some minutes, most of them to start. The build that waits for it may take longer.
LONGEST_JOB_SECONDS = 1500.0


def assume(session: Any, role_arn: str, name: str) -> Any:
    """A session with the credentials of a role, mostly of another account."""
    import boto3

    given = session.client("sts").assume_role(RoleArn=role_arn, RoleSessionName=name[:64])["Credentials"]
    return boto3.Session(
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
        region_name=session.region_name,
    )


def wait_in_service(sagemaker: Any, endpoint: str, progress: Progress, *, sleep: Any = time.sleep) -> None:
    """Wait until an endpoint is in service. Raises SlipwayError with the reason if it failed."""
    while True:
        answer = sagemaker.describe_endpoint(EndpointName=endpoint)
        status = answer["EndpointStatus"]
        if status == "InService":
            progress.say(f"endpoint {endpoint} is in service")
            return
        if status in {"Failed", "OutOfService", "Deleting", "UpdateRollbackFailed"}:
            raise SlipwayError(f"endpoint {endpoint} is {status}: {answer.get('FailureReason', 'no reason given')}")
        progress.beat(f"endpoint {endpoint} is {status}")
        sleep(5)


def verify(runtime: Any, endpoint: str, samples: Mapping[str, Any], progress: Progress) -> list[float]:
    """Send the sample rows as CSV and as JSON, and compare. Returns the predictions. Raises SlipwayError."""
    rows: Sequence[Sequence[Any]] = samples["rows"]
    expected = [float(value) for value in samples["predicted"]]
    answers = {}
    for content_type, body in (("text/csv", to_csv(rows)), ("application/json", to_json(samples))):
        started = time.perf_counter()
        answer = runtime.invoke_endpoint(
            EndpointName=endpoint, ContentType=content_type, Accept="application/json", Body=body
        )["Body"].read()
        answers[content_type] = _predictions(answer, content_type, len(rows))
        progress.say(f"{content_type}: {len(rows)} rows in {(time.perf_counter() - started) * 1000:.0f} ms")
    for content_type, predictions in answers.items():
        _compare(f"endpoint {endpoint}", content_type, predictions, expected)
    return answers["text/csv"]


def verify_batch(
    session: Any,
    release: batch.Released,
    project: str,
    job: str,
    samples: Mapping[str, Any],
    progress: Progress,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> list[float]:
    """Have a transform job answer the sample rows, and compare. Returns the predictions. Raises SlipwayError.

    The rows are JSON lines: a text may hold a line's end, which CSV would be split at. One instance is enough for them.
    """
    expected = [float(value) for value in samples["predicted"]]
    s3, content_type = session.client("s3"), batch.CONTENT_TYPES[1]
    files = batch.Files.of("verify", project, job, "rows.jsonl")
    s3.put_object(Bucket=release.bucket, Key=files.given, Body=to_jsonlines(samples))
    try:
        asked = batch.request(dataclasses.replace(release, instance_count=1), job, files, content_type)
        session.client("sagemaker").create_transform_job(**asked)
        batch.wait(session, job, progress, longest_seconds=LONGEST_JOB_SECONDS, sleep=sleep)
        answer = s3.get_object(Bucket=release.bucket, Key=files.answer)["Body"].read()
    finally:
        for key in (files.given, files.answer):
            _delete(s3, release.bucket, key, progress)
    found = batch.predictions(answer, content_type)
    if len(found) != len(expected) or not all(map(math.isfinite, found)):
        raise SlipwayError(f"transform job {job} answered {len(expected)} sample rows with {len(found)}: {found[:20]}")
    _compare(f"transform job {job}", content_type, found, expected)
    progress.say(f"{content_type}: transform job {job} answered {len(found)} rows")
    return found


def _delete(s3: Any, bucket: str, key: str, progress: Progress) -> None:
    """Delete a file of the verification. A failure is not worth a release: the bucket forgets the file in a day."""
    try:
        s3.delete_object(Bucket=bucket, Key=key)
    except ClientError as error:
        progress.say(f"s3://{bucket}/{key} stays for a day: {error.response['Error'].get('Message', error)}")


def _compare(who: str, content_type: str, found: Sequence[float], expected: Sequence[float]) -> None:
    for number, (given, wanted) in enumerate(zip(found, expected, strict=True), 1):
        if not math.isclose(given, wanted, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
            raise SlipwayError(
                f"{who} answers {given} to sample row {number} ({content_type}), but the model answered {wanted} when "
                "it was evaluated: the inference image does not serve the model as the training image does; compare "
                "their requirements.txt"
            )


def to_csv(rows: Sequence[Sequence[Any]]) -> bytes:
    """Rows as CSV without a heading; nothing stands for a missing value."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(["" if cell is None else cell for cell in row] for row in rows)
    return buffer.getvalue().encode()


def to_json(samples: Mapping[str, Any]) -> bytes:
    """Rows as JSON objects."""
    instances = [dict(zip(samples["columns"], row, strict=True)) for row in samples["rows"]]
    return json.dumps({"instances": instances}).encode()


def to_jsonlines(samples: Mapping[str, Any]) -> bytes:
    """Rows as JSON objects, one a line."""
    rows = (json.dumps(dict(zip(samples["columns"], row, strict=True))) for row in samples["rows"])
    return "".join(f"{row}\n" for row in rows).encode()


def _predictions(answer: bytes, content_type: str, count: int) -> list[float]:
    try:
        predictions = [float(value) for value in json.loads(answer)["predictions"]]
    except (ValueError, KeyError, TypeError):
        raise SlipwayError(
            f'the endpoint answered {content_type} with {answer[:200]!r}, not {{"predictions": […]}}'
        ) from None
    if len(predictions) != count or not all(math.isfinite(value) for value in predictions):
        raise SlipwayError(f"the endpoint answered {count} rows of {content_type} with {predictions[:20]}")
    return predictions
