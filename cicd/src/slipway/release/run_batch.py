"""What a person asks of a released model in files: bring them, run a transform job, fetch the answers."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from slipway.errors import SlipwayError
from slipway.progress import Progress
from slipway.release import batch
from slipway.release.names import Environment

FOLDER = "jobs"
_SUFFIXES: dict[str, batch.ContentType] = {
    ".csv": "text/csv",
    ".jsonl": "application/jsonlines",
    ".jsonlines": "application/jsonlines",
}


@dataclass(frozen=True)
class Source:
    """What is asked: a file here, or s3://bucket/key of what lies in the batch bucket."""

    place: str
    content_type: batch.ContentType

    @property
    def brought(self) -> bool:
        """Whether it lies in a bucket already."""
        return self.place.startswith("s3://")


@dataclass(frozen=True)
class Work:
    """A job that is asked for. `output` is a folder for the answers; None leaves them in the bucket."""

    namespace: str
    project: str
    environment: Environment
    source: Source
    output: Path | None = None


def source(place: str, content_type: str | None) -> Source:
    """What is asked, and in which form. Raises SlipwayError if there is no such file, it is empty, or nobody says."""
    if not place.startswith("s3://"):
        path = Path(place)
        if not path.is_file():
            raise SlipwayError(f"--input: there is no file {place}")
        if not path.stat().st_size:
            raise SlipwayError(f"--input: {place} is empty, allowed: a row a line")
    found = content_type or _SUFFIXES.get(Path(place).suffix.lower())
    if found is None:
        raise SlipwayError(
            f"--content-type: the name {place} does not say what it is: give one of {', '.join(batch.CONTENT_TYPES)}"
        )
    return Source(place, cast(batch.ContentType, found))


def run(session: Any, work: Work, progress: Progress, *, sleep: Callable[[float], None] = time.sleep) -> str:
    """Run the job and wait. Returns where its answers are: s3://bucket/prefix. Raises SlipwayError if it failed.

    `session` has the role that runs transform jobs in the environment's account. A job goes on when this is
    interrupted.
    """
    release = batch.released(session.client("cloudformation"), work.namespace, work.project, work.environment)
    job = batch.job_name(work.namespace, work.project, work.environment)
    files = _files(release, work, job)
    s3 = session.client("s3")
    if not work.source.brought:
        s3.upload_file(work.source.place, release.bucket, files.given)
        progress.say(f"brought {work.source.place} to s3://{release.bucket}/{files.given}")
    session.client("sagemaker").create_transform_job(**batch.request(release, job, files, work.source.content_type))
    where = f"s3://{release.bucket}/{files.answers}"
    progress.say(f"{release.version} ({release.model}) answers in transform job {job}, to {where}")
    try:
        batch.wait(session, job, progress, sleep=sleep)
    except KeyboardInterrupt:
        progress.say(f"the job goes on: aws sagemaker stop-transform-job --transform-job-name {job} ends it")
        raise
    found = list(batch.keys(s3, release.bucket, files.answers))
    if not found:
        raise SlipwayError(
            f"transform job {job} completed and wrote nothing to {where}: is there a file below its input?"
        )
    for key in found:
        if work.output is None:
            progress.say(f"s3://{release.bucket}/{key}")
            continue
        target = work.output / key.removeprefix(files.answers)
        target.parent.mkdir(parents=True, exist_ok=True)
        s3.download_file(release.bucket, key, str(target))
        progress.say(f"fetched {target}")
    return where


def _files(release: batch.Released, work: Work, job: str) -> batch.Files:
    """The job's keys. Raises SlipwayError for an address that is not in the project's folder of the batch bucket."""
    if not work.source.brought:
        return batch.Files.of(FOLDER, work.project, job, Path(work.source.place).name)
    allowed = f"s3://{release.bucket}/{FOLDER}/{work.project}/in/"
    if not work.source.place.startswith(allowed):
        raise SlipwayError(f"--input: given {work.source.place}, allowed: a file here, or what lies below {allowed}")
    answers = batch.Files.of(FOLDER, work.project, job, "").answers
    return batch.Files(work.source.place.removeprefix(f"s3://{release.bucket}/"), answers)
