"""The release bundle: what the deploy pipeline needs of a model version, in one zip beside the model.

project.yaml       as it was when the model was made
release.json       project, version, model package, commit, its authors, cause, metrics, inference image
evaluation.json    the evaluation report
samples.json       rows of the test data with the truth and what the model answered when it was evaluated
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from slipway.archive import archive
from slipway.errors import SlipwayError
from slipway.pipeline.plan import REPORT, SAMPLES
from slipway.registry import RegisteredModel


@dataclass(frozen=True)
class Source:
    """Where the content comes from."""

    project: str
    project_file: Path
    report_uri: str
    authors: tuple[str, ...] = ()


@dataclass(frozen=True)
class Target:
    """The project's bucket and key."""

    bucket: str
    key_arn: str


def write(s3: Any, source: Source, model: RegisteredModel, target: Target, image: str) -> dict[str, Any]:
    """Put the bundle at releases/{model package version}.zip and return release.json with its address as `bundle`."""
    report = read(s3, source.report_uri)
    samples = read(s3, source.report_uri.removesuffix(REPORT) + SAMPLES)
    release: dict[str, Any] = {
        "project": source.project,
        "version": model.metadata["version"],
        "model_package_arn": model.arn,
        "model_package_version": model.number,
        "commit_id": model.metadata.get("commit", ""),
        "cause": model.metadata.get("cause", ""),
        "authors": list(source.authors),
        "data_uri": model.metadata.get("data", ""),
        "inference_image": image,
        "metrics": metrics(report),
    }
    files = {
        "evaluation.json": report,
        "project.yaml": source.project_file.read_bytes(),
        "release.json": json.dumps(release, indent=2).encode() + b"\n",
        "samples.json": samples,
    }
    key = f"releases/{model.number}.zip"
    s3.put_object(
        Bucket=target.bucket,
        Key=key,
        Body=archive(files),
        ServerSideEncryption="aws:kms",
        SSEKMSKeyId=target.key_arn,
    )
    return {**release, "bundle": f"s3://{target.bucket}/{key}"}


def metrics(report: bytes) -> dict[str, float]:
    """The figures of an evaluation report, by name. Raises SlipwayError if it has none."""
    try:
        groups = json.loads(report)
        group = next(value for name, value in groups.items() if name.endswith("_metrics"))
        return {name: float(entry["value"]) for name, entry in group.items()}
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration):
        raise SlipwayError(
            f"{REPORT} has no metrics: given {report[:120]!r}, allowed "
            '{"regression_metrics": {"rmse": {"value": 1.0}, …}}: mend the project\'s evaluate.py'
        ) from None


def read(s3: Any, uri: str) -> bytes:
    """What lies at an S3 address. Raises SlipwayError if there is nothing."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    try:
        return bytes(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    except ClientError as error:
        if error.response["Error"]["Code"] in {"NoSuchKey", "404"}:
            raise SlipwayError(f"there is no {uri}: the evaluation writes it; mend the project's evaluate.py") from None
        raise
