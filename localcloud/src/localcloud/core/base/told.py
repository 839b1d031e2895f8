"""What a stack is told when something goes wrong, where ministack leaves it waiting or without the cause."""

from __future__ import annotations

import ast
import json
import re
from typing import Any
from urllib.parse import urlsplit

from localcloud.core.ids import uuid

_STACK = "AWS::CloudFormation::Stack"
_EMBEDDED = re.compile(r"^Embedded stack (arn:\S+)")
# How ministack words the refusal of a service: the type, and the answer as Python shows it.
_REFUSED = re.compile(r"^(AWS::\w+::\w+) (?:create|update) failed: (b?(['\"]).*\3)$", re.DOTALL)


def install() -> None:
    """Wrap what runs the functions of custom resources, and what writes events."""
    _install_functions()
    _install_events()


def _install_functions() -> None:
    """Fail a custom resource whose function cannot run or ends with an error, unless it has answered.

    Nobody will answer such a request any more. AWS tries twice again and then waits for an hour; ministack waits, too.
    """
    from ministack.services import lambda_svc
    from ministack.services.cloudformation import custom_resource

    execute = lambda_svc._execute_function_with_config_scope

    def execute_and_tell(function: dict[str, Any], event: Any, *rest: Any, **named: Any) -> Any:
        asked = isinstance(event, dict) and {"ResponseURL", "RequestType", "LogicalResourceId"} <= set(event)
        config = function.get("config") or function
        if asked and config.get("PackageType", "Zip") == "Zip" and not function.get("code_zip"):
            answer: Any = {"error": True, "body": {"errorMessage": "the function has no code"}}
        else:
            answer = execute(function, event, *rest, **named)
        if asked and isinstance(answer, dict) and answer.get("error"):
            token = urlsplit(str(event["ResponseURL"])).path.rpartition("/")[2]
            if (custom_resource._pending.get(token) or {}).get("result") is None:
                reason = f"Function {config.get('FunctionName', '')} ended without an answer: {_problem(answer)}"
                custom_resource.deliver_response(token, {"Status": "FAILED", "Reason": reason})
        return answer

    lambda_svc._execute_function_with_config_scope = execute_and_tell


def _problem(answer: dict[str, Any]) -> str:
    body = answer.get("body")
    if isinstance(body, str | bytes):
        try:
            body = json.loads(body)
        except ValueError:
            return str(body)
    return str(body.get("errorMessage") or body) if isinstance(body, dict) else "unknown error"


def _install_events() -> None:
    """As on AWS, the failure of a nested stack names the nested stack, and a refusal is a sentence."""
    from ministack.services.cloudformation import stacks

    add = stacks._add_event

    def add_readable(
        stack_id: str, stack_name: str, logical_id: str, resource_type: str, status: str,
        reason: str = "", physical_id: str = "", detailed_status: str = "",
    ) -> Any:  # fmt: skip
        embedded = _EMBEDDED.match(reason) if resource_type == _STACK and not physical_id else None
        if embedded and status.endswith("_FAILED"):
            physical_id = embedded[1]
        return add(
            stack_id, stack_name, logical_id, resource_type, status, readable(reason), physical_id, detailed_status
        )

    stacks._add_event = add_readable


def readable(reason: str) -> str:
    """A refusal as CloudFormation words it; anything else as it is."""
    found = _REFUSED.match(reason)
    if not found:
        return reason
    try:
        said = ast.literal_eval(found[2])
        answer = json.loads(said)
        code, message = str(answer["__type"]).rpartition("#")[2], str(answer["message"])
    except (ValueError, SyntaxError, KeyError, TypeError):
        return reason
    kind = "AlreadyExists" if "AlreadyExists" in code else "InvalidRequest"
    service = found[1].split("::")[1].capitalize()
    return (
        f'Resource handler returned message: "{message} (Service: {service}, Status Code: 400, Error Code: {code})" '
        f"(RequestToken: {uuid()}, HandlerErrorCode: {kind})"
    )
