"""Nested stacks: what AWS does with them and ministack does not.

Types that are not served are refused before anything is made (`support`). Transforms of a nested template are applied;
a nested stack that fails to be created rolls itself back and goes with its parent's rollback; the parent's reason names
the nested stack and its failed resources, as AWS words it; an update reaches every nested stack, whose SSM parameters
may have other values by then, and keeps the attributes of what did not change.
"""

from __future__ import annotations

import contextvars
import logging
from typing import Any

from localcloud.core.base import references, support, templates

logger = logging.getLogger("localcloud.base")

_STACK = "AWS::CloudFormation::Stack"
_TRANSFORMING: contextvars.ContextVar[list[dict[str, str]] | None] = contextvars.ContextVar(
    "transforming", default=None
)


def install() -> None:
    """Wrap ministack's deployment of a nested stack."""
    from ministack.services.cloudformation import _stacks, changesets, engine, handlers, provisioners, stacks

    parse = templates.parser(engine._parse_template, engine.CfnLoader)
    deploy = provisioners._cfn_nested_stack_deploy

    def parse_and_check(body: str) -> Any:
        template = parse(body)
        references.check(template)
        return template

    def parse_and_transform(body: str) -> Any:
        template = parse_and_check(body)
        parameters = _TRANSFORMING.get()
        if parameters is None:
            return template
        _TRANSFORMING.set(None)
        transformed = engine._apply_transforms(template, parameters)
        if isinstance(transformed, engine._TransformFailed):
            raise ValueError(transformed.error)
        return transformed

    def deploy_nested(logical_id: str, properties: dict[str, Any], parent: str, **previous: Any) -> Any:
        given = properties.get("Parameters") or {}
        support.check_nested(str(properties.get("TemplateURL", "")), given, logical_id)
        _TRANSFORMING.set([{"Key": key, "Value": "" if value is None else str(value)} for key, value in given.items()])
        known = _children(parent)
        try:
            return deploy(logical_id, properties, parent, **previous)
        except Exception as error:
            failed = list(_children(parent) - known)
            if previous.get("previous_physical_id") or not failed:
                raise
            raise ValueError(_roll_back(failed[0], error)) from error
        finally:
            _TRANSFORMING.set(None)

    update = provisioners._update_resource

    def update_keeping_attributes(
        kind: str,
        physical_id: str,
        old: Any,
        new: Any,
        stack: str,
        logical_id: str | None = None,
        old_attrs: Any = None,
    ) -> Any:
        """A nested update passes no attributes, and then a resource without changes would lose its own."""
        known = (_stacks.get(stack) or {}).get("_resources", {}).get(logical_id, {})
        if known.get("ResourceType", kind) != kind:
            raise ValueError(
                "Update of resource type is not permitted. The new template modifies resource type of the following "
                f"resources: [{logical_id}]"
            )
        if old_attrs is None:
            old_attrs = known.get("Attributes")
        return update_reaching_nested(kind, physical_id, old, new, stack, logical_id, old_attrs)

    def update_reaching_nested(kind: str, physical_id: str, old: Any, new: Any, stack: str, *rest: Any) -> Any:
        """ministack leaves a nested stack alone whose properties are as they were."""
        if kind == _STACK and old == new:
            return provisioners._cfn_nested_stack_update(physical_id, old, new, stack)
        return update(kind, physical_id, old, new, stack, *rest)

    provisioners._update_resource = update_keeping_attributes
    stacks._update_resource = update_reaching_nested
    engine._parse_template = parse_and_transform
    changesets._parse_template = handlers._parse_template = parse_and_check
    provisioners._cfn_nested_stack_deploy = deploy_nested
    support.install()


def _children(parent: str) -> set[str]:
    from ministack.services.cloudformation import _stacks

    return {name for name in list(_stacks) if _stacks[name].get("_parent_stack_name") == parent}


def _stays(stack: dict[str, Any]) -> bool:
    """Whether what failed is to be looked at: the root was created with DisableRollback."""
    from ministack.services.cloudformation import _stacks

    while above := _stacks.get(stack.get("_parent_stack_name", "")):
        stack = above
    return bool(stack.get("DisableRollback"))


def _roll_back(name: str, error: Exception) -> str:
    """Delete what the nested stack had made. Returns the parent's reason."""
    from ministack.services.cloudformation import _stacks, provisioners
    from ministack.services.cloudformation.stacks import _add_event

    stack = _stacks[name]
    stack_id, reason = stack["StackId"], str(stack.get("StackStatusReason", "")) or str(error)
    failed = reason.removeprefix("Resource ").split(" failed:")[0] if reason.startswith("Resource ") else ""
    made: dict[str, Any] = stack.get("_resources", {})

    def tell(status: str, text: str = "") -> None:
        stack["StackStatus"], stack["StackStatusReason"] = status, text
        _add_event(stack_id, name, name, _STACK, status, text, stack_id)

    summary = f"The following resource(s) failed to create: [{failed}]. " if failed else f"{reason} "
    tell("ROLLBACK_IN_PROGRESS", summary + "Rollback requested by user.")
    for logical_id, resource in reversed(list(made.items())):
        kind, physical_id = resource["ResourceType"], resource["PhysicalResourceId"]
        try:
            provisioners._delete_resource(kind, physical_id, resource["Properties"], name, logical_id)
        except Exception as problem:
            logger.warning("rollback of %s in %s: %s", logical_id, name, problem)
            _add_event(stack_id, name, logical_id, kind, "DELETE_FAILED", str(problem), physical_id)
            continue
        made.pop(logical_id, None)
        _add_event(stack_id, name, logical_id, kind, "DELETE_COMPLETE", physical_id=physical_id)
    tell("ROLLBACK_COMPLETE")
    if not _stays(stack):  # the rollback of the stack above it deletes it
        tell("DELETE_IN_PROGRESS")
        tell("DELETE_COMPLETE")
    return f"Embedded stack {stack_id} was not successfully created: {summary.strip()}"
