"""What a deployment would change: a change set of all nested stacks, read and thrown away."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from slipway.errors import SlipwayError
from slipway.platform.stacks import CAPABILITIES, NOTHING, Stack, arguments, status_of
from slipway.polling import pauses

NESTED = "AWS::CloudFormation::Stack"


@dataclass(frozen=True)
class Change:
    """A resource that would be changed.

    Args:
        action: Add, Modify, Remove, Import or Dynamic.
        path: the nested stacks and the resource, as in `Network ▸ Vpc`.
        kind: its CloudFormation type.
        replacement: True, False or Conditional (it depends on what is known only at deployment).
        what: the properties and attributes that change.
    """

    action: str
    path: str
    kind: str
    replacement: str
    what: str


def changes(cloudformation: Any, stack: Stack, *, sleep: Callable[[float], None] = time.sleep) -> list[Change]:
    """What deploying the stack would change. Nothing is changed; the change sets are deleted, also when interrupted.

    A first deployment has no nested stacks to compare: it lists what the root makes. Raises SlipwayError with
    CloudFormation's reason.
    """
    status = status_of(cloudformation, stack.name)
    if status and status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS":
        raise SlipwayError(f"stack {stack.name} is {status}: wait for its end, then ask again")
    if status in {"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED"}:
        raise SlipwayError(f"stack {stack.name} is {status}: `make deploy` removes it and makes it anew")
    creating = status in {None, "REVIEW_IN_PROGRESS"}
    name = f"slipway-diff-{uuid.uuid4().hex[:12]}"
    try:
        request: dict[str, Any] = {
            "StackName": stack.name,
            "ChangeSetName": name,
            "ChangeSetType": "CREATE" if creating else "UPDATE",
            "Parameters": arguments(cloudformation, stack, creating=creating),
            "Capabilities": CAPABILITIES,
            "Tags": [{"Key": key, "Value": value} for key, value in stack.tags.items()],
            "TemplateBody": stack.template,
            **stack.role,
        }
        if not creating:
            request["IncludeNestedStacks"] = True
        identifier = cloudformation.create_change_set(**request)["Id"]
        return list(_read(cloudformation, identifier, (), sleep))
    finally:
        _forget(cloudformation, stack, name, new=status is None)


def _read(
    cloudformation: Any, identifier: str, above: tuple[str, ...], sleep: Callable[[float], None]
) -> Iterator[Change]:
    answer = _settled(cloudformation, identifier, sleep)
    if answer["Status"] == "FAILED":
        reason = answer.get("StatusReason", "no reason given")
        if any(sentence in reason for sentence in NOTHING):
            return
        where = f"nested stack {' ▸ '.join(above)}" if above else "the stack"
        raise SlipwayError(f"{where} cannot be compared: {reason}")
    while True:
        for change in answer.get("Changes", []):
            about = change["ResourceChange"]
            path = (*above, about["LogicalResourceId"])
            if about["ResourceType"] == NESTED and about.get("ChangeSetId"):
                yield from _read(cloudformation, about["ChangeSetId"], path, sleep)
            else:
                yield _change(about, path)
        if not answer.get("NextToken"):
            return
        answer = cloudformation.describe_change_set(ChangeSetName=identifier, NextToken=answer["NextToken"])


def _settled(cloudformation: Any, identifier: str, sleep: Callable[[float], None]) -> Mapping[str, Any]:
    for pause in pauses():
        answer: Mapping[str, Any] = cloudformation.describe_change_set(ChangeSetName=identifier)
        if not answer["Status"].endswith(("_IN_PROGRESS", "_PENDING")):
            return answer
        sleep(pause)
    raise AssertionError("pauses never end")


def _change(about: Mapping[str, Any], path: tuple[str, ...]) -> Change:
    targets = [detail.get("Target", {}) for detail in about.get("Details", [])]
    what = {target.get("Name") or target.get("Attribute", "") for target in targets}
    return Change(
        about["Action"],
        " ▸ ".join(path),
        about["ResourceType"],
        about.get("Replacement", "False") if about["Action"] == "Modify" else "",
        ", ".join(sorted(what - {""})),
    )


def _forget(cloudformation: Any, stack: Stack, name: str, *, new: bool) -> None:
    """Delete the change set with those of nested stacks, and the empty stack that a first one makes."""
    try:
        cloudformation.delete_change_set(ChangeSetName=name, StackName=stack.name)
    except ClientError as error:
        if "does not exist" not in error.response["Error"].get("Message", ""):
            raise
    if new and status_of(cloudformation, stack.name) == "REVIEW_IN_PROGRESS":
        cloudformation.delete_stack(StackName=stack.name, **stack.role)
