"""What a stack's deletion spares and fails on, as on AWS.

In nested stacks each resource's DeletionPolicy counts, and what cannot be deleted fails the stack: ministack minds both
in a root stack only. And a bucket that holds anything is not deleted.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

logger = logging.getLogger("localcloud.base")

_TYPE = "AWS::CloudFormation::Stack"


def install() -> None:
    """Replace ministack's deletion of a nested stack, and refuse that of a bucket that is not empty."""
    from ministack.services.cloudformation import provisioners

    provisioners._RESOURCE_HANDLERS[_TYPE]["delete"] = delete
    bucket = provisioners._RESOURCE_HANDLERS["AWS::S3::Bucket"]
    bucket["delete"] = _refusing_what_holds_objects(bucket["delete"])


def _refusing_what_holds_objects(original: Callable[[str, Any], None]) -> Callable[[str, Any], None]:
    def delete_bucket(physical_id: str, properties: Any) -> None:
        from ministack.services import s3

        bucket = s3._buckets.get(physical_id)
        if bucket is not None and (bucket["objects"] or s3._bucket_has_versions(physical_id)):
            raise ValueError(
                "The bucket you tried to delete is not empty. You must delete all versions in the bucket. "
                "(Service: S3, Status Code: 409)"
            )
        original(physical_id, properties)

    return delete_bucket


def delete(physical_id: str, properties: dict[str, Any]) -> None:
    """Delete a nested stack. Raises ValueError, in CloudFormation's words, if a resource cannot be deleted."""
    del properties
    from ministack.services.cloudformation import _exports, _stacks, engine, provisioners
    from ministack.services.cloudformation.stacks import _add_event, _resource_policy

    name = provisioners._nested_stack_lookup_name(physical_id)
    stack = _stacks.get(name)
    if not stack or stack.get("StackStatus") == "DELETE_COMPLETE":
        return
    stack_id = stack["StackId"]
    resources: dict[str, Any] = stack.get("_resources", {})
    template = stack.get("_template") or {}
    definitions = template.get("Resources", {})
    conditions = stack.get("_conditions", {})
    undoing = _undoes_its_creation(stack)

    def tell(status: str, reason: str = "") -> None:
        stack["StackStatus"], stack["StackStatusReason"] = status, reason
        _add_event(stack_id, name, name, _TYPE, status, reason, stack_id)

    tell("DELETE_IN_PROGRESS")
    ordered = [logical for logical in engine._topological_sort(definitions, conditions) if logical in resources]
    ordered += [logical for logical in resources if logical not in ordered]
    failed = []
    for logical_id in reversed(ordered):
        resource = resources[logical_id]
        kind, physical = resource.get("ResourceType", ""), resource.get("PhysicalResourceId", "")
        policy = _resource_policy(
            definitions.get(logical_id), "DeletionPolicy", resources, stack.get("_resolved_params", {}), conditions,
            template.get("Mappings", {}), name, stack_id,
        )  # fmt: skip
        if policy == "Retain" or (policy == "RetainExceptOnCreate" and not undoing):
            _add_event(stack_id, name, logical_id, kind, "DELETE_SKIPPED", physical_id=physical)
            resources.pop(logical_id)
            continue
        _add_event(stack_id, name, logical_id, kind, "DELETE_IN_PROGRESS", physical_id=physical)
        try:
            provisioners._delete_resource(kind, physical, resource.get("Properties", {}), name, logical_id)
        except Exception as problem:
            logger.warning("deletion of %s in %s: %s", logical_id, name, problem)
            _add_event(stack_id, name, logical_id, kind, "DELETE_FAILED", str(problem), physical)
            resource["ResourceStatus"], resource["ResourceStatusReason"] = "DELETE_FAILED", str(problem)
            failed.append(logical_id)
            continue
        _add_event(stack_id, name, logical_id, kind, "DELETE_COMPLETE", physical_id=physical)
        resources.pop(logical_id)
    if failed:
        reason = f"The following resource(s) failed to delete: [{', '.join(sorted(failed))}]. "
        tell("DELETE_FAILED", reason)
        raise ValueError(f"Embedded stack {stack_id} was not successfully deleted: {reason}")
    for output in stack.get("Outputs", []):
        if output.get("ExportName"):
            _exports.pop(output["ExportName"], None)
    tell("DELETE_COMPLETE")


def _undoes_its_creation(stack: dict[str, Any]) -> bool:
    """Whether a stack above it rolls back, which deletes only what the failed operation had created."""
    from ministack.services.cloudformation import _stacks

    above = _stacks.get(stack.get("_parent_stack_name", ""))
    while above:
        if str(above.get("StackStatus", "")).endswith("ROLLBACK_IN_PROGRESS"):
            return True
        above = _stacks.get(above.get("_parent_stack_name", ""))
    return False
