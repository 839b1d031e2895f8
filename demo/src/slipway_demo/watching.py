"""Follow a pipeline and a stack while they run."""

from __future__ import annotations

import time
from typing import Any

from slipway_demo.console import Journal, Stop

_ICONS = {"Succeeded": "✓", "Failed": "✗", "InProgress": "…", "Abandoned": "–", "Stopped": "–"}


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


def has_failed(pipelines: Any, pipeline: str) -> bool:
    """Whether the newest execution failed."""
    newest = pipelines.list_pipeline_executions(pipelineName=pipeline, maxResults=1)["pipelineExecutionSummaries"]
    return bool(newest) and newest[0]["status"] == "Failed"


def follow(journal: Journal, pipelines: Any, pipeline: str, execution: str, until_action: str | None = None) -> str:
    """Print each action as it changes, until the execution ends or `until_action` waits. Returns the status.

    Raises:
        Stop: the execution failed; the message names action and cause.
    """
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
            raise Stop(f"{pipeline} {status.lower()}: {_cause(details)}")
        time.sleep(0.5)


def _cause(details: list[dict[str, Any]]) -> str:
    for action in details:
        if action["status"] == "Failed":
            result = action.get("output", {}).get("executionResult", {})
            message = result.get("errorDetails", {}).get("message") or result.get("externalExecutionSummary", "")
            return f"{action['stageName']} ▸ {action['actionName']}: {message}"
    return "no action failed"
