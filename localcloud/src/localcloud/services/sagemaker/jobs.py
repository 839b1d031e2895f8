"""What all SageMaker jobs share: the role they act as, S3 in and out, logs, capacity, and the way they end.

A job's S3 reads and writes, and its container's credentials, are those of the job's role: nothing is read or written
that the role may not.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import tarfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from localcloud.core import Cloud, Credentials, Fault, now

logger = logging.getLogger("localcloud.sagemaker")

PRINCIPAL = "sagemaker.amazonaws.com"
RESTARTED = (
    "InternalServerError: the local cloud was restarted while this was running, and it was ended with it. "
    "Start it again."
)
REASON_LIMIT = 1024  # of FailureReason and ExitMessage in the service model
_LOG_LINES_IN_REASON = 5
_ROLE_SECONDS = 3600
_PARALLEL_TRANSFERS = 4


class JobError(Exception):
    """Why a job failed, in the words of its FailureReason."""


class RoleSession:
    """A role that SageMaker has assumed; assumed again before the credentials run out."""

    def __init__(self, cloud: Cloud, role_arn: str, region: str) -> None:
        self.role_arn = role_arn
        self._cloud = cloud
        self.region = region
        self._lock = threading.Lock()
        self._credentials: Credentials | None = None
        self._until = 0.0
        self._clients: dict[str, Any] = {}

    @property
    def credentials(self) -> Credentials:
        """Current credentials.

        Raises:
            Fault: the role cannot be assumed.
        """
        with self._lock:
            if self._credentials is None or time.monotonic() > self._until:
                self._credentials = self._cloud.assume(
                    self.role_arn, "SageMaker", region=self.region, duration=_ROLE_SECONDS, service_principal=PRINCIPAL,
                    # A session serves several jobs, so it is told which service and account, not which job.
                    source_arn=f"arn:aws:sagemaker:{self.region}:{self.role_arn.split(':')[4]}:*",
                )  # fmt: skip
                self._until = time.monotonic() + _ROLE_SECONDS * 0.8
                self._clients.clear()
            return self._credentials

    def client(self, service: str) -> Any:
        """A boto3 client of the role."""
        credentials = self.credentials
        with self._lock:
            if service not in self._clients:
                self._clients[service] = credentials.client(service, self.region)
            return self._clients[service]


def assume(cloud: Cloud, role_arn: str, region: str) -> RoleSession:
    """Assume a job's role while it is created.

    Raises:
        Fault: as SageMaker words it.
    """
    session = RoleSession(cloud, role_arn, region)
    try:
        _ = session.credentials
    except Fault as fault:
        raise Fault(
            "ValidationException",
            f"Could not assume role {role_arn}. Please ensure that the role exists and allows principal "
            f"'{PRINCIPAL}' to assume the role. ({fault.message})",
        ) from fault
    return session


def refuse_instances(count: int | None, what: str) -> None:
    """One machine is one instance: a job of several is refused, not run as one.

    Raises:
        Fault: ResourceLimitExceeded, which is what AWS answers above the account's limit.
    """
    if (count or 1) > 1:
        raise Fault(
            "ResourceLimitExceeded",
            f"The account-level service limit 'instances of a {what}' is 1 Instances, with current utilization of 0 "
            f"Instances and a request delta of {count} Instances. The local cloud is one machine: set InstanceCount "
            "to 1.",
        )


class Capacity:
    """How many jobs run at a time; the others wait in their turn."""

    def __init__(self, slots: int | None = None) -> None:
        self._free = slots or max(2, os.cpu_count() or 2)
        self._condition = threading.Condition()
        self._waiting: deque[object] = deque()

    @contextmanager
    def slot(self, stopped: threading.Event, on_wait: Callable[[], None] = lambda: None) -> Iterator[bool]:
        """Hold a slot. Yields False, without one, when the job was stopped while it waited."""
        ticket = object()
        told = False
        with self._condition:
            self._waiting.append(ticket)
            while not stopped.is_set() and (self._free == 0 or self._waiting[0] is not ticket):
                if not told:
                    told = True
                    on_wait()
                self._condition.wait(0.2)
            self._waiting.remove(ticket)
            held = not stopped.is_set()
            if held:
                self._free -= 1
            self._condition.notify_all()
        try:
            yield held
        finally:
            if held:
                with self._condition:
                    self._free += 1
                    self._condition.notify_all()


class LogStream:
    """A CloudWatch Logs stream, written in batches as the role of what runs; it remembers the last lines."""

    def __init__(self, cloud: Cloud, account: str, region: str, group: str, stream: str, role: RoleSession) -> None:
        self._role = role
        self.group = group
        self.stream = stream
        self.last: deque[str] = deque(maxlen=40)
        self._where = (account, region, group, stream)
        self._cloud = cloud
        self._pending: list[str] = []
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread = cloud.task(f"logs/{stream}", self._flush_until_closed)

    def line(self, text: str) -> None:
        """Append a line."""
        with self._lock:
            self._pending.append(text)
            if text.strip():
                self.last.append(text)

    def close(self) -> None:
        """Write what is left and end."""
        self._closed.set()
        self._thread.join(10)

    def _flush_until_closed(self) -> None:
        while not self._closed.wait(0.5):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        with self._lock:
            lines, self._pending = self._pending, []
        for start in range(0, len(lines), 1000):
            try:
                self._cloud.log(*self._where, lines[start : start + 1000], self._role.client("logs"))
            except (ClientError, BotoCoreError, Fault) as error:
                logger.warning("log lines of %s %s are lost: %s", self.group, self.stream, error)


def algorithm_error(message: str, last_lines: Iterator[str] | deque[str], code: int) -> str:
    """FailureReason of a container that ended with an exit code: its own message, or else its last words."""
    text = message.strip() or "\n".join(list(last_lines)[-_LOG_LINES_IN_REASON:])
    tail = f", exit code: {code}"
    head = "AlgorithmError: "
    room = REASON_LIMIT - len(head) - len(tail)
    return head + (text if len(text) <= room else "…" + text[-(room - 1) :]) + tail


def read_message(path: Path, limit: int = REASON_LIMIT) -> str:
    """What a container left in a message file, or ""."""
    try:
        return path.read_bytes()[:limit].decode(errors="ignore").strip()
    except OSError:
        return ""


def split_uri(uri: str) -> tuple[str, str]:
    """(bucket, key or prefix) of an s3:// URI.

    Raises:
        JobError: it is none.
    """
    if not uri.startswith("s3://"):
        raise JobError(f"ClientError: '{uri}' is not an S3 URI; it must begin with s3://")
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def relative_path(key: str, prefix: str) -> str:
    """Where an object of a prefix goes below the channel's directory.

    A prefix is text, not a directory: `data/tr` takes `data/train.csv` too, which then is `train.csv`.
    """
    if prefix.endswith("/") or not prefix:
        return key[len(prefix) :]
    if key.startswith(prefix + "/"):
        return key[len(prefix) + 1 :]
    return key[prefix.rfind("/") + 1 :]


def download(session: RoleSession, uri: str, data_type: str, target: Path, region: str) -> int:
    """Bring an S3 input to a directory. Returns the number of files.

    Raises:
        JobError: as SageMaker's FailureReason words it.
    """
    target.mkdir(parents=True, exist_ok=True)
    client = session.client("s3")
    bucket, prefix = split_uri(uri)
    try:
        if data_type == "ManifestFile":
            wanted = _manifest(client, bucket, prefix)
        else:
            wanted = [(bucket, key, relative_path(key, prefix)) for key in _keys(client, bucket, prefix)]
        if not wanted:
            raise JobError(_nothing_found(uri, region, session.role_arn, bucket))
        with ThreadPoolExecutor(_PARALLEL_TRANSFERS) as pool:
            list(pool.map(lambda item: _fetch(client, target, *item), wanted))
    except ClientError as error:
        told = error.response["Error"]
        if told["Code"] in ("NoSuchBucket", "AccessDenied", "403"):
            message = _nothing_found(uri, region, session.role_arn, bucket)
            raise JobError(f"{message} Error message from S3: {told['Message']}") from error
        raise JobError(f"ClientError: Data download failed: {told['Code']}: {told['Message']} ({uri})") from error
    return len(wanted)


def _nothing_found(uri: str, region: str, role_arn: str, bucket: str) -> str:
    return (
        f'ClientError: Data download failed: No S3 objects found under S3 URL "{uri}" given in input data source. '
        f"Please ensure that the bucket exists in the selected region ({region}), that objects exist under that S3 "
        f'prefix, and that the role "{role_arn}" has "s3:ListBucket" permissions on bucket "{bucket}".'
    )


def _keys(client: Any, bucket: str, prefix: str) -> list[str]:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return [item["Key"] for page in pages for item in page.get("Contents", []) if not item["Key"].endswith("/")]


def _manifest(client: Any, bucket: str, key: str) -> list[tuple[str, str, str]]:
    body = client.get_object(Bucket=bucket, Key=key)["Body"].read()
    try:
        first, *names = json.loads(body)
        source, prefix = split_uri(first["prefix"])
    except (ValueError, TypeError, KeyError) as error:
        raise JobError(f"ClientError: s3://{bucket}/{key} is not a manifest file: {error}") from error
    return [(source, prefix + name, name) for name in names]


def _fetch(client: Any, target: Path, bucket: str, key: str, relative: str) -> None:
    path = target / relative
    if not path.resolve().is_relative_to(target.resolve()):
        raise JobError(f"ClientError: Data download failed: the key '{key}' leads out of its directory")
    path.parent.mkdir(parents=True, exist_ok=True)
    client.download_file(bucket, key, str(path))


def upload(session: RoleSession, source: Path, uri: str, kms_key: str | None = None) -> int:
    """Put a file, or every file below a directory, in S3. Returns how many. Symbolic links are not followed.

    Raises:
        JobError: S3 refused.
    """
    bucket, prefix = split_uri(uri)
    encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key} if kms_key else {}
    client = session.client("s3")
    if source.is_file():
        work = [(source, prefix)]
    else:
        files = sorted(path for path in source.rglob("*") if path.is_file() and not path.is_symlink())
        work = [(path, f"{prefix.rstrip('/')}/{path.relative_to(source).as_posix()}".lstrip("/")) for path in files]

    def put(item: tuple[Path, str]) -> None:
        client.upload_file(str(item[0]), bucket, item[1], ExtraArgs=encryption or None)

    try:
        with ThreadPoolExecutor(_PARALLEL_TRANSFERS) as pool:
            list(pool.map(put, work))
    except Exception as error:  # boto3 wraps the refusal in S3UploadFailedError
        raise JobError(f"ClientError: Failed to upload data to {uri} as {session.role_arn}: {error}") from error
    return len(work)


def archive(source: Path, target: Path) -> Path:
    """A gzipped tar of what is in a directory."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(target, "w:gz", compresslevel=6) as tar:
        for path in sorted(source.iterdir()) if source.is_dir() else []:
            tar.add(path, arcname=path.name)
    return target


