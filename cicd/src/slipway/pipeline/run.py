"""Runs a SageMaker pipeline and watches it to its end."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from botocore.exceptions import ClientError

from slipway.errors import SlipwayError
from slipway.pipeline.logs import last_lines
from slipway.pipeline.plan import REPORT, STEPS
from slipway.polling import pauses
from slipway.progress import Progress, duration

State = Literal["running", "ended", "not started"]
RUNNING = {"Executing", "Stopping", "Starting"}


@dataclass
class Execution:
    """An execution that has come to its end."""

    arn: str
    status: str
    steps: list[dict[str, Any]] = field(default_factory=list)

    def model_package(self) -> str | None:
        """ARN of the model package that the execution registered, if it did."""
        for step in self.steps:
            arn = step.get("Metadata", {}).get("RegisterModel", {}).get("Arn")
            if arn:
                return str(arn)
        return None


def upsert(sagemaker: Any, name: str, definition: str, role_arn: str, tags: Mapping[str, str]) -> str:
    """Create the pipeline, or update it where it differs. Returns what was done: created, updated or unchanged."""
    try:
        current = sagemaker.describe_pipeline(PipelineName=name)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFound":
            raise
        labels = [{"Key": key, "Value": value} for key, value in sorted(tags.items())]
        sagemaker.create_pipeline(PipelineName=name, PipelineDefinition=definition, RoleArn=role_arn, Tags=labels)
        return "created"
    if current["PipelineDefinition"] == definition and current["RoleArn"] == role_arn:
        return "unchanged"
    sagemaker.update_pipeline(PipelineName=name, PipelineDefinition=definition, RoleArn=role_arn)
    return "updated"


def description(version: str, build: str, words: str) -> str:
    """What an execution is called, so that the build that started it can be found by it."""
    return f"{version} [{build}] {words}"


def state(sagemaker: Any, name: str, version: str, build: str) -> State:
    """What became of the execution that a build started for a version."""
    try:
        for page in sagemaker.get_paginator("list_pipeline_executions").paginate(
            PipelineName=name, SortBy="CreationTime", SortOrder="Descending"
        ):
            for item in page["PipelineExecutionSummaries"]:
                if item.get("PipelineExecutionDescription", "").startswith(description(version, build, "")):
                    return "running" if item["PipelineExecutionStatus"] in RUNNING else "ended"
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFound":
            raise
    return "not started"


def start(sagemaker: Any, name: str, parameters: Mapping[str, str], token: str, description: str) -> str:
    """Start an execution and return its ARN. The same token starts the same execution, once."""
    answer = sagemaker.start_pipeline_execution(
        PipelineName=name,
        PipelineExecutionDescription=description[:3072],
        PipelineParameters=[{"Name": key, "Value": value} for key, value in parameters.items()],
        ClientRequestToken=token,
    )
    return str(answer["PipelineExecutionArn"])


def wait(sagemaker: Any, arn: str, progress: Progress, *, sleep: Any = time.sleep) -> Execution:
    """Watch an execution to its end; says every change, and what runs every 15 seconds."""
    said: dict[str, str] = {}
    waiting = pauses()
    while True:
        status = sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)["PipelineExecutionStatus"]
        steps = _steps(sagemaker, arn)
        for step in steps:
            line = _line(step)
            if said.get(step["StepName"]) != line:
                said[step["StepName"]] = line
                progress.say(line)
        if status not in RUNNING:
            return Execution(arn, status, steps)
        active = [step["StepName"] for step in steps if step["StepStatus"] in RUNNING]
        progress.beat(f"still running: {', '.join(active) or 'between steps'}")
        sleep(next(waiting))


def _steps(sagemaker: Any, arn: str) -> list[dict[str, Any]]:
    pages = sagemaker.get_paginator("list_pipeline_execution_steps").paginate(
        PipelineExecutionArn=arn, SortOrder="Ascending"
    )
    return [step for page in pages for step in page["PipelineExecutionSteps"]]


def _line(step: Mapping[str, Any]) -> str:
    line = f"{step['StepName']}: {step['StepStatus'].lower()}"
    if "StartTime" in step and "EndTime" in step:
        line += f" in {duration((step['EndTime'] - step['StartTime']).total_seconds())}"
    if step.get("CacheHitResult"):
        line += " (taken from the cache)"
    outcome = step.get("Metadata", {}).get("Condition", {}).get("Outcome")
    return f"{line}: {'met' if outcome == 'True' else 'not met'}" if outcome else line


def evaluation_uri(sagemaker: Any, execution: Execution) -> str:
    """Where the evaluation that an execution ran, or took from the cache, put its report; nothing if there is none."""
    arns = [
        step.get("Metadata", {}).get("ProcessingJob", {}).get("Arn", "")
        for step in execution.steps
        if step["StepName"] == STEPS[-1]
    ]
    if not arns or not arns[0]:
        return ""
    job = sagemaker.describe_processing_job(ProcessingJobName=arns[0].rpartition("/")[2])
    found = {item["OutputName"]: item["S3Output"]["S3Uri"] for item in job["ProcessingOutputConfig"]["Outputs"]}
    return f"{found['evaluation']}/{REPORT}" if "evaluation" in found else ""


def failure(execution: Execution, session: Any, reason: str = "") -> SlipwayError:
    """What went wrong: the step, its reason, and the last lines of its log."""
    parts = [f"the SageMaker pipeline ended as {execution.status}: {execution.arn}"]
    if reason:
        parts.append(reason)
    for step in execution.steps:
        if step["StepStatus"] != "Failed":
            continue
        parts.append(f"{step['StepName']}: {step.get('FailureReason') or 'no reason given'}")
        lines = last_lines(session, step.get("Metadata", {}))
        if lines:
            parts.append(f"last lines of the log of {step['StepName']}:")
            parts += [f"    {line}" for line in lines]
    return SlipwayError("\n".join(parts))
