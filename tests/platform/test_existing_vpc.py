"""Preflight looks at the existing VPC that a platform is to use, before anything is made in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from slipway.platform.preflight import check, network
from slipway.platform.preflight.check import Subject, Verdict
from tests.localcloud.conftest import LocalCloud
from tests.platform.stacks import Account
from tests.templates.library import REPOSITORY


@dataclass
class Session:
    """A boto3 session of an account of the local cloud, as preflight takes one."""

    account: Account
    region_name: str = "eu-west-1"

    def client(self, service: str, **_: Any) -> Any:
        return self.account.client(service)


@dataclass
class Theirs:
    """A VPC that others own."""

    account: Account
    vpc: str
    subnets: list[str] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)

    def parameters(self, **changed: str) -> dict[str, str]:
        return {
            "ExistingVpcId": self.vpc, "ExistingSubnetIds": ",".join(self.subnets),
            "ExistingRouteTableIds": ",".join(self.tables), **changed,
        }  # fmt: skip

    def said(self, **changed: str) -> list[str]:
        """What preflight finds, as `mark said`."""
        templates = check.templates(REPOSITORY)
        subject = Subject(Session(self.account), "slipway", "platform", self.parameters(**changed), templates)
        found = list(check.run(subject, {"existing VPC": network.existing}))
        assert all(finding.mend for finding in found if finding.verdict is Verdict.WRONG), found
        return [f"{finding.verdict} {finding.said}" for finding in found]


def made(account: Account, cidr: str) -> Theirs:
    ec2 = account.client("ec2")
    theirs = Theirs(account, ec2.create_vpc(CidrBlock=f"{cidr}.0.0/16")["Vpc"]["VpcId"])
    ec2.modify_vpc_attribute(VpcId=theirs.vpc, EnableDnsHostnames={"Value": True})
    for number, zone in enumerate(("eu-west-1a", "eu-west-1b")):
        subnet = ec2.create_subnet(VpcId=theirs.vpc, CidrBlock=f"{cidr}.{number}.0/24", AvailabilityZone=zone)["Subnet"]
        table = ec2.create_route_table(VpcId=theirs.vpc)["RouteTable"]["RouteTableId"]
        ec2.associate_route_table(SubnetId=subnet["SubnetId"], RouteTableId=table)
        theirs.subnets.append(subnet["SubnetId"])
        theirs.tables.append(table)
    return theirs


@pytest.fixture(scope="module")
def theirs(cloud: LocalCloud) -> Theirs:
    """In an account that no other test of the folder looks at."""
    return made(Account(cloud, "444444444444"), "10.90")


@pytest.fixture(scope="module")
def another(theirs: Theirs) -> Theirs:
    return made(theirs.account, "10.91")


def test_a_vpc_as_it_must_be_passes(theirs: Theirs) -> None:
    """Protects from a preflight that cries wolf."""
    assert theirs.said() == [f"✓ {theirs.vpc} with 2 subnets"]


def test_what_is_not_there_is_told(theirs: Theirs) -> None:
    """Protects from ids of another region or account, of which CloudFormation tells only half-way."""
    assert "is not in 444444444444, eu-west-1" in theirs.said(ExistingVpcId="vpc-00000000")[0]
    gone = theirs.said(ExistingSubnetIds=f"{theirs.subnets[0]},subnet-00000000")
    assert "✗ there is no subnet subnet-00000000 here" in gone


def test_what_belongs_to_another_vpc_is_told(theirs: Theirs, another: Theirs) -> None:
    """Protects from endpoints in one VPC and builds in another."""
    stranger = another.subnets[1]
    found = theirs.said(ExistingSubnetIds=f"{theirs.subnets[0]},{stranger}")
    assert f"✗ subnet {stranger} belongs to {another.vpc}, not to {theirs.vpc}" in found
    found = theirs.said(ExistingRouteTableIds=f"{theirs.tables[0]},{theirs.tables[1]},{another.tables[0]}")
    assert found == [f"✗ route table {another.tables[0]} is none of {theirs.vpc}"]


def test_subnets_of_one_zone_and_a_table_left_out_are_told(theirs: Theirs) -> None:
    """Protects from endpoints that AWS refuses, and from a subnet whose builds would never reach S3."""
    ec2 = theirs.account.client("ec2")
    twin = ec2.create_subnet(VpcId=theirs.vpc, CidrBlock="10.90.9.0/24", AvailabilityZone="eu-west-1a")["Subnet"][
        "SubnetId"
    ]
    ec2.associate_route_table(SubnetId=twin, RouteTableId=theirs.tables[0])
    found = theirs.said(ExistingSubnetIds=f"{theirs.subnets[0]},{twin}")
    assert "✗ 2 of the subnets are in eu-west-1a; each must be in a zone of its own" in found
    ec2.delete_subnet(SubnetId=twin)
    found = theirs.said(ExistingRouteTableIds=theirs.tables[0])
    assert found == [f"✗ subnets are routed by {theirs.tables[1]}, which is not given"]


def test_a_vpc_that_does_not_resolve_names_is_told(another: Theirs) -> None:
    """Protects from a platform whose every build hangs: without DNS the private names of endpoints lead nowhere."""
    ec2 = another.account.client("ec2")
    for attribute in ("EnableDnsHostnames", "EnableDnsSupport"):
        ec2.modify_vpc_attribute(VpcId=another.vpc, **{attribute: {"Value": False}})
        name = attribute[0].lower() + attribute[1:]
        assert f"✗ {another.vpc}: {name} is off" in another.said()
    for attribute in ("EnableDnsSupport", "EnableDnsHostnames"):
        ec2.modify_vpc_attribute(VpcId=another.vpc, **{attribute: {"Value": True}})


def test_endpoints_and_ways_out_that_are_there_already_are_told(another: Theirs) -> None:
    """Protects from endpoints of the same name, which AWS refuses, and from subnets that are not private."""
    ec2 = another.account.client("ec2")
    sts = ec2.create_vpc_endpoint(
        VpcId=another.vpc, ServiceName="com.amazonaws.eu-west-1.sts", VpcEndpointType="Interface",
        SubnetIds=another.subnets,
    )["VpcEndpoint"]["VpcEndpointId"]  # fmt: skip
    found = another.said()
    assert any("has endpoints of com.amazonaws.eu-west-1.sts already" in one for one in found)
    (minded,) = (one for one in another.said(EndpointSet="none") if one.startswith("!"))
    assert "has no endpoint of" in minded
    assert "sts" not in minded.split("endpoint of ")[1].split(", ")
    ec2.delete_vpc_endpoints(VpcEndpointIds=[sts])
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=another.vpc)
    ec2.create_route(RouteTableId=another.tables[0], DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    assert f"! {another.tables[0]} leads out of the VPC by {gateway}" in another.said()
