"""Custom resources around a Studio domain, which CloudFormation deletes without what hangs on it.

`Part: Contents` is made after the domain, so it goes first: its deletion removes the apps, spaces and user profiles
that people made, without which DeleteDomain is refused. `Keep` names profiles that the stack removes itself.
`Part: User` is made after a user profile, so it goes first: its deletion removes the apps and spaces of that profile,
without which DeleteUserProfile is refused.
`Part: Homes` is made before the domain, so it goes last: its deletion removes the file system of the homes, which
CloudFormation cannot ask DeleteDomain to remove, its mount targets and the two security groups of its traffic, without
which the VPC cannot be deleted. `AtDeletion: Retain` keeps the file system itself.

A schedule calls it too, with `Part: Hours` and no request: it stops the apps of a domain (`studio_hours`).

Everything can be repeated: what is gone already is no error, and a deletion that ran out of time goes on where it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import boto3
from aws_lambda_powertools import Logger

from slipway.functions import studio_contents, studio_homes, studio_hours
from slipway.functions.response import answer, send

logger = Logger(service="studio-cleanup")

# CloudFormation has to be told before Lambda ends the function.
RESERVE_SECONDS = 45.0


@logger.inject_lambda_context(log_event=False)  # type: ignore[untyped-decorator] # mypy skips Powertools
def handler(event: dict[str, Any], context: Any) -> None:
    """Entry point of the Lambda function: a request of a stack, or the schedule that says that the day is over."""
    if event.get("Part") == "Hours":
        studio_hours.stop(boto3.client("sagemaker"), event["DomainId"])
        return
    properties, kind = event["ResourceProperties"], event["RequestType"]
    # Never another id: CloudFormation would take that for a replacement and delete "the old one", that is, the homes.
    physical_id = event.get("PhysicalResourceId") or f"studio/{properties.get('Part')}/{event['RequestId']}"
    logger.info("request", kind=kind, part=properties.get("Part"))
    try:
        seconds = context.get_remaining_time_in_millis() / 1000 - RESERVE_SECONDS
        act(boto3.Session(), kind, properties, Deadline(seconds))
        body = answer(event, "SUCCESS", physical_id)
    except Exception as error:
        logger.exception("failed")
        body = answer(event, "FAILED", physical_id, reason=str(error) or type(error).__name__)
    send(event, body)


class Deadline:
    """Time that is left for waiting."""

    def __init__(
        self,
        seconds: float,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sleep, self._clock = sleep, clock
        self._end = clock() + seconds

    def wait(self, what: str, pause: float = 5.0) -> None:
        """Wait a little. Raises TimeoutError that says what was waited for when there is no time left."""
        if self._clock() + pause > self._end:
            raise TimeoutError(f"{what}: still there; delete the stack again to go on")
        self._sleep(pause)


def act(session: Any, kind: str, properties: dict[str, Any], deadline: Deadline) -> None:
    """Do what a request asks for. Raises what AWS raises, and TimeoutError."""
    part = properties.get("Part")
    if part == "Contents":
        domain = properties["DomainId"]
        if kind == "Delete":
            studio_contents.empty(session.client("sagemaker"), domain, set(properties.get("Keep", [])), deadline.wait)
        elif properties.get("HomeFileSystemId"):
            tags = {name: properties[name] for name in ("Namespace", "Project", "CostCenter")}
            studio_homes.tag(session.client("efs"), properties["HomeFileSystemId"], tags)
    elif part == "User":
        if kind == "Delete":
            studio_contents.empty_profile(
                session.client("sagemaker"), properties["DomainId"], properties["UserProfileName"], deadline.wait
            )
    elif part == "Homes":
        if kind == "Delete":
            keep = properties.get("AtDeletion") == "Retain"
            studio_homes.remove(session, properties["Namespace"], properties["VpcId"], keep=keep, wait=deadline.wait)
    else:
        raise ValueError(f"Part is {part!r}; allowed: Contents, Homes, User")
