"""Deploys a CloudFormation stack by change set and tells what happens, with durations."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from slipway.errors import SlipwayError
from slipway.polling import pauses
from slipway.progress import Progress, duration

CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
_NOTHING = ("didn't contain changes", "No updates are to be performed", "no changes")
_FAILED = ("CREATE_FAILED", "UPDATE_FAILED", "DELETE_FAILED")


@dataclass(frozen=True)
class Stack:
    """A stack to be deployed, with the role that CloudFormation takes for it (none: the caller's)."""

    name: str
    template: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    role_arn: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def role(self) -> dict[str, str]:
        """The role as an argument of a request."""
        return {"RoleARN": self.role_arn} if self.role_arn else {}


def deploy(cloudformation: Any, stack: Stack, progress: Progress, *, sleep: Any = time.sleep) -> dict[str, str]:
    """Create or update a stack and wait. Returns its outputs. Raises SlipwayError with the first failure's reason."""
    status = _status(cloudformation, stack.name)
    # REVIEW_IN_PROGRESS is a stack that has had a change set but no resource yet; nothing goes on in it.
    if status and status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS":
        progress.say(f"{stack.name}: {status.lower()} since an earlier deployment; waiting for its end")
        earlier = {event["EventId"] for event in _events(cloudformation, stack.name)}
        status = _wait(cloudformation, stack.name, progress, earlier, sleep)
    if status in {"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED"}:
        progress.say(f"{stack.name}: removing what a failed creation left")
        cloudformation.delete_stack(StackName=stack.name, **stack.role)
        _wait(cloudformation, stack.name, progress, set(), sleep)
        status = None
    creating = status in {None, "REVIEW_IN_PROGRESS", "DELETE_COMPLETE"}
    # An event's identifier tells what was said; those of earlier deployments have been said then.
    said = set() if creating else {event["EventId"] for event in _events(cloudformation, stack.name)}
    started = progress.elapsed
    if not _change(cloudformation, stack, "CREATE" if creating else "UPDATE", sleep):
        progress.say(f"{stack.name}: unchanged")
        return outputs(cloudformation, stack.name)
    final = _wait(cloudformation, stack.name, progress, said, sleep)
    if final not in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}:
        raise SlipwayError(f"stack {stack.name} ended as {final}: {_first_failure(cloudformation, stack.name)}")
    progress.say(f"{stack.name}: {final.lower()} in {duration(progress.elapsed - started)}")
    return outputs(cloudformation, stack.name)


def outputs(cloudformation: Any, name: str) -> dict[str, str]:
    """A stack's outputs."""
    found = cloudformation.describe_stacks(StackName=name)["Stacks"][0].get("Outputs", [])
    return {item["OutputKey"]: item["OutputValue"] for item in found}


def _status(cloudformation: Any, name: str) -> str | None:
    try:
        return str(cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"])
    except ClientError as error:
        if "does not exist" in error.response["Error"]["Message"]:
            return None
        raise


def _change(cloudformation: Any, stack: Stack, kind: str, sleep: Any) -> bool:
    """Make a change set and execute it. Returns False if it would change nothing."""
    change_set = cloudformation.create_change_set(
        StackName=stack.name,
        ChangeSetName=f"slipway-{uuid.uuid4().hex[:12]}",
        ChangeSetType=kind,
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in stack.parameters.items()],
        Capabilities=CAPABILITIES,
        Tags=[{"Key": key, "Value": value} for key, value in stack.tags.items()],
        TemplateBody=stack.template,
        **stack.role,
    )["Id"]
    for pause in pauses():
        answer = cloudformation.describe_change_set(ChangeSetName=change_set, StackName=stack.name)
        if answer["Status"] in {"CREATE_COMPLETE", "FAILED"}:
            break
        sleep(pause)
    if answer["Status"] == "FAILED":
        reason = answer.get("StatusReason", "no reason given")
        cloudformation.delete_change_set(ChangeSetName=change_set, StackName=stack.name)
        if any(sentence in reason for sentence in _NOTHING):
            return False
        raise SlipwayError(f"stack {stack.name} cannot be changed: {reason}")
    cloudformation.execute_change_set(ChangeSetName=change_set, StackName=stack.name)
    return True


def _wait(cloudformation: Any, name: str, progress: Progress, said: set[str], sleep: Any) -> str:
    began: dict[str, float] = {}
    waiting = pauses()
    while True:
        status = _status(cloudformation, name) or "DELETE_COMPLETE"
        if status != "DELETE_COMPLETE":
            _tell(cloudformation, name, progress, said, began)
        if not status.endswith("_IN_PROGRESS"):
            return status
        progress.beat(f"{name}: {status.lower()}")
        sleep(next(waiting))


def _tell(cloudformation: Any, name: str, progress: Progress, said: set[str], began: dict[str, float]) -> None:
    for event in _events(cloudformation, name):
        if event["EventId"] in said:
            continue
        said.add(event["EventId"])
        status, resource = event.get("ResourceStatus", ""), event["LogicalResourceId"]
        moment = event["Timestamp"].timestamp()
        if status.endswith("_IN_PROGRESS"):
            began.setdefault(resource, moment)
        elif resource != name:
            took = f" in {duration(moment - began[resource])}" if resource in began else ""
            reason = f": {event.get('ResourceStatusReason')}" if status in _FAILED else ""
            progress.say(f"{name}: {resource} {status.lower()}{took}{reason}")


def _events(cloudformation: Any, name: str) -> list[dict[str, Any]]:
    """A stack's events, oldest first."""
    pages = cloudformation.get_paginator("describe_stack_events").paginate(StackName=name)
    return [event for page in pages for event in page["StackEvents"]][::-1]


def _first_failure(cloudformation: Any, name: str) -> str:
    """The first thing that failed in the latest operation; what failed after it was cancelled because of it.

    Of a nested stack's failure the parent knows only that there was one: the reason is looked for inside it.
    """
    reason = "no reason given"
    for event in reversed(_events(cloudformation, name)):  # newest first, back to the start of the operation
        status, said = event.get("ResourceStatus", ""), event.get("ResourceStatusReason") or "no reason given"
        own = event.get("PhysicalResourceId") == event.get("StackId")
        if own and status in {"CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS"}:
            break
        if own or status not in _FAILED or "cancelled" in said.lower():
            continue
        reason = f"{event['LogicalResourceId']}: {said}"
        if event.get("ResourceType") == "AWS::CloudFormation::Stack" and (nested := _nested(event, said)):
            reason = f"{event['LogicalResourceId']} ▸ {_inside(cloudformation, nested, said)}"
    return reason


def _nested(event: Mapping[str, Any], said: str) -> str | None:
    """The ARN of a nested stack, from the event of its parent."""
    found = re.search(r"arn:[^\s]+:stack/[^\s]+", f"{event.get('PhysicalResourceId') or ''} {said}")
    return found.group(0).rstrip(".,") if found else None


def _inside(cloudformation: Any, nested: str, said: str) -> str:
    try:
        return _first_failure(cloudformation, nested)
    except ClientError:
        return said  # it never came to be
