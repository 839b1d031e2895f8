"""Custom::Stamp: fills the repository of a newly launched project.

The rendering itself is a CodeBuild job, since it needs git and the template's hooks; this function starts it, waits for
it, and tells CloudFormation. Properties: Project, Repository, and the template's answers Dataset, Description, Owner.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import boto3
from aws_lambda_powertools import Logger

from slipway.functions.response import answer, send
from slipway.pipeline.logs import tail

logger = Logger(service="slipway-stamp")

# Lambda ends after 15 minutes; a minute is kept for telling CloudFormation why.
PATIENCE_SECONDS = 14 * 60
POLL_SECONDS = 3
ANSWERS = ("Dataset", "Description", "Owner")


class StampFailed(Exception):
    """The stamp build did not succeed; the message is the reason that the launch shows."""


@logger.inject_lambda_context(log_event=False)
def handler(event: dict[str, Any], context: Any) -> None:
    """Entry point of the Lambda function."""
    properties = event["ResourceProperties"]
    physical_id = event.get("PhysicalResourceId") or f"stamp/{properties.get('Repository', 'unknown')}"
    logger.info("request", request_type=event["RequestType"], repository=properties.get("Repository"))
    try:
        # Delete leaves the repository alone: it is removed with the stack's own resources, or kept. An update finds
        # main where it is; the project's people own it now.
        data = {} if event["RequestType"] == "Delete" else stamp(boto3.Session(), properties)
        body = answer(event, "SUCCESS", physical_id, data)
    except Exception as error:
        logger.exception("failed")
        body = answer(event, "FAILED", physical_id, reason=str(error) or type(error).__name__)
    send(event, body)


def stamp(
    session: Any,
    properties: Mapping[str, str],
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, str]:
    """Run the stamp build to its end. Returns CommitId and CloneUrl. Raises StampFailed with the reason."""
    codebuild, codecommit = session.client("codebuild"), session.client("codecommit")
    answers = {name.lower(): properties[name] for name in ANSWERS if properties.get(name)}
    variables = {
        "SLIPWAY_PROJECT": properties["Project"],
        "SLIPWAY_REPOSITORY": properties["Repository"],
        "SLIPWAY_ANSWERS": json.dumps(answers),
    }
    build_id = codebuild.start_build(
        projectName=os.environ["SLIPWAY_STAMP_BUILD"],
        environmentVariablesOverride=[
            {"name": name, "value": value, "type": "PLAINTEXT"} for name, value in variables.items()
        ],
    )["build"]["id"]
    logger.info("started", build=build_id)
    deadline = clock() + PATIENCE_SECONDS
    while True:
        build = codebuild.batch_get_builds(ids=[build_id])["builds"][0]
        if build["buildStatus"] != "IN_PROGRESS":
            break
        if clock() > deadline:
            raise StampFailed(f"the stamp build {build_id} has not ended after {PATIENCE_SECONDS // 60} minutes")
        sleep(POLL_SECONDS)
    if build["buildStatus"] != "SUCCEEDED":
        raise StampFailed(_reason(session, build))
    repository = properties["Repository"]
    return {
        "CommitId": codecommit.get_branch(repositoryName=repository, branchName="main")["branch"]["commitId"],
        "CloneUrl": codecommit.get_repository(repositoryName=repository)["repositoryMetadata"]["cloneUrlHttp"],
    }


def _reason(session: Any, build: Mapping[str, Any]) -> str:
    contexts = [
        context["message"]
        for phase in build.get("phases", [])
        for context in phase.get("contexts", [])
        if context.get("message")
    ]
    logs = build.get("logs", {})
    lines: list[str] = []
    if logs.get("groupName") and logs.get("streamName"):
        try:
            lines = tail(session.client("logs"), logs["groupName"], logs["streamName"], 10)
        except Exception:
            logger.exception("the log of the build cannot be read")
    return "\n".join([f"the stamp build {build['id']} ended as {build['buildStatus']}", *contexts, *lines])
