"""Where the time of the loop goes, from a push to the registered model: the project's own steps, and all the rest."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.bench.cloud import Cloud

PROJECT = "flight-delays"
_OWN_COMMANDS = re.compile(r"\[Container\] \S+ \S+ Running command make (lint|test)\b")
_BUILD_ENDED = "Phase complete: BUILD"


@dataclass(frozen=True)
class Loop:
    """Seconds from push to registered, and those of them in the project's own scripts and tests."""

    seconds: float
    own: float
    split: dict[str, float]

    @property
    def overhead(self) -> float:
        """What is not the project's own."""
        return self.seconds - self.own


def measure(cloud: Cloud, clone: Path) -> Loop:
    """Read off the first build of the demonstration.

    The push begins when the commit has been made, which is when git wrote the branch in the clone. The end is that of
    the build pipeline, a little after the registration.
    """
    pushed = (clone / ".git" / "refs" / "heads" / "main").stat().st_mtime
    pipelines, pipeline = cloud.client("codepipeline"), f"slipway-{PROJECT}-build"
    commit = (clone / ".git" / "refs" / "heads" / "main").read_text().strip()
    execution = next(
        item
        for item in pipelines.list_pipeline_executions(pipelineName=pipeline)["pipelineExecutionSummaries"]
        if any(source["revisionId"] == commit for source in item.get("sourceRevisions", []))
    )
    actions = pipelines.list_action_executions(
        pipelineName=pipeline, filter={"pipelineExecutionId": execution["pipelineExecutionId"]}
    )["actionExecutionDetails"]
    actions.sort(key=lambda action: action["startTime"])
    ended = max(action["lastUpdateTime"] for action in actions).timestamp()
    split = {"push until the pipeline's first action": actions[0]["startTime"].timestamp() - pushed}
    for action in actions:
        split[f"{action['stageName']} ▸ {action['actionName']}"] = _between(
            action["startTime"], action["lastUpdateTime"]
        )
    own = {"  own: lint and tests": _tests(cloud), **_jobs(cloud)}
    return Loop(ended - pushed, sum(own.values()), split | own)


def _between(begin: datetime, end: datetime) -> float:
    return (end - begin).total_seconds()


def _tests(cloud: Cloud) -> float:
    """Seconds in `make lint` and `make test`, by the Test build's log."""
    codebuild = cloud.client("codebuild")
    ids = codebuild.list_builds_for_project(projectName=f"slipway-{PROJECT}-test", sortOrder="ASCENDING")["ids"]
    logs = codebuild.batch_get_builds(ids=ids[:1])["builds"][0]["logs"]
    events = _events(cloud.client("logs"), logs["groupName"], logs["streamName"])
    begun = next(event["timestamp"] for event in events if _OWN_COMMANDS.search(event["message"]))
    ended = next(event["timestamp"] for event in events if _BUILD_ENDED in event["message"])
    return float(ended - begun) / 1000


def _events(logs: Any, group: str, stream: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    answer = logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True)
    while answer["events"]:
        found += answer["events"]
        token = answer["nextForwardToken"]
        answer = logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True, nextToken=token)
        if answer["nextForwardToken"] == token:
            break
    return found


def _jobs(cloud: Cloud) -> dict[str, float]:
    """Seconds that the containers of the SageMaker jobs ran, as the jobs report them."""
    sagemaker, found = cloud.client("sagemaker"), {}
    for summary in sagemaker.list_processing_jobs(SortOrder="Ascending")["ProcessingJobSummaries"]:
        job = sagemaker.describe_processing_job(ProcessingJobName=summary["ProcessingJobName"])
        found[f"  own: {_step(job['ProcessingJobName'])}"] = _between(
            job["ProcessingStartTime"], job["ProcessingEndTime"]
        )
    for summary in sagemaker.list_training_jobs(SortOrder="Ascending")["TrainingJobSummaries"]:
        job = sagemaker.describe_training_job(TrainingJobName=summary["TrainingJobName"])
        training = next(item for item in job["SecondaryStatusTransitions"] if item["Status"] == "Training")
        found[f"  own: {_step(job['TrainingJobName'])}"] = _between(training["StartTime"], training["EndTime"])
    return found


def _step(job: str) -> str:
    """The pipeline's step by the name of its job: pipelines-{execution}-{step}-{suffix}."""
    parts = job.split("-")
    return "-".join(parts[2:-1]) if parts[0] == "pipelines" and len(parts) > 3 else job
