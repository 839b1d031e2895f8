"""Transform jobs with a released model: what its stack says of it, the job that is made of that, and how it ended.

Input and output lie in the batch bucket of the environment's account (cfn/release-batch.yaml): where the model is, and
under that account's key. SageMaker reads and writes them as the role of the model.
"""

from __future__ import annotations

import json
import math
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from botocore.exceptions import BotoCoreError, ClientError

from slipway.errors import SlipwayError
from slipway.pipeline.logs import tail
from slipway.polling import pauses
from slipway.progress import Progress, duration
from slipway.release.names import Environment, endpoint

# What SageMaker puts behind a file's whole name to name its answer (API Reference, TransformOutput).
ANSWER = ".out"
LOG_GROUP = "/aws/sagemaker/TransformJobs"
ENDED = frozenset({"Completed", "Failed", "Stopped"})
ContentType = Literal["text/csv", "application/jsonlines"]
CONTENT_TYPES: tuple[ContentType, ...] = ("text/csv", "application/jsonlines")
# Tags of the release's stack that its jobs bear as well.
_TAGS = ("Namespace", "Project", "CostCenter", "Environment", "ModelVersion")


@dataclass(frozen=True)
class Released:
    """A release that transform jobs can use: the outputs and tags of its stack."""

    stack: str
    model: str
    version: str
    bucket: str
    key_arn: str
    instance_type: str
    instance_count: int
    max_payload_mb: int
    max_concurrent_transforms: int
    strategy: str
    tags: Mapping[str, str]

    @property
    def environment(self) -> str:
        """staging or production"""
        return self.tags["Environment"]


@dataclass(frozen=True)
class Files:
    """Where a job reads and writes: keys of the batch bucket, as the roles' policies have them.

    Args:
        given: a key, or the beginning of keys: `{folder}/{project}/in/…`.
        answers: `{folder}/{project}/out/{job}/`; the answer to a file has its name, and ANSWER behind it.
    """

    given: str
    answers: str

    @classmethod
    def of(cls, folder: str, project: str, job: str, name: str) -> Files:
        """One file for a job of its own."""
        return cls(f"{folder}/{project}/in/{job}/{name}", f"{folder}/{project}/out/{job}/")

    @property
    def answer(self) -> str:
        """The key of the answer to one file."""
        return self.answers + self.given.rpartition("/")[2] + ANSWER


def released(cloudformation: Any, namespace: str, project: str, environment: Environment) -> Released:
    """What is released, for transform jobs. Raises SlipwayError if nothing is, or only an endpoint."""
    name = endpoint(namespace, project, environment)
    try:
        stack = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in error.response["Error"]["Message"]:
            raise SlipwayError(
                f"nothing of {project} is released to {environment}: there is no stack {name}. Approve a version of "
                "its model, and the release"
            ) from None
        raise
    return of_stack(stack)


def of_stack(stack: Mapping[str, Any]) -> Released:
    """What a release's stack says. Raises SlipwayError if it has no model for transform jobs."""
    told = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
    if "BatchModelName" not in told:
        raise SlipwayError(
            f"{stack['StackName']} ({told.get('ModelVersion', 'no version')}) has no model for transform jobs: "
            "serving.mode in project.yaml has to be 'batch' or 'both'; the next version that is released then has one"
        )
    return Released(
        stack=str(stack["StackName"]),
        model=told["BatchModelName"],
        version=told["ModelVersion"],
        bucket=told["BatchBucket"],
        key_arn=told["BatchKeyArn"],
        instance_type=told["BatchInstanceType"],
        instance_count=int(told["BatchInstanceCount"]),
        max_payload_mb=int(told["BatchMaxPayloadInMB"]),
        max_concurrent_transforms=int(told["BatchMaxConcurrentTransforms"]),
        strategy=told["BatchStrategy"],
        tags={tag["Key"]: tag["Value"] for tag in stack.get("Tags", [])},
    )


