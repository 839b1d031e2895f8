"""Stacks in a local cloud: templates of the repository, and roots that nest them as platform.yaml does."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.localcloud.conftest import LocalCloud
from tests.templates.library import REPOSITORY, Template

ASSETS, PREFIX = "assets", "releases/0123456789abcdef"
CAPABILITIES = ["CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]


@dataclass(frozen=True)
class Ended:
    """How a stack's operation ended, and why if it failed."""

    status: str
    reasons: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class Account:
    """One account of a local cloud."""

    cloud: LocalCloud
    number: str

    def client(self, service: str) -> Any:
        return self.cloud.client(service, self.number)

    def deploy(self, name: str, template: str, parameters: Mapping[str, str] | None = None) -> Ended:
        """Create or update a stack and wait. Raises botocore's ClientError if it is refused before it begins."""
        cloudformation = self.client("cloudformation")
        call = cloudformation.update_stack if self.exists(name) else cloudformation.create_stack
        call(
            StackName=name,
            TemplateBody=template,
            Capabilities=CAPABILITIES,
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in (parameters or {}).items()],
        )
        return self._ended(name)

    def delete(self, name: str) -> Ended:
        """Delete a stack and wait."""
        self.client("cloudformation").delete_stack(StackName=name)
        return self._ended(name)

    def exists(self, name: str) -> bool:
        return any(stack["StackName"] == name for stack in self._stacks())

    def nested(self, name: str) -> set[str]:
        """Logical ids of the stacks that a stack nests."""
        resources = self.client("cloudformation").describe_stack_resources(StackName=name)["StackResources"]
        return {one["LogicalResourceId"] for one in resources if one["ResourceType"] == "AWS::CloudFormation::Stack"}

    def parameter(self, name: str) -> str:
        """The value of an SSM parameter."""
        return str(self.client("ssm").get_parameter(Name=name)["Parameter"]["Value"])

    def endpoints(self) -> dict[str, dict[str, Any]]:
        """The endpoints of all VPCs, by service name."""
        found = self.client("ec2").describe_vpc_endpoints()["VpcEndpoints"]
        assert len({one["ServiceName"] for one in found}) == len(found), "a service has two endpoints"
        return {one["ServiceName"]: one for one in found}

    def _stacks(self) -> list[dict[str, Any]]:
        stacks = self.client("cloudformation").describe_stacks()["Stacks"]
        return [stack for stack in stacks if stack["StackStatus"] != "DELETE_COMPLETE"]

    def _ended(self, name: str) -> Ended:
        cloudformation = self.client("cloudformation")
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            stacks = [stack for stack in self._stacks() if stack["StackName"] == name]
            if not stacks:
                return Ended("DELETE_COMPLETE")
            status = str(stacks[0]["StackStatus"])
            if not status.endswith("_IN_PROGRESS"):
                events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
                failed = [event for event in events if event["ResourceStatus"].endswith("_FAILED")]
                return Ended(status, tuple(str(event.get("ResourceStatusReason")) for event in failed))
            time.sleep(0.05)
        raise AssertionError(f"{name} does not end")


def template(name: str) -> str:
    """The text of a template of `cfn/`."""
    return (REPOSITORY / "cfn" / f"{name}.yaml").read_text(encoding="utf-8")


def part(root: str, *stacks: str) -> str:
    """A root with some of its nested stacks, its parameters, rules and conditions as they are."""
    body = Template(root, template(root)).body
    resources = {name: body["Resources"][name] for name in stacks}
    return json.dumps({**{key: value for key, value in body.items() if key != "Outputs"}, "Resources": resources})
