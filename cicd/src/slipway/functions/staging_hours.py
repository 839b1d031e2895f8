"""Removes the endpoints of staging when the working day is over: they cost by the hour, and a release makes them again.

Runs on a schedule. It deletes stacks, not endpoints: CloudFormation would not know of an endpoint that is gone, and the
next release could not update it. Without the stack the release makes it anew, and what the verification found before
stays with the release. A stack that changed within the last two hours is left alone, for the verification that reads
from it; so is one that something goes on in, and one without an endpoint, which costs nothing.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
from aws_lambda_powertools import Logger
from botocore.exceptions import ClientError

logger = Logger(service="staging-hours")

QUIET = timedelta(hours=2)
WHOLE = {"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"}


@logger.inject_lambda_context(log_event=False)  # type: ignore[untyped-decorator] # mypy skips Powertools
def handler(event: dict[str, Any], context: Any) -> None:
    """Entry point of the Lambda function: the schedule that says that the day is over."""
    remove(boto3.client("cloudformation"), os.environ["NAMESPACE"], datetime.now(UTC))


def remove(cloudformation: Any, namespace: str, now: datetime) -> dict[str, list[str]]:
    """Delete the stack of every endpoint of staging that is whole and at rest.

    Returns {"removed": [...], "left": [...]}, names of stacks; those without an endpoint are in neither.
    Raises ClientError when all have been tried, and Lambda tries again: what is gone is not there any more.
    """
    found: dict[str, list[str]] = {"removed": [], "left": []}
    refused: ClientError | None = None
    listed = cloudformation.get_paginator("list_stacks").paginate(StackStatusFilter=sorted(WHOLE))
    for page in listed:
        for summary in page["StackSummaries"]:
            name = summary["StackName"]
            if not _of_staging(summary, namespace):
                continue
            try:
                stack = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
                if not any(output["OutputKey"] == "EndpointName" for output in stack.get("Outputs", [])):
                    continue
                if stack["StackStatus"] not in WHOLE or now - _changed(stack) < QUIET:
                    found["left"].append(name)
                    continue
                cloudformation.delete_stack(StackName=name)
            except ClientError as error:
                if "does not exist" in error.response["Error"]["Message"]:
                    continue
                logger.exception("refused", stack=name)
                refused = error
                continue
            found["removed"].append(name)
    logger.info("working hours are over", **found)
    if refused:
        raise refused
    return found


def _of_staging(summary: dict[str, Any], namespace: str) -> bool:
    name = str(summary["StackName"])
    return "ParentId" not in summary and name.startswith(f"{namespace}-") and name.endswith("-staging")


def _changed(stack: dict[str, Any]) -> datetime:
    moment: datetime = stack.get("LastUpdatedTime") or stack["CreationTime"]
    return moment
