"""A local cloud for each of these files, with what the platform's other layers would have published."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from slipway.archive import archive
from slipway.platform.assets import _lambda
from tests.localcloud.conftest import REGION, TOOLING, LocalCloud, free_port
from tests.templates.library import REPOSITORY

NAMESPACE = "slipway"
BUCKET, PREFIX = f"{NAMESPACE}-assets-{TOOLING}-{REGION}", "releases/0123456789abcdef"


@dataclass
class Account:
    """The tooling account."""

    cloud: LocalCloud
    vpc: str
    subnets: list[str]

    def client(self, service: str) -> Any:
        return self.cloud.client(service)

    def deploy(self, layer: str, expect: str = "", template: str = "", **parameters: str) -> dict[str, Any]:
        """Create or update a layer's stack (of another `template`); the stack, once it ended as expected."""
        cloudformation = self.client("cloudformation")
        request = {
            "StackName": f"{NAMESPACE}-{layer}",
            "TemplateBody": (REPOSITORY / (template or f"cfn/{layer}.yaml")).read_text(encoding="utf-8"),
            "Parameters": [{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
            "Capabilities": ["CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
        }
        change = cloudformation.update_stack if self.exists(layer) else cloudformation.create_stack
        change(**request)
        stack = self.ended(layer)
        wanted = {expect} if expect else {"CREATE_COMPLETE", "UPDATE_COMPLETE"}
        assert stack["StackStatus"] in wanted, f"{stack['StackStatus']}\n{self.reasons(layer)}"
        return stack

    def exists(self, layer: str) -> bool:
        try:
            self.client("cloudformation").describe_stacks(StackName=f"{NAMESPACE}-{layer}")
        except self.client("cloudformation").exceptions.ClientError:
            return False
        return True

    def ended(self, layer: str) -> dict[str, Any]:
        for _ in range(1200):
            found = self.client("cloudformation").describe_stacks(StackName=f"{NAMESPACE}-{layer}")["Stacks"][0]
            if not found["StackStatus"].endswith("_IN_PROGRESS"):
                return dict(found)
            time.sleep(0.1)
        raise AssertionError(f"{layer} does not end: {self.reasons(layer)}")

    def reasons(self, layer: str) -> str:
        events = self.client("cloudformation").describe_stack_events(StackName=f"{NAMESPACE}-{layer}")["StackEvents"]
        lines = [f"{e['LogicalResourceId']} {e['ResourceStatus']} {e.get('ResourceStatusReason', '')}" for e in events]
        return "\n".join(line for line in lines if "FAILED" in line or "ROLLBACK" in line)

    def delete(self, layer: str) -> None:
        """Delete a layer's stack, which must succeed."""
        cloudformation = self.client("cloudformation")
        identifier = cloudformation.describe_stacks(StackName=f"{NAMESPACE}-{layer}")["Stacks"][0]["StackId"]
        cloudformation.delete_stack(StackName=identifier)
        for _ in range(1200):
            status = cloudformation.describe_stacks(StackName=identifier)["Stacks"][0]["StackStatus"]
            if not status.endswith("_IN_PROGRESS"):
                break
            time.sleep(0.1)
        assert status == "DELETE_COMPLETE", f"{status}\n{self.reasons(layer)}"

    def contract(self, name: str) -> str:
        """What a layer published."""
        found = self.client("ssm").get_parameter(Name=f"/{NAMESPACE}/platform/{name}")
        return str(found["Parameter"]["Value"])

    def publish(self, name: str, value: str) -> None:
        """What another layer would have published."""
        kind = "StringList" if "," in value else "String"
        self.client("ssm").put_parameter(Name=f"/{NAMESPACE}/platform/{name}", Value=value, Type=kind, Overwrite=True)


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """A file's own: files run in any order, and each makes the domain and the package domain under the same names."""
    cloud = LocalCloud(tmp_path_factory.mktemp("studio") / "home", free_port())
    cloud.start()
    try:
        yield prepared(cloud)
    finally:
        cloud.stop()


def prepared(cloud: LocalCloud, *, guarded: bool = False) -> Account:
    """An account with a network and the contracts of the other layers; `guarded` with the guardrails as they are."""
    ec2 = cloud.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.42.0.0/18")["Vpc"]["VpcId"]
    zones = [zone["ZoneName"] for zone in ec2.describe_availability_zones()["AvailabilityZones"]]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.42.{4 * place}.0/22", AvailabilityZone=zones[place])["Subnet"][
            "SubnetId"
        ]
        for place in range(2)
    ]
    group = ec2.create_security_group(GroupName="compute", Description="compute", VpcId=vpc)["GroupId"]
    s3 = cloud.client("s3")
    for bucket in (BUCKET, f"{NAMESPACE}-logs-{TOOLING}-{REGION}"):
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket=BUCKET, Key=f"{PREFIX}/lambda.zip", Body=archive(_lambda(REPOSITORY / "cicd")))
    account = Account(cloud, vpc, subnets)
    for name, value in {
        **({} if guarded else _without_guard(cloud)),
        "assets/bucket": BUCKET,
        "assets/prefix": PREFIX,
        "assets/log-bucket": f"{NAMESPACE}-logs-{TOOLING}-{REGION}",
        "network/vpc-id": vpc,
        "network/private-subnet-ids": ",".join(subnets),
        "network/compute-security-group-id": group,
    }.items():
        account.publish(name, value)
    if guarded:
        account.deploy("guardrails")
    return account


def _without_guard(cloud: LocalCloud) -> dict[str, str]:
    """Policies that keep nobody from anything, and a key."""
    everything = json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    )
    made = {
        f"guardrails/{contract}": cloud.client("iam").create_policy(
            PolicyName=f"{NAMESPACE}-{name}", PolicyDocument=everything
        )["Policy"]["Arn"]
        for contract, name in {"boundary-arn": "boundary", "no-hands-policy-arn": "no-hands-on-pipelines"}.items()
    }
    return {**made, "guardrails/key-arn": cloud.client("kms").create_key()["KeyMetadata"]["Arn"]}