def write_json(path: Path, document: Any) -> None:
    """A configuration file as a container finds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, default=_epoch))


def _epoch(value: Any) -> float:
    if isinstance(value, datetime):
        return value.timestamp()
    raise TypeError(type(value).__name__)


def milliseconds(value: Any) -> Any:
    """A record as SageMaker's events have it: times are milliseconds since the epoch."""
    if isinstance(value, datetime):
        return int(value.timestamp() * 1000)
    if isinstance(value, Mapping):
        return {key: milliseconds(item) for key, item in value.items()}
    if isinstance(value, list):
        return [milliseconds(item) for item in value]
    return value


def emit(cloud: Cloud, detail_type: str, record: Mapping[str, Any], arn: str, account: str, region: str) -> None:
    """SageMaker's state change event: the record as Describe answers it, with its tags as a map."""
    detail = {key: value for key, value in record.items() if not key.startswith("_") and key != "Tags"}
    detail["Tags"] = {item["Key"]: item["Value"] for item in record.get("Tags") or []}
    cloud.emit(
        source="aws.sagemaker", detail_type=detail_type, detail=milliseconds(detail), resources=[arn],
        account=account, region=region,
    )  # fmt: skip


def directory(cloud: Cloud, kind: str, account: str, region: str, name: str) -> Path:
    """A fresh host directory that stands for /opt/ml."""
    path = cloud.home / "sagemaker" / kind / account / region / name
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def stream_name(job: str) -> str:
    """The log stream of a job's only instance."""
    return f"{job}/algo-1-{int(now().timestamp())}"


def process_key(kind: str, account: str, region: str, name: str) -> str:
    """The key by which a job's process is known, and ended."""
    return f"sagemaker/{kind}/{account}/{region}/{name}"
