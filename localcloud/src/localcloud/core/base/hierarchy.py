"""The hierarchy of nested stacks, as AWS shows it: parents and roots of stacks, and change sets that include them.

ministack knows the parent of a nested stack and does not tell; of a change set it compares the root's template alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

Request = dict[str, Any]
Answer = tuple[int, dict[str, str], bytes]
_STACK = "AWS::CloudFormation::Stack"


def install() -> None:
    """Wrap the actions that show stacks and change sets."""
    from ministack.services.cloudformation import handlers

    actions = handlers._ACTION_HANDLERS
    for name, wrap in (
        ("DescribeStacks", _with_parents),
        ("CreateChangeSet", _with_nested),
        ("DescribeChangeSet", _with_nested_ids),
        ("DeleteChangeSet", _deleting_nested),
    ):
        actions[name] = wrap(actions[name])


def _with_parents(original: Callable[[Request], Answer]) -> Callable[[Request], Answer]:
    def describe(request: Request) -> Answer:
        status, headers, body = original(request)
        return status, headers, _insert(body, "StackId", _parents)

    return describe


def _parents(stack_id: str) -> str:
    """ParentId and RootId of a stack, as elements."""
    from ministack.services.cloudformation import _stacks

    known = {stack["StackId"]: stack for stack in list(_stacks.values())}
    parent = root = (known.get(stack_id) or {}).get("ParentId")
    if not parent:
        return ""
    while root in known and known[root].get("ParentId"):
        root = known[root]["ParentId"]
    return f"<ParentId>{parent}</ParentId><RootId>{root}</RootId>"


def _with_nested(original: Callable[[Request], Answer]) -> Callable[[Request], Answer]:
    def create(request: Request) -> Answer:
        answer = original(request)
        if _text(request, "IncludeNestedStacks").lower() == "true" and answer[0] == 200:
            found = re.search(rb"<Id>([^<]+)</Id>", answer[2])
            _nest(original, request, found[1].decode() if found else "", None)
        return answer

    return create


def _nest(original: Callable[[Request], Answer], request: Request, identifier: str, root: str | None) -> None:
    """Make a change set of each nested stack that is changed; one that turns out unchanged is no change."""
    from ministack.services.cloudformation import _change_sets, _stacks

    parent = _change_sets.get(identifier)
    if parent is None:
        return
    parent["IncludeNestedStacks"], parent["RootChangeSetId"] = True, root
    kept = []
    for change in parent["Changes"]:
        about = change["ResourceChange"]
        physical = about.get("PhysicalResourceId")
        child = next((one for one in list(_stacks.values()) if physical in {one["StackName"], one["StackId"]}), None)
        if about["ResourceType"] != _STACK or about["Action"] != "Modify" or child is None:
            kept.append(change)
            continue
        nested = _create(original, request, parent, about["LogicalResourceId"], child["StackName"])
        _nest(original, request, nested, root or identifier)
        made = _change_sets[nested]
        made["ParentChangeSetId"] = identifier
        if made["Changes"]:
            about["ChangeSetId"] = nested
            kept.append(change)
        else:
            _change_sets.pop(nested)
    parent["Changes"] = kept
    if not kept and parent["Status"] == "CREATE_COMPLETE":
        parent["Status"], parent["ExecutionStatus"] = "FAILED", "UNAVAILABLE"
        parent["StatusReason"] = (
            "The submitted information didn't contain changes. Submit different information to create a change set."
        )


def _create(
    original: Callable[[Request], Answer], request: Request, parent: dict[str, Any], logical_id: str, stack: str
) -> str:
    """The change set of one nested stack, from the properties that the parent's template gives it."""
    from ministack.services.cloudformation import changesets

    resolved = changesets._resolve_props_for_diff(
        parent["_template"], parent["_resolved_params"], parent["StackName"], parent["StackId"]
    )
    properties = resolved["Resources"][logical_id].get("Properties", {})
    asked: Request = {
        "StackName": [stack],
        "ChangeSetName": [f"{parent['ChangeSetName']}-{logical_id}"],
        "ChangeSetType": ["UPDATE"],
        "TemplateURL": [str(properties.get("TemplateURL", ""))],
    }
    for number, (key, value) in enumerate((properties.get("Parameters") or {}).items(), 1):
        name = f"Parameters.member.{number}"
        asked[f"{name}.ParameterKey"] = [key]
        if isinstance(value, dict):  # known after the parent's other resources are: as it was
            asked[f"{name}.UsePreviousValue"] = ["true"]
        else:
            asked[f"{name}.ParameterValue"] = ["" if value is None else str(value)]
    for number, tag in enumerate(properties.get("Tags") or [], 1):
        asked[f"Tags.member.{number}.Key"], asked[f"Tags.member.{number}.Value"] = [tag["Key"]], [str(tag["Value"])]
    for key, given in request.items():
        if key.startswith("Capabilities."):
            asked[key] = given
    status, _, body = original(asked)
    found = re.search(rb"<Id>([^<]+)</Id>", body)
    if status != 200 or not found:
        reason = re.search(rb"<Message>(.*?)</Message>", body, re.DOTALL)
        raise ValueError(f"the change set of nested stack {stack} failed: {reason[1].decode() if reason else status}")
    return found[1].decode()


def _with_nested_ids(original: Callable[[Request], Answer]) -> Callable[[Request], Answer]:
    def describe(request: Request) -> Answer:
        from ministack.services.cloudformation import changesets

        status, headers, body = original(request)
        _, found = changesets._find_change_set(_text(request, "ChangeSetName"), _text(request, "StackName"))
        if status != 200 or not found:
            return status, headers, body
        nested = {
            change["ResourceChange"]["LogicalResourceId"]: change["ResourceChange"]["ChangeSetId"]
            for change in found["Changes"]
            if change["ResourceChange"].get("ChangeSetId")
        }
        body = _insert(
            body,
            "LogicalResourceId",
            lambda name: f"<ChangeSetId>{nested[name]}</ChangeSetId>" if name in nested else "",
        )
        more = "<IncludeNestedStacks>true</IncludeNestedStacks>" if found.get("IncludeNestedStacks") else ""
        for key in ("ParentChangeSetId", "RootChangeSetId"):
            more += f"<{key}>{found[key]}</{key}>" if found.get(key) else ""
        return (
            status,
            headers,
            body.replace(b"</DescribeChangeSetResult>", f"{more}</DescribeChangeSetResult>".encode()),
        )

    return describe


def _deleting_nested(original: Callable[[Request], Answer]) -> Callable[[Request], Answer]:
    def delete(request: Request) -> Answer:
        from ministack.services.cloudformation import _change_sets, changesets

        identifier, found = changesets._find_change_set(_text(request, "ChangeSetName"), _text(request, "StackName"))
        answer = original(request)
        if answer[0] == 200 and found:
            for nested in list(_below(identifier)):
                _change_sets.pop(nested, None)
        return answer

    return delete


def _below(identifier: str) -> Iterator[str]:
    from ministack.services.cloudformation import _change_sets

    for nested, found in list(_change_sets.items()):
        if found.get("ParentChangeSetId") == identifier:
            yield from _below(nested)
            yield nested


def _text(request: Request, key: str) -> str:
    value = request.get(key) or [""]
    return str(value[0] if isinstance(value, list) else value)


def _insert(body: bytes, element: str, more: Callable[[str], str]) -> bytes:
    """Add elements behind each `element`, made of its text."""
    pattern = re.compile(rf"<{element}>([^<]*)</{element}>")
    return pattern.sub(lambda found: found[0] + more(found[1]), body.decode()).encode()
