"""The stack of a provisioned product: made, changed and deleted as the launch role, and looked at for its outcome."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from localcloud.core import Cloud, Credentials, Fault
from localcloud.services.servicecatalog.templates import LARGEST_BODY

CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
GOOD = {"CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE", "DELETE_COMPLETE"}
_RENEW_SECONDS = 45 * 60
_CANCELLED = ("Resource creation cancelled", "Resource update cancelled", "Resource deletion cancelled")
_STACK = "AWS::CloudFormation::Stack"


class Stopping(Exception):
    """The local cloud is stopping."""


@dataclass
class Launcher:
    """CloudFormation as the launch role, or as the person where no constraint names a role."""

    cloud: Cloud
    account: str
    region: str
    role_arn: str | None
    person: Credentials | None = None
    _client: Any = None
    _since: float = 0.0

    def client(self) -> Any:
        """A CloudFormation client; the role is assumed anew before its session ends.

        Raises:
            Fault: AccessDenied when the role cannot be assumed by servicecatalog.amazonaws.com.
        """
        if self._client is None or (self.role_arn and time.monotonic() - self._since > _RENEW_SECONDS):
            self._since = time.monotonic()
            self._client = self._identity().client("cloudformation", self.region)
        return self._client

    def _identity(self) -> Credentials:
        if self.role_arn is None:
            return self.person or self.cloud.root(self.account, self.region)
        principal = "servicecatalog.amazonaws.com"
        return self.cloud.assume(self.role_arn, "servicecatalog", region=self.region, service_principal=principal)


def template_of(url: str, text: str) -> dict[str, str]:
    """How CloudFormation gets a template: in the request, or by its address where it is too long for that."""
    return {"TemplateBody": text} if len(text.encode()) <= LARGEST_BODY else {"TemplateURL": url}


def check(client: Any, template: dict[str, str], parameters: list[dict[str, Any]]) -> None:
    """What AWS's Service Catalog asks of CloudFormation before it makes or changes a stack: the launch role needs both.

    Raises:
        ClientError: the template is not valid, or the role may not ask.
        Fault: ValidationError for parameters that the template does not declare.
    """
    client.validate_template(**template)
    declared = {item["ParameterKey"] for item in client.get_template_summary(**template).get("Parameters", [])}
    strangers = [item["ParameterKey"] for item in parameters if item["ParameterKey"] not in declared]
    if strangers:
        raise Fault("ValidationError", f"Parameters: [{', '.join(strangers)}] do not exist in the template")


def find(client: Any, name_or_id: str) -> dict[str, Any] | None:
    """The stack, or None."""
    try:
        found: dict[str, Any] = client.describe_stacks(StackName=name_or_id)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in error.response["Error"]["Message"]:
            return None
        raise
    return found


def wait(launcher: Launcher, stack_id: str) -> dict[str, Any] | None:
    """The stack when nothing is in progress any more; None when it is gone.

    Raises:
        Stopping: the local cloud stops first.
    """
    pause = 0.1
    while True:
        if launcher.cloud.stopping.is_set():
            raise Stopping
        try:
            stack = find(launcher.client(), stack_id)
        except Exception:
            if launcher.cloud.stopping.is_set():
                raise Stopping from None
            raise
        if stack is None or not stack["StackStatus"].endswith("_IN_PROGRESS"):
            return stack
        launcher.cloud.stopping.wait(pause)
        pause = min(pause * 1.3, 1.0)


def outputs(stack: dict[str, Any]) -> list[dict[str, str]]:
    """The stack's outputs as a record shows them; the first is the stack itself."""
    first = {
        "OutputKey": "CloudformationStackARN",
        "OutputValue": stack["StackId"],
        "Description": "The ARN of the launched Cloudformation Stack",
    }
    members = ("OutputKey", "OutputValue", "Description")
    return [first] + [{key: out[key] for key in members if key in out} for out in stack.get("Outputs", [])]


def reason(client: Any, stack: dict[str, Any]) -> str:
    """Why a stack failed: its own words, and those of the resources that failed first, nested stacks looked into."""
    words = [stack.get("StackStatusReason") or f"The stack ended as {stack['StackStatus']}"]
    words += [line for line in _failures(client, stack["StackId"], 0) if line not in words]
    return " | ".join(words)


def _failures(client: Any, stack_id: str, depth: int) -> list[str]:
    try:
        pages = client.get_paginator("describe_stack_events").paginate(StackName=stack_id)
        events = [event for part in pages for event in part["StackEvents"]]
    except ClientError:
        return []
    latest = []  # newest first: this operation's events end where the stack itself began
    for event in events:
        latest.append(event)
        own = event.get("PhysicalResourceId") == stack_id and event.get("ResourceType") == _STACK
        if own and event["ResourceStatus"] in ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS"):
            break
    lines: list[str] = []
    for event in reversed(latest):
        text = event.get("ResourceStatusReason", "")
        if not event["ResourceStatus"].endswith("_FAILED") or text.startswith(_CANCELLED):
            continue
        nested = event.get("PhysicalResourceId", "")
        if event["ResourceType"] == _STACK:
            inside = _failures(client, nested, depth + 1) if nested not in ("", stack_id) and depth < 4 else []
            lines += inside or ([] if nested == stack_id else [f"{event['LogicalResourceId']}: {text}"])
        else:
            lines.append(f"{event['LogicalResourceId']} ({event['ResourceType']}): {text}")
    return list(dict.fromkeys(lines))[:3]
