"""What IAM is asked by a request to one of ministack's services: action, resource, condition keys."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from localcloud.core.base.scope import scope
from localcloud.core.implied import Asked

_ENCRYPTION = "x-amz-server-side-encryption"


def describe(
    service: str, method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, list[str]],
    account: str, region: str,
) -> tuple[str, str, dict[str, Any]]:  # fmt: skip
    """(IAM action, resource ARN, what else the record keeps: see `authorization.Authorized.context`)."""
    from ministack import app
    from ministack.core import iam_actions

    with contextlib.suppress(Exception), scope(account, region):
        parameters = app._routing_params(method, path, headers, body, query)
        action = iam_actions.extract_iam_action(service, method, path, headers, body, parameters)
        if action:
            resource = iam_actions.extract_resource_arn(
                service, method, path, headers, body, parameters, region, account
            )
            told: dict[str, Any] = {}
            with contextlib.suppress(Exception):
                told = _told(service, str(action), path, headers, body, query, parameters)
                resources = _resources(str(action), str(resource), body, parameters, account, region)
                resource = resources[0]
                if len(resources) > 1:
                    told["resources"] = resources
            return str(action), str(resource), told
    return f"{service}:{method} {path.split('/')[1] if '/' in path else path}", "*", {}


def _resources(
    action: str, resource: str, body: bytes, parameters: dict[str, Any], account: str, region: str
) -> list[str]:
    """The resources where ministack knows one alone, or none."""
    if action == "ssm:GetParametersByPath":
        # Asked for the path; whether with its last slash differs from what is written of it, so it is asked both ways.
        path = str(json.loads(body)["Path"]).rstrip("/")
        return [f"arn:aws:ssm:{region}:{account}:parameter{path}{end}" for end in ("/", "")]
    arn = f"arn:aws:ec2:{region}:{account}:"
    if action == "ec2:CreateNetworkInterface":
        groups = _numbered(parameters, "SecurityGroupId")
        subnet = _one(parameters, "SubnetId")
        named = [f"subnet/{subnet}", *(f"security-group/{group}" for group in groups), "network-interface/*"]
        return [arn + name for name in named]
    if action == "ec2:CreateFlowLogs":
        kinds = {"VPC": "vpc", "Subnet": "subnet", "NetworkInterface": "network-interface"}
        kind = kinds[_one(parameters, "ResourceType")]
        return [f"{arn}vpc-flow-log/*", *(f"{arn}{kind}/{name}" for name in _numbered(parameters, "ResourceId"))]
    return [resource]


def _numbered(parameters: dict[str, Any], name: str) -> list[str]:
    """The values of Name.1, Name.2, …"""
    return [_one(parameters, key) for key in parameters if key.rpartition(".")[0] == name]


def _told(
    service: str, action: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, list[str]],
    parameters: dict[str, Any],
) -> dict[str, Any]:  # fmt: skip
    from ministack.core import iam_actions

    keys: dict[str, Any] = {}
    if _may_have_tags(body, parameters):
        keys.update(iam_actions.request_tag_context(service, action, body, parameters))
    asked: list[Asked] = []
    if service == "s3":
        keys.update(iam_actions.s3_service_context(action, query, path, headers))
        key = headers.get(f"{_ENCRYPTION}-aws-kms-key-id")
        if key and action == "s3:PutObject":
            keys[f"s3:{_ENCRYPTION}-aws-kms-key-id"] = key
    elif service == "cloudformation":
        role = _one(parameters, "RoleARN")
        if role:
            keys["cloudformation:RoleArn"] = role
            passed = {"iam:PassedToService": "cloudformation.amazonaws.com"}
            asked.append(Asked("iam:PassRole", role, passed))
        if url := _one(parameters, "TemplateURL"):
            keys["cloudformation:TemplateUrl"] = url
    elif action == "ec2:CreateFlowLogs":
        role = _one(parameters, "DeliverLogsPermissionArn")
        if role:
            asked.append(Asked("iam:PassRole", role, {"iam:PassedToService": "vpc-flow-logs.amazonaws.com"}))
    elif action == "sns:Subscribe":
        keys["sns:Protocol"], keys["sns:Endpoint"] = _one(parameters, "Protocol"), _one(parameters, "Endpoint")
    elif service == "monitoring":
        # Older clients send a form, today's a JSON document.
        namespace = _one(parameters, "Namespace") or (json.loads(body).get("Namespace") if body[:1] == b"{" else None)
        if namespace:
            keys["cloudwatch:namespace"] = namespace
    told: dict[str, Any] = {"keys": keys} if keys else {}
    if asked:
        told["implied"] = [item.as_json() for item in asked]
    return told


def _may_have_tags(body: bytes, parameters: dict[str, Any]) -> bool:
    """Without tags in it a request need not be looked at: ministack reads the service's whole model for that."""
    return b"ag" in body or b"\\u" in body or any("ag" in name for name in parameters)


def _one(parameters: dict[str, Any], name: str) -> str:
    value = parameters.get(name, "")
    return str(value[0] if isinstance(value, list) and value else value or "")