def job_name(namespace: str, project: str, environment: Environment, now: Callable[[], float] = time.time) -> str:
    """A new name; it ends in the environment, as the roles' policies have it. At most 62 of 63 characters."""
    stamp = time.strftime("%y%m%d%H%M%S", time.gmtime(now())) + secrets.token_hex(2)[:3]
    return f"{namespace}-{project}-{stamp}-{environment}"


def request(release: Released, job: str, files: Files, content_type: ContentType) -> dict[str, Any]:
    """Arguments of CreateTransformJob: a row a line in, a prediction a line out, as the release's settings say."""
    return {
        "TransformJobName": job,
        "ModelName": release.model,
        "BatchStrategy": release.strategy,
        "MaxPayloadInMB": release.max_payload_mb,
        "MaxConcurrentTransforms": release.max_concurrent_transforms,
        "TransformInput": {
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{release.bucket}/{files.given}"}},
            "ContentType": content_type,
            "SplitType": "Line",
        },
        "TransformOutput": {
            "S3OutputPath": f"s3://{release.bucket}/{files.answers}".rstrip("/"),
            "Accept": content_type,
            "AssembleWith": "Line",
            "KmsKeyId": release.key_arn,
        },
        "TransformResources": {
            "InstanceType": release.instance_type,
            "InstanceCount": release.instance_count,
            "VolumeKmsKeyId": release.key_arn,
        },
        "Tags": [{"Key": key, "Value": release.tags[key]} for key in _TAGS if key in release.tags],
    }


def wait(
    session: Any,
    job: str,
    progress: Progress,
    *,
    longest_seconds: float = math.inf,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Wait until a job has completed. Raises SlipwayError with its reason and the end of its log if it has not.

    A job that takes longer than it may is stopped.
    """
    sagemaker, pause, before, status = session.client("sagemaker"), pauses(), progress.elapsed, ""
    while True:
        found = sagemaker.describe_transform_job(TransformJobName=job)
        if found["TransformJobStatus"] != status:
            status = found["TransformJobStatus"]
            progress.say(f"transform job {job} is {status} after {duration(progress.elapsed - before)}")
        if status in ENDED:
            break
        if progress.elapsed - before > longest_seconds:
            sagemaker.stop_transform_job(TransformJobName=job)
            raise SlipwayError(
                f"transform job {job} was {status} for {duration(progress.elapsed - before)}, longer than it may take; "
                "it is stopped. Look whether its instance type is to be had at this time, and release again"
            )
        progress.beat(f"transform job {job} is {status}")
        sleep(next(pause))
    if status == "Completed":
        return
    lines = log_lines(session, job)
    end = "".join(f"\n    {line}" for line in lines) or f" (its log group {LOG_GROUP} has nothing of it)"
    raise SlipwayError(f"transform job {job} {status.lower()}: {found.get('FailureReason', 'no reason given')}{end}")


def log_lines(session: Any, job: str) -> list[str]:
    """The end of a job's log; it only adds to a failure that is told anyway, so it never fails itself."""
    try:
        return tail(session.client("logs"), LOG_GROUP, f"{job}/")
    except (ClientError, BotoCoreError):
        return []


def predictions(body: bytes, content_type: ContentType) -> list[float]:
    """The predictions of an answer, a line each. Raises SlipwayError if one is no number."""
    found: list[float] = []
    for number, line in enumerate(filter(bytes.strip, body.split(b"\n")), 1):
        try:
            found.append(float(json.loads(line)["prediction"] if content_type == "application/jsonlines" else line))
        except (ValueError, KeyError, TypeError):
            raise SlipwayError(
                f"line {number} of the answer is {line[:120]!r}, allowed "
                + ('{"prediction": …}' if content_type == "application/jsonlines" else "one number")
            ) from None
    return found


def keys(s3: Any, bucket: str, prefix: str) -> Iterator[str]:
    """The keys below a prefix of a bucket."""
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for entry in page.get("Contents", []):
            yield str(entry["Key"])
