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
NOTHING = ("didn't contain changes", "No updates are to be performed", "no changes")
_FAILED = ("CREATE_FAILED", "UPDATE_FAILED", "DELETE_FAILED")


@dataclass(frozen=True)
class Stack:
    """A stack to be deployed, with the role that CloudFormation takes for it (none: the caller's)."""

    name: str
    template: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    role_arn: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    names: frozenset[str] = frozenset()  # all parameters that the template has

    @property
    def role(self) -> dict[str, str]:
        """The role as an argument of a request."""
        return {"RoleARN": self.role_arn} if self.role_arn else {}


def deploy(cloudformation: Any, stack: Stack, progress: Progress, *, sleep: Any = time.sleep) -> dict[str, str]:
    """Create or update a stack and wait. Returns its outputs. Raises SlipwayError with the first failure's reason."""
    status = status_of(cloudformation, stack.name)
    # REVIEW_IN_PROGRESS is a stack that has had a change set but no resource yet; nothing goes on in it.
    if status and status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS":
        progress.say(f"{stack.name}: {status.lower()} since an earlier deployment; waiting for its end")
        earlier = {event["EventId"] for event in _events(cloudformation, stack.name)}
        status = _wait(cloudformation, stack.name, progress, earlier, sleep)
    if status in {"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED"}:
        progress.say(f"{stack.name}: {status.lower()} since an earlier deployment; removing what it left")
        status = _remove_failed(cloudformation, stack, status, progress, sleep)
    if status == "UPDATE_ROLLBACK_FAILED":
        raise SlipwayError(
            f"stack {stack.name} is UPDATE_ROLLBACK_FAILED: {first_failure(cloudformation, stack.name)}. Mend that, "
            f"then: aws cloudformation continue-update-rollback --stack-name {stack.name} (a resource that cannot be "
            "mended is left out with --resources-to-skip), and deploy again"
        )
    creating = status in {None, "REVIEW_IN_PROGRESS", "DELETE_COMPLETE"}
    # An event's identifier tells what was said; those of earlier deployments have been said then.
    said = set() if creating else {event["EventId"] for event in _events(cloudformation, stack.name)}
    started = progress.elapsed
    if not _change(cloudformation, stack, "CREATE" if creating else "UPDATE", sleep):
        progress.say(f"{stack.name}: unchanged")
        return outputs(cloudformation, stack.name)
    final = _wait(cloudformation, stack.name, progress, said, sleep)
    if final not in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}:
        raise SlipwayError(f"stack {stack.name} ended as {final}: {first_failure(cloudformation, stack.name)}")
    progress.say(f"{stack.name}: {final.lower()} in {duration(progress.elapsed - started)}")
    return outputs(cloudformation, stack.name)


def remove(
    cloudformation: Any, name: str, progress: Progress, *, role_arn: str | None = None, sleep: Any = time.sleep
) -> str:
    """Delete a stack and wait. Returns how it ended: DELETE_COMPLETE, also if it is gone already, or DELETE_FAILED.

    CloudFormation deletes with the role that the stack was last deployed with, unless it is given another.
    """
    status = status_of(cloudformation, name)
    if status is None:
        return "DELETE_COMPLETE"
    said = {event["EventId"] for event in _events(cloudformation, name)}
    if status != "DELETE_IN_PROGRESS":
        if status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS":
            progress.say(f"{name}: {status.lower()}; waiting for its end")
            _wait(cloudformation, name, progress, said, sleep)
        cloudformation.delete_stack(StackName=name, **({"RoleARN": role_arn} if role_arn else {}))
    return _wait(cloudformation, name, progress, said, sleep)


def _remove_failed(cloudformation: Any, stack: Stack, status: str, progress: Progress, sleep: Any) -> str | None:
    """Remove a stack that was never whole. Raises SlipwayError if it stays."""
    said: set[str] = set()
    if status == "CREATE_FAILED":
        # A deletion would spare what is RetainExceptOnCreate, and the next creation find its name taken.
        cloudformation.rollback_stack(StackName=stack.name, **stack.role)
        _wait(cloudformation, stack.name, progress, said, sleep)
    cloudformation.delete_stack(StackName=stack.name, **stack.role)
    final = _wait(cloudformation, stack.name, progress, said, sleep)
    if final != "DELETE_COMPLETE":
        raise SlipwayError(
            f"stack {stack.name} ended as {final}: {first_failure(cloudformation, stack.name)}. As the account's "
            "administrator, look at what stands in the way with: slipway platform destroy --dry-run"
        )
    return None


def arguments(cloudformation: Any, stack: Stack, *, creating: bool) -> list[dict[str, Any]]:
    """The parameters of a request: those that are given, and for the others the values that the stack has."""
    given: list[dict[str, Any]] = [
        {"ParameterKey": key, "ParameterValue": value} for key, value in stack.parameters.items()
    ]
    if creating or not (missing := stack.names - set(stack.parameters)):
        return given
    has = cloudformation.describe_stacks(StackName=stack.name)["Stacks"][0].get("Parameters", [])
    kept = sorted(missing & {item["ParameterKey"] for item in has})
    return given + [{"ParameterKey": key, "UsePreviousValue": True} for key in kept]


def outputs(cloudformation: Any, name: str) -> dict[str, str]:
    """A stack's outputs."""
    found = cloudformation.describe_stacks(StackName=name)["Stacks"][0].get("Outputs", [])
    return {item["OutputKey"]: item["OutputValue"] for item in found}


def status_of(cloudformation: Any, name: str) -> str | None:
    """A stack's status, None if there is no such stack."""
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
        Parameters=arguments(cloudformation, stack, creating=kind == "CREATE"),
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
        if any(sentence in reason for sentence in NOTHING):
            return False
        raise SlipwayError(f"stack {stack.name} cannot be changed: {reason}")
    cloudformation.execute_change_set(ChangeSetName=change_set, StackName=stack.name)
    return True


def _wait(cloudformation: Any, name: str, progress: Progress, said: set[str], sleep: Any) -> str:
    began: dict[str, float] = {}
    waiting = pauses()
    while True:
        status = status_of(cloudformation, name) or "DELETE_COMPLETE"
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


def first_failure(cloudformation: Any, name: str) -> str:
    """The first thing that failed in the latest operation; what failed after it was cancelled because of it.

    Of a nested stack's failure the parent knows only that there was one: the reason is looked for inside it. Its
    parent's rollback has deleted it since: of a deletion that failed in nothing, what came before is looked at.
    """
    none = reason = "no reason given"
    for event in reversed(_events(cloudformation, name)):  # newest first, back to the start of the operation
        status, said = event.get("ResourceStatus", ""), event.get("ResourceStatusReason") or "no reason given"
        own = event.get("PhysicalResourceId") == event.get("StackId")
        if own and status in {"CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS"}:
            if status == "DELETE_IN_PROGRESS" and reason == none:
                continue
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
        return first_failure(cloudformation, nested)
    except ClientError:
        return said  # it never came to be
