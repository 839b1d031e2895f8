"""Stacks that were in progress when the server ended: they are failed, and know all that they had made.

ministack knows what a stack has made when the resource is complete, and it is saved a moment later; a nested stack is
known to its parent when it is complete. What was made in between would belong to nobody: a deletion would leave it, and
the next creation would find its name taken. So each resource of ours is noted as soon as it is made.
"""

from __future__ import annotations

from typing import Any

from localcloud.core.store import Store

REASON = "The local cloud was stopped while the stack was in progress."


class Made:
    """The resources of stacks, noted when they are made."""

    def __init__(self, store: Store) -> None:
        self._table = store.table("cloudformation.made")

    def note(self, account: str, region: str, stack: str, logical_id: str, resource: dict[str, Any]) -> None:
        """A resource was made: {PhysicalResourceId, ResourceType, Properties, Attributes}."""
        document = {"stack": stack, "LogicalResourceId": logical_id, **resource}
        self._table.put(account, region, f"{stack}/{logical_id}", document)

    def forget(self, account: str, region: str, kind: str, physical_id: str) -> None:
        """A resource is gone."""
        for document in self._table.list(account, region):
            if (document["ResourceType"], document["PhysicalResourceId"]) == (kind, physical_id):
                self._table.delete(account, region, f"{document['stack']}/{document['LogicalResourceId']}")

    def of(self, account: str, region: str, stack: str) -> list[dict[str, Any]]:
        """What a stack has made."""
        return [document for document in self._table.list(account, region) if document["stack"] == stack]


def fail(stacks: list[dict[str, Any]], made: Made) -> None:
    """Fail the stacks in progress among `stacks`, and give them and their parents what they had made."""
    interrupted = [stack for stack in stacks if _in_progress(stack)]
    for stack in interrupted:
        account, region = str(stack["StackId"]).split(":")[4], str(stack["StackId"]).split(":")[3]
        for document in made.of(account, region, stack["StackName"]):
            resource = {key: value for key, value in document.items() if key != "stack"}
            _own(stack, document["LogicalResourceId"], resource)
    for stack in interrupted:
        parent = _parent(stack, stacks)
        if parent is not None:
            # The name is PARENT-LogicalId-suffix, and a logical id holds letters and digits alone.
            logical_id = stack["StackName"].removeprefix(f"{parent['StackName']}-").split("-")[0]
            kind = "AWS::CloudFormation::Stack"
            _own(parent, logical_id, {"PhysicalResourceId": stack["StackId"], "ResourceType": kind})
    for stack in interrupted:
        status = str(stack["StackStatus"])
        complete = status.endswith("_CLEANUP_IN_PROGRESS")
        plain = status.removesuffix("_CLEANUP_IN_PROGRESS").removesuffix("_IN_PROGRESS")
        stack["StackStatus"] = plain if complete else f"{plain}_FAILED"
        stack["StackStatusReason"] = "" if complete else REASON


def _in_progress(stack: dict[str, Any]) -> bool:
    status = str(stack.get("StackStatus", ""))
    return status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS"


def _parent(stack: dict[str, Any], stacks: list[dict[str, Any]]) -> dict[str, Any] | None:
    place = str(stack["StackId"]).split(":")[3:5]
    for other in stacks:
        if other["StackName"] == stack.get("_parent_stack_name") and str(other["StackId"]).split(":")[3:5] == place:
            return other
    return None


def _own(stack: dict[str, Any], logical_id: str, resource: dict[str, Any]) -> None:
    known = stack.setdefault("_resources", {})
    if logical_id not in known:
        empty: dict[str, Any] = {"Properties": {}, "Attributes": {}}
        known[logical_id] = {
            **empty, "ResourceStatus": "CREATE_FAILED", "LogicalResourceId": logical_id,
            "Timestamp": stack.get("CreationTime", ""), **resource,
        }  # fmt: skip
