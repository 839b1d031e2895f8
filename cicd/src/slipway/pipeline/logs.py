"""The last lines of a SageMaker job's log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

_GROUPS = {
    "ProcessingJob": "/aws/sagemaker/ProcessingJobs",
    "TrainingJob": "/aws/sagemaker/TrainingJobs",
    "TransformJob": "/aws/sagemaker/TransformJobs",
    # The names of its trainings begin with the name of the tuning.
    "TuningJob": "/aws/sagemaker/TrainingJobs",
}
LINES = 20


def last_lines(session: Any, metadata: Mapping[str, Any], count: int = LINES) -> list[str]:
    """The end of the log of the job that a pipeline step's metadata name; nothing if there is none or it is not ours.

    It only adds to a failure that is told anyway, so it never fails itself.
    """
    for kind, group in _GROUPS.items():
        arn = metadata.get(kind, {}).get("Arn")
        if arn:
            try:
                return tail(session.client("logs"), group, str(arn).rpartition("/")[2], count)
            except (ClientError, BotoCoreError):
                return []
    return []


def tail(logs: Any, group: str, prefix: str, count: int = LINES) -> list[str]:
    """The last lines of the newest stream of a log group whose name begins with `prefix`."""
    streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=prefix)["logStreams"]
    if not streams:
        return []
    newest = max(streams, key=lambda stream: stream.get("lastEventTimestamp", 0))
    events = logs.get_log_events(
        logGroupName=group, logStreamName=newest["logStreamName"], limit=count, startFromHead=False
    )["events"]
    return [event["message"].rstrip() for event in events][-count:]
