"""A custom resource that runs a CodeBuild project for a stack and answers when it has ended.

Properties: BuildProject, none where nothing is run; Variables (the build's environment variables: name → text); RunOn
(Create, CreateAndUpdate, or Delete where it has nothing to make); RunOnDelete (true where the build takes back what was
made); EmptyIfUnused (a bucket that is emptied at deletion if nobody has used it); Kept (a list of {Parameter, Value}:
SSM parameters which, where they exist, must have these values, or creation and update fail); KeptBecause (why, for
people). The build's variable STACK_REQUEST is Create, Update or Delete. What the buildspec exports
(`exported-variables`) becomes attributes of the resource. A deletion undoes nothing else: what a build made (packages,
images, a repository's first commit) has owners of its own.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import boto3
from aws_lambda_powertools import Logger

from slipway.functions.response import answer, send
from slipway.functions.unused import empty_if_unused
from slipway.polling import pauses

logger = Logger(service="build-runner")

# CloudFormation has to be told before Lambda ends the function.
RESERVE_SECONDS = 45.0
LOG_LINES = 12
# The identifier of a resource that never came to be; its deletion has nothing to take back.
NEVER_MADE = "none/"
# CodeBuild's own lines about phases, between those of the commands.
FRAME = "[Container]"


class Changed(Exception):
    """What is to be kept would change; the message is the reason that the stack shows."""


class BuildFailed(Exception):
    """The build did not succeed; the message is the reason that the stack shows."""


@logger.inject_lambda_context(log_event=False)  # type: ignore[untyped-decorator] # mypy skips Powertools
def handler(event: dict[str, Any], context: Any) -> None:
    """Entry point of the Lambda function."""
    properties = event["ResourceProperties"]
    kind = event["RequestType"]
    what = f"build/{properties['BuildProject']}" if "BuildProject" in properties else "kept"
    physical_id = event.get("PhysicalResourceId") or f"{what}/{event['RequestId']}"
    logger.info("request", kind=kind, project=properties.get("BuildProject"))
    try:
        data = {}
        if kind != "Delete" and properties.get("Kept"):
            check_kept(boto3.Session().client("ssm"), properties["Kept"], properties.get("KeptBecause", ""))
        if wanted(kind, properties, physical_id):
            seconds = context.get_remaining_time_in_millis() / 1000 - RESERVE_SECONDS
            data = run(boto3.Session(), properties, seconds, kind)
        if kind == "Delete" and (bucket := properties.get("EmptyIfUnused")):
            deleted = empty_if_unused(boto3.Session().client("s3"), bucket, os.environ["NAMESPACE"])
            logger.info("bucket", bucket=bucket, deleted=deleted)
        body = answer(event, "SUCCESS", physical_id, data)
    except Exception as error:
        logger.exception("failed")
        if kind == "Create":
            physical_id = f"{NEVER_MADE}{event['RequestId']}"
        body = answer(event, "FAILED", physical_id, reason=str(error) or type(error).__name__)
    send(event, body)


def wanted(kind: str, properties: Mapping[str, Any], physical_id: str) -> bool:
    """Whether this request runs the build."""
    if "BuildProject" not in properties:
        return False
    if kind == "Delete":
        return str(properties.get("RunOnDelete", "")).lower() == "true" and not physical_id.startswith(NEVER_MADE)
    if kind == "Create":
        return properties.get("RunOn") != "Delete"
    return properties.get("RunOn") == "CreateAndUpdate"


def check_kept(ssm: Any, kept: Sequence[Mapping[str, str]], because: str) -> None:
    """Compare what is given with what was published. In a rollback the two agree again.

    Raises Changed, which names each parameter that would change; what was never published may have any value.
    """
    wanted = {str(item["Parameter"]): str(item["Value"]) for item in kept}
    found = {item["Name"]: item["Value"] for item in ssm.get_parameters(Names=sorted(wanted))["Parameters"]}
    wrong = [
        f"{name} is {found[name]!r}, given {value!r}"
        for name, value in wanted.items()
        if found.get(name, value) != value
    ]
    if wrong:
        raise Changed(f"{'; '.join(wrong)}. {because} Nothing was changed.")


def run(
    session: Any,
    properties: Mapping[str, Any],
    seconds: float,
    kind: str,
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, str]:
    """Run a build to its end; its id as BuildId, and the variables that it exported.

    Raises BuildFailed if it fails or takes longer than `seconds`.
    """
    codebuild = session.client("codebuild")
    variables = [
        {"name": name, "value": str(value), "type": "PLAINTEXT"}
        for name, value in sorted({"STACK_REQUEST": kind, **properties.get("Variables", {})}.items())
    ]
    started = codebuild.start_build(projectName=properties["BuildProject"], environmentVariablesOverride=variables)
    build_id = str(started["build"]["id"])
    deadline = clock() + seconds
    waiting = pauses()
    while True:
        build = codebuild.batch_get_builds(ids=[build_id])["builds"][0]
        if build["buildStatus"] == "SUCCEEDED":
            exported = {item["name"]: item["value"] for item in build.get("exportedEnvironmentVariables", [])}
            return {"BuildId": build_id, **exported}
        if build["buildStatus"] != "IN_PROGRESS":
            raise BuildFailed(_reason(session, build))
        if clock() > deadline:
            raise BuildFailed(f"build {build_id} has not ended after {seconds:.0f} seconds; look at its log")
        sleep(next(waiting))


def _reason(session: Any, build: Mapping[str, Any]) -> str:
    """Which phase failed and why, and the end of the log."""
    parts = [f"build {build['id']} ended as {build['buildStatus']}"]
    for phase in build.get("phases", []):
        if phase.get("phaseStatus") in {"FAILED", "FAULT", "TIMED_OUT", "CLIENT_ERROR"}:
            parts += [f"{phase['phaseType']}: {context.get('message', '')}" for context in phase.get("contexts", [])]
    logs = build.get("logs", {})
    if logs.get("groupName") and logs.get("streamName"):
        try:
            events = session.client("logs").get_log_events(
                logGroupName=logs["groupName"], logStreamName=logs["streamName"], limit=100, startFromHead=False
            )["events"]
            lines = [event["message"].rstrip() for event in events]
            parts += [line for line in lines if line and not line.startswith(FRAME)][-LOG_LINES:]
        except Exception:
            logger.exception("the log of the build cannot be read")
    return "\n".join(parts)
