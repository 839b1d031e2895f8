"""Stacks that were in progress when the server ended: they are failed, and know all that they had made.

ministack knows what a stack has made when the resource is complete, and it is saved a moment later; a nested stack is
known to its parent when it is complete. What was made in between would belong to nobody: a deletion would leave it, and
the next creation would find its name taken. So each resource is noted as soon as it is made. One of ministack's own may
be noted and yet be lost with its service's state; to delete it again is then nothing to do.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from localcloud.core.ids import now
from localcloud.core.store import Store

REASON = "The local cloud was stopped while the stack was in progress."


class Made:
    """The resources of stacks, noted when they are made."""

    def __init__(self, store: Store) -> None:
        self._table = store.table("cloudformation.made")

    def note(self, account: str, region: str, stack: str, logical_id: str, resource: dict[str, Any]) -> None:
        """A resource was made: {PhysicalResourceId, ResourceType, Properties, Attributes}."""
        document = {"time": now(), **resource, "stack": stack, "LogicalResourceId": logical_id}
        self._table.put(account, region, f"{stack}/{logical_id}", document)

    def forget(self, account: str, region: str, kind: str, physical_id: str) -> None:
        """A resource is gone."""
        self._table.store.execute(
            "DELETE FROM record WHERE kind=? AND account=? AND region=? AND "
            "json_extract(document, '$.ResourceType')=? AND json_extract(document, '$.PhysicalResourceId')=?",
            (self._table.kind, account, region, kind, physical_id),
        )

    def install(self, noted: Collection[str]) -> None:
        """Note what ministack makes by itself, too: every type but those in `noted`, which note themselves.

        Nested stacks are known by their parents; a custom resource is its function's affair.
        """
        from ministack.core.responses import get_account_id, get_region
        from ministack.services.cloudformation import provisioners, stacks

        provision, delete = provisioners._provision_resource, provisioners._delete_resource

        def ministacks(kind: str) -> bool:
            return kind not in noted and not kind.startswith(("AWS::CloudFormation::", "Custom::"))

        def provision_and_note(kind: str, logical_id: str, properties: Any, stack: str) -> Any:
            physical_id, attributes = made = provision(kind, logical_id, properties, stack)
            if ministacks(kind):
                self.note(get_account_id(), get_region(), stack, logical_id, {
                    "PhysicalResourceId": physical_id, "ResourceType": kind, "Properties": properties or {},
                    "Attributes": attributes or {},
                })  # fmt: skip
            return made

        def delete_and_forget(
            kind: str, physical_id: str, properties: Any, stack: str | None = None, logical_id: str | None = None
        ) -> Any:
            answer = delete(kind, physical_id, properties, stack, logical_id)
            if ministacks(kind):
                self.forget(get_account_id(), get_region(), kind, physical_id)
            return answer

        for module in (provisioners, stacks):
            module._provision_resource = provision_and_note
            module._delete_resource = delete_and_forget

    def of(self, account: str, region: str, stack: str) -> list[dict[str, Any]]:
        """What a stack has made."""
        return [document for document in self._table.list(account, region) if document["stack"] == stack]

    def give(self, account: str, region: str, child: str, parent: str, logical_id: str) -> None:
        """Hand what the stack `child`, of which nothing else is known, had made to its parent."""
        for document in self.of(account, region, child):
            resource = {key: value for key, value in document.items() if key not in ("stack", "LogicalResourceId")}
            self._table.delete(account, region, f"{child}/{document['LogicalResourceId']}")
            self.note(account, region, parent, f"{logical_id}{document['LogicalResourceId']}", resource)

    def since(self, account: str, region: str, moment: datetime) -> set[str]:
        """The names of the stacks that have made something since then, and it is still there."""
        return {str(document["stack"]) for document in self._table.list(account, region) if document["time"] >= moment}


def fail(stacks: list[dict[str, Any]], made: Made) -> None:
    """Fail the stacks in progress among `stacks`, and give them and their parents what they had made."""
    interrupted = [stack for stack in stacks if _in_progress(stack)]
    _adopt(interrupted, {_place(stack) for stack in stacks}, made)
    for stack in interrupted:
        account, region = str(stack["StackId"]).split(":")[4], str(stack["StackId"]).split(":")[3]
        for document in made.of(account, region, stack["StackName"]):
            resource = {key: value for key, value in document.items() if key not in ("stack", "time")}
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
        if stack["StackStatus"] == "CREATE_FAILED":  # what ministack's RollbackStack goes by
            stack["_failed_operation"] = {
                "is_update": False, "created": list(stack["_resources"]), "template": stack.get("_template") or {},
                "param_values": stack.get("_resolved_params") or {}, "stack_tags": stack.get("Tags") or [],
            }  # fmt: skip
        stack["StackStatusReason"] = "" if complete else REASON


def _place(stack: dict[str, Any]) -> tuple[str, str, str]:
    """(account, region, name)"""
    region, account = str(stack["StackId"]).split(":")[3:5]
    return account, region, str(stack["StackName"])


def _adopt(interrupted: list[dict[str, Any]], known: set[tuple[str, str, str]], made: Made) -> None:
    """A nested stack that began after the last saving is known by what it made alone, which becomes its parent's.

    For a parent that is being created, since what is older than it may have been retained on purpose.
    """
    creating = [stack for stack in interrupted if str(stack["StackStatus"]).startswith(("CREATE_", "ROLLBACK_"))]
    for stack in sorted(creating, key=lambda item: -len(item["StackName"])):
        account, region, parent = _place(stack)
        began = datetime.fromisoformat(str(stack["CreationTime"]))
        for child in sorted(made.since(account, region, began)):
            if child.startswith(f"{parent}-") and (account, region, child) not in known:
                # The name is PARENT-LogicalId-suffix, and a logical id holds letters and digits alone.
                logical_id = child.removeprefix(f"{parent}-").split("-")[0]
                made.give(account, region, child, parent, logical_id)


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
