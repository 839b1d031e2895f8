"""Follow a pipeline and a stack while they run."""

from __future__ import annotations

import re
import time
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from slipway_demo.console import Journal, Stop
from slipway_demo.people import Person

_ICONS = {"Succeeded": "✓", "Failed": "✗", "InProgress": "…", "Abandoned": "–", "Stopped": "–"}
_LOG_EVENTS, _LOG_LINES = 200, 24


def execution_of(pipelines: Any, pipeline: str, revision: str, timeout: float = 60) -> str:
    """The id of the execution that a revision started.

    Raises:
        Stop: none started in time.
    """
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        for summary in pipelines.list_pipeline_executions(pipelineName=pipeline)["pipelineExecutionSummaries"]:
            if any(source.get("revisionId") == revision for source in summary.get("sourceRevisions", [])):
                return str(summary["pipelineExecutionId"])
        time.sleep(0.3)
    raise Stop(f"no execution of {pipeline} started for revision {revision} within {timeout:.0f} s")


def newest_execution(pipelines: Any, pipeline: str, known: set[str], timeout: float = 60) -> str:
    """The id of an execution that is not among the known.

    Raises:
        Stop: none started in time.
    """
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        for execution in executions(pipelines, pipeline):
            if execution not in known:
                return execution
        time.sleep(0.3)
    raise Stop(f"no execution of {pipeline} started within {timeout:.0f} s")


def executions(pipelines: Any, pipeline: str) -> list[str]:
    """Ids of all executions, newest first."""
    answer = pipelines.list_pipeline_executions(pipelineName=pipeline)
    return [str(summary["pipelineExecutionId"]) for summary in answer["pipelineExecutionSummaries"]]


def runs(pipelines: Any, pipeline: str, but: str) -> bool:
    """Whether an execution is under way, other than of a commit whose message begins with `but`."""
    newest = pipelines.list_pipeline_executions(pipelineName=pipeline, maxResults=5)["pipelineExecutionSummaries"]
    return any(
        summary["status"] == "InProgress"
        and not any(source.get("revisionSummary", "").startswith(but) for source in summary.get("sourceRevisions", []))
        for summary in newest
    )


def has_failed(pipelines: Any, pipeline: str) -> bool:
    """Whether the newest execution failed."""
    newest = pipelines.list_pipeline_executions(pipelineName=pipeline, maxResults=1)["pipelineExecutionSummaries"]
    return bool(newest) and newest[0]["status"] == "Failed"


def follow(journal: Journal, person: Person, pipeline: str, execution: str, until_action: str | None = None) -> str:
    """Print each action as it changes, until the execution ends or `until_action` waits. Returns the status.

    Raises:
        Stop: the execution failed; the message names action and cause, with the end of its log.
    """
    pipelines = person.client("codepipeline")
    shown: dict[str, str] = {}
    while True:
        status = pipelines.get_pipeline_execution(pipelineName=pipeline, pipelineExecutionId=execution)[
            "pipelineExecution"
        ]["status"]
        details = pipelines.list_action_executions(
            pipelineName=pipeline, filter={"pipelineExecutionId": execution}, maxResults=100
        )["actionExecutionDetails"]
        for action in sorted(details, key=lambda item: item["startTime"]):
            key, now = action["actionExecutionId"], action["status"]
            if shown.get(key) == now:
                continue
            shown[key] = now
            seconds = (action["lastUpdateTime"] - action["startTime"]).total_seconds()
            took = f"  {seconds:.1f} s" if now != "InProgress" else ""
            journal.line(f"{_ICONS.get(now, now)} {action['stageName']} ▸ {action['actionName']}{took}")
            if now == "InProgress" and action["actionName"] == until_action:
                return "Waiting"
        if status == "Succeeded":
            return "Succeeded"
        if status in ("Failed", "Stopped", "Superseded", "Cancelled"):
            raise Stop(f"{pipeline} {status.lower()}: {_cause(details, person)}")
        time.sleep(0.5)


def _cause(details: list[dict[str, Any]], person: Person) -> str:
    for action in details:
        if action["status"] == "Failed":
            result = action.get("output", {}).get("executionResult", {})
            message = result.get("errorDetails", {}).get("message") or result.get("externalExecutionSummary", "")
            log = _log(result.get("logStreamARN"), person)
            return f"{action['stageName']} ▸ {action['actionName']}: {message}{log}"
    return "no action failed; it was stopped, or a newer one took its place"


def _log(arn: str | None, person: Person) -> str:
    """What a build's commands said last: its message knows their exit code alone. Empty where there is no log."""
    found = re.fullmatch(r"arn:[^:]+:logs:[^:]*:\d*:log-group:([^:]+):log-stream:(.+)", arn or "")
    if not found:
        return ""
    try:
        events = person.client("logs").get_log_events(
            logGroupName=found[1], logStreamName=found[2], limit=_LOG_EVENTS, startFromHead=False
        )["events"]
    except (ClientError, BotoCoreError):
        return ""  # it only adds to a failure that is told anyway
    lines = [line for event in events for line in event["message"].rstrip().splitlines()]
    said = [line for line in lines if line and not line.startswith("[Container]")][-_LOG_LINES:]
    return "".join(f"\n    {line}" for line in [*said, f"(log: {found[1]}, {found[2]})"])
