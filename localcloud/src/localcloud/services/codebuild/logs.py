"""A build's log: streamed to CloudWatch Logs, written to S3 at the end, secrets hidden."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from botocore.exceptions import BotoCoreError, ClientError

from localcloud.core import Credentials
from localcloud.services.codebuild.sources import split_location

_FLUSH_SECONDS = 0.5
_BATCH = 1000
_LONGEST = 200_000  # CloudWatch Logs refuses events over 256 KB
_KEPT_FOR_S3 = 200_000
_HIDDEN = "***"


def locations(config: Mapping[str, Any], *, project: str, build_uuid: str, account: str, region: str) -> dict[str, Any]:
    """The build's `logs` member, from the project's logsConfig."""
    watch = config.get("cloudWatchLogs") or {"status": "ENABLED"}
    s3 = config.get("s3Logs") or {"status": "DISABLED"}
    found: dict[str, Any] = {"cloudWatchLogs": watch, "s3Logs": s3}
    if watch["status"] == "ENABLED":
        group = watch.get("groupName") or f"/aws/codebuild/{project}"
        stream = f"{watch['streamName']}/{build_uuid}" if watch.get("streamName") else build_uuid
        found |= {
            "groupName": group,
            "streamName": stream,
            "deepLink": f"https://console.aws.amazon.com/cloudwatch/home?region={region}#logEvent:"
            f"group={quote(group, safe='')};stream={quote(stream, safe='')}",
            "cloudWatchLogsArn": f"arn:aws:logs:{region}:{account}:log-group:{group}:log-stream:{stream}",
        }
    if s3["status"] == "ENABLED":
        bucket, prefix = split_location(s3.get("location", ""))
        key = "/".join(part for part in (prefix.strip("/"), f"{build_uuid}.gz") if part)
        found |= {
            "s3LogsArn": f"arn:aws:s3:::{bucket}/{key}",
            "s3DeepLink": f"https://s3.console.aws.amazon.com/s3/object/{bucket}/{key}?region={region}",
        }
    return found


class LogWriter:
    """Takes lines; a thread sends them in batches.

    Args:
        logs: the build's `logs` member.
        credentials: of the service role, which on AWS writes the log too.
        secrets: gives the texts to hide; asked for each line, because they become known as the build goes on.
    """

    def __init__(
        self, logs: Mapping[str, Any], credentials: Credentials | None, secrets: Callable[[], set[str]]
    ) -> None:
        self._logs = logs
        self._secrets = secrets
        self._pending: list[tuple[int, str]] = []
        self._all: list[str] = []
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closing = False
        self._credentials = credentials
        self._cloudwatch = credentials.client("logs") if credentials and "groupName" in logs else None
        self.problem = ""
        self._thread = threading.Thread(target=self._loop, name="codebuild-log", daemon=True)
        self._thread.start()

    def line(self, text: str) -> None:
        """One line of a command's output."""
        for secret in sorted(self._secrets(), key=len, reverse=True):
            if len(secret) > 2 and secret in text:
                text = text.replace(secret, _HIDDEN)
        stamp = int(datetime.now(UTC).timestamp() * 1000)
        with self._lock:
            if len(self._all) < _KEPT_FOR_S3:
                self._all.append(text)
            for start in range(0, len(text) or 1, _LONGEST):
                self._pending.append((stamp, text[start : start + _LONGEST] or " "))
            if len(self._pending) >= _BATCH:
                self._wake.set()

    def note(self, text: str) -> None:
        """One line of CodeBuild itself."""
        self.line(f"[Container] {datetime.now(UTC):%Y/%m/%d %H:%M:%S.%f} {text}")

    def tail(self, count: int) -> list[str]:
        """The last lines."""
        with self._lock:
            return self._all[-count:]

    def _loop(self) -> None:
        while not self._closing:
            self._wake.wait(_FLUSH_SECONDS)
            self._wake.clear()
            self._flush()

    def _flush(self) -> None:
        while True:
            with self._lock:
                batch, self._pending = self._pending[:_BATCH], self._pending[_BATCH:]
            if not batch or self._cloudwatch is None:
                return
            try:
                self._send(batch)
            except (ClientError, BotoCoreError) as error:
                self.problem = str(error)
                self._cloudwatch = None

    def _send(self, batch: list[tuple[int, str]]) -> None:
        client: Any = self._cloudwatch
        request = {
            "logGroupName": self._logs["groupName"],
            "logStreamName": self._logs["streamName"],
            "logEvents": [{"timestamp": stamp, "message": text} for stamp, text in batch],
        }
        try:
            client.put_log_events(**request)
            return
        except client.exceptions.ResourceNotFoundException:
            pass
        group, stream = request["logGroupName"], request["logStreamName"]
        for _ in range(2):
            try:
                client.create_log_stream(logGroupName=group, logStreamName=stream)
                break
            except client.exceptions.ResourceAlreadyExistsException:
                break
            except client.exceptions.ResourceNotFoundException:
                try:
                    client.create_log_group(logGroupName=group)
                except client.exceptions.ResourceAlreadyExistsException:
                    continue
        client.put_log_events(**request)

    def close(self) -> str:
        """Send the rest and write the log to S3. Returns what went wrong, if anything did."""
        self._closing = True
        self._wake.set()
        self._thread.join(30)
        self._flush()
        arn = self._logs.get("s3LogsArn")
        if arn and self._credentials:
            import gzip

            bucket, key = split_location(arn)
            body = gzip.compress(("\n".join(self._all) + "\n").encode())
            try:
                self._credentials.client("s3").put_object(Bucket=bucket, Key=key, Body=body)
            except (ClientError, BotoCoreError) as error:
                self.problem = str(error)
        return self.problem
