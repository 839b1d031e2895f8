"""The smoke test of staging: the endpoint answers the sample rows as the model did when it was evaluated."""

from __future__ import annotations

import csv
import io
import json
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

from slipway.errors import SlipwayError
from slipway.progress import Progress

# The same model in another process may differ in the last bits, not more.
TOLERANCE = 1e-6


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
        for number, (given, wanted) in enumerate(zip(predictions, expected, strict=True), 1):
            if not math.isclose(given, wanted, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
                raise SlipwayError(
                    f"endpoint {endpoint} answers {given} to sample row {number} ({content_type}), but the model "
                    f"answered {wanted} when it was evaluated: the inference image does not serve the model as the "
                    "training image does; compare their requirements.txt"
                )
    return answers["text/csv"]


def to_csv(rows: Sequence[Sequence[Any]]) -> bytes:
    """Rows as CSV without a heading; nothing stands for a missing value."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(["" if cell is None else cell for cell in row] for row in rows)
    return buffer.getvalue().encode()


def to_json(samples: Mapping[str, Any]) -> bytes:
    """Rows as JSON objects."""
    instances = [dict(zip(samples["columns"], row, strict=True)) for row in samples["rows"]]
    return json.dumps({"instances": instances}).encode()


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
