"""The network's layers: alone and as the roots nest them, changed, in a VPC that is there already, and removed."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.localcloud.conftest import PRODUCTION, STAGING, TOOLING, LocalCloud
from tests.platform.stacks import ASSETS, PREFIX, Account, part, template

NETWORK = ("Network", "FlowLogs", "Endpoints", "EndpointsFull", "DnsFirewall")
ESSENTIAL, FULL = 18, 33  # the gateways of S3 and DynamoDB are of both
# What a root must be told besides what is tried.
GIVEN = {
    "platform": {"StagingAccountId": STAGING, "ProductionAccountId": PRODUCTION},
    "workload": {"ToolingAccountId": TOOLING, "Environment": "production"},
}


def given(account: Account, root: str, **parameters: str) -> dict[str, str]:
    return {"AssetsBucket": f"{ASSETS}-{account.number}", "AssetsPrefix": PREFIX, **GIVEN[root], **parameters}


def network(root: str) -> str:
    """The root's network alone; in the tooling account the settings say whose accounts may use the endpoints."""
    return part(root, *NETWORK, *(["Settings"] if root == "platform" else []))


def made(account: Account) -> dict[str, set[str]]:
    """Every record of the network in the account, by kind, without what AWS gives every account."""
    ec2, ssm = account.client("ec2"), account.client("ssm")
    ours = {vpc["VpcId"] for vpc in ec2.describe_vpcs()["Vpcs"] if not vpc["IsDefault"]}

    def ids(answer: list[dict[str, Any]], key: str) -> set[str]:
        return {one[key] for one in answer if one.get("VpcId") in ours}

    groups = [one for one in ec2.describe_security_groups()["SecurityGroups"] if one["GroupName"] != "default"]
    tables = [one for one in ec2.describe_route_tables()["RouteTables"] if not _is_main(one)]
    acls = [one for one in ec2.describe_network_acls()["NetworkAcls"] if not one["IsDefault"]]
    flows = ec2.describe_flow_logs()["FlowLogs"]
    parameters = ssm.get_parameters_by_path(Path="/slipway/platform/network", Recursive=True)["Parameters"]
    return {
        "vpcs": ours,
        "subnets": ids(ec2.describe_subnets()["Subnets"], "SubnetId"),
        "route tables": ids(tables, "RouteTableId"),
        "access lists": ids(acls, "NetworkAclId"),
        "security groups": ids(groups, "GroupId"),
        "endpoints": set(account.endpoints()),
        "flow logs": {one["FlowLogId"] for one in flows},
        "contracts": {one["Name"].rpartition("/")[2] for one in parameters},
    }


def _is_main(table: dict[str, Any]) -> bool:
    return any(association.get("Main") for association in table.get("Associations", []))


def forget_logs(account: Account) -> None:
    """The logs outlive the stacks, on purpose; the next test begins without."""
    logs = account.client("logs")
    for group in logs.describe_log_groups(logGroupNamePrefix="/slipway/network/")["logGroups"]:
        logs.delete_log_group(logGroupName=group["logGroupName"])


def test_every_layer_deploys_alone_and_leaves_nothing(production: Account) -> None:
    """Protects a person who deploys one layer: nothing but the contracts that it reads has to be there."""
    before = made(production)
    trusted = {"TrustedAccountIds": f"{TOOLING},{PRODUCTION}"}
    layers: dict[str, dict[str, str]] = {
        "network": {}, "flow-logs": {}, "endpoints": trusted, "endpoints-full": trusted, "dns-firewall": {},
    }  # fmt: skip
    for layer, parameters in layers.items():
        ended = production.deploy(f"slipway-{layer}", template(layer), parameters)
        assert ended.status == "CREATE_COMPLETE", f"{layer}: {ended.reasons}"
    assert len(production.endpoints()) == FULL
    for layer in reversed(layers):
        assert production.delete(f"slipway-{layer}").status == "DELETE_COMPLETE"
    assert made(production) == before
    forget_logs(production)


@pytest.mark.parametrize("root", ["platform", "workload"])
def test_a_root_changes_its_network_and_leaves_nothing(root: str, tooling: Account, staging: Account) -> None:
    """Protects upgrades: another set of endpoints and another number of zones are changes, not new networks."""
    account = tooling if root == "platform" else staging
    name, text = f"slipway-{root}", network(root)
    before = made(account)
    assert account.deploy(name, text, given(account, root)).status == "CREATE_COMPLETE"
    first = made(account)
    assert {kind: len(records) for kind, records in first.items()} == {
        "vpcs": 1, "subnets": 2, "route tables": 1, "access lists": 1, "security groups": 2, "endpoints": ESSENTIAL,
        "flow logs": 1, "contracts": 6,
    }  # fmt: skip
    steps = [({"EndpointSet": "full"}, FULL, 2), ({"EndpointSet": "full", "ZoneCount": "3"}, FULL, 3),
             ({"ZoneCount": "3"}, ESSENTIAL, 3), ({"ZoneCount": "1"}, ESSENTIAL, 1)]  # fmt: skip
    for parameters, endpoints, zones in steps:
        ended = account.deploy(name, text, given(account, root, **parameters))
        assert ended.status == "UPDATE_COMPLETE", f"{parameters}: {ended.reasons}"
        found, now = account.endpoints(), made(account)
        assert (len(found), now["vpcs"]) == (endpoints, first["vpcs"])
        subnets = set(account.parameter("/slipway/platform/network/private-subnet-ids").split(","))
        assert len(subnets) == zones
        assert subnets == now["subnets"]
        interfaces = [one for one in found.values() if one["VpcEndpointType"] == "Interface"]
        missing = {one["ServiceName"] for one in interfaces if set(one["SubnetIds"]) != subnets}
        assert not missing, f"{parameters}: these endpoints have other zones"
    assert account.delete(name).status == "DELETE_COMPLETE"
    assert made(account) == before
    forget_logs(account)


def test_nothing_leads_to_the_internet(production: Account) -> None:
    """Protects the data: no gateway, no address translation, no route out, and addresses by prefix list where known."""
    ec2 = production.client("ec2")
    parameters = {"GatewayPrefixListIds": "pl-6da54004,pl-6fa54006"}
    assert production.deploy("slipway-network", template("network"), parameters).status == "CREATE_COMPLETE"
    vpc = production.parameter("/slipway/platform/network/vpc-id")
    of_vpc = [{"Name": "attachment.vpc-id", "Values": [vpc]}]
    assert not ec2.describe_internet_gateways(Filters=of_vpc)["InternetGateways"]
    assert not ec2.describe_nat_gateways()["NatGateways"]
    for table in ec2.describe_route_tables()["RouteTables"]:
        if table["VpcId"] == vpc:
            assert {route["GatewayId"] for route in table["Routes"]} == {"local"}
    assert not any(one["MapPublicIpOnLaunch"] for one in ec2.describe_subnets()["Subnets"] if one["VpcId"] == vpc)
    for contract in ("compute", "endpoint"):
        group = production.parameter(f"/slipway/platform/network/{contract}-security-group-id")
        rules = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]
        for rule in [*rules["IpPermissions"], *rules["IpPermissionsEgress"]]:
            assert (rule["IpProtocol"], rule["IpRanges"]) == ("tcp", []), f"{contract}: {rule}"
    assert production.delete("slipway-network").status == "DELETE_COMPLETE"


@pytest.fixture
def existing(production: Account) -> Any:
    """A VPC that is not ours: its id, its subnets and its route tables."""
    ec2 = production.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.99.0.0/16")["Vpc"]["VpcId"]
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
    subnets, tables = [], []
    for number in range(2):
        subnet = ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.99.{number}.0/24")["Subnet"]["SubnetId"]
        table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
        ec2.associate_route_table(SubnetId=subnet, RouteTableId=table)
        subnets.append(subnet)
        tables.append(table)
    yield vpc, subnets, tables
    for subnet in subnets:
        ec2.delete_subnet(SubnetId=subnet)
    for table in tables:
        ec2.delete_route_table(RouteTableId=table)
    ec2.delete_vpc(VpcId=vpc)


def test_an_existing_network_is_used_and_left_as_it_was(production: Account, existing: Any) -> None:
    """Protects a network that others own: the platform adds security groups and endpoints, and takes them away."""
    vpc, subnets, tables = existing
    before = made(production)
    name, text = "slipway-workload", part("workload", *NETWORK)
    parameters = {
        "ExistingVpcId": vpc, "ExistingSubnetIds": ",".join(subnets), "ExistingRouteTableIds": ",".join(tables),
    }  # fmt: skip
    ended = production.deploy(name, text, given(production, "workload", **parameters))
    assert ended.status == "CREATE_COMPLETE", ended.reasons
    assert production.nested(name) == {"Network", "Endpoints"}
    now = made(production)
    for kind in ("vpcs", "subnets", "route tables", "access lists", "flow logs"):
        assert now[kind] == before[kind], kind
    found = production.endpoints()
    assert len(found) == ESSENTIAL
    assert {one["VpcId"] for one in found.values()} == {vpc}
    assert set(found["com.amazonaws.eu-west-1.s3"]["RouteTableIds"]) == set(tables)
    assert set(found["com.amazonaws.eu-west-1.sts"]["SubnetIds"]) == set(subnets)
    assert production.parameter("/slipway/platform/network/vpc-id") == vpc
    # The VPC gets endpoints of its own: ours go, and the platform stays.
    without = given(production, "workload", **parameters, EndpointSet="none")
    assert production.deploy(name, text, without).status == "UPDATE_COMPLETE"
    assert not production.endpoints()
    assert production.delete(name).status == "DELETE_COMPLETE"
    assert made(production) == before


def test_an_existing_network_that_cannot_have_endpoints_gets_nothing(production: Account, existing: Any) -> None:
    """Protects a failed first deployment: rolled back whole, and deployable again at once."""
    vpc, subnets, tables = existing
    ec2, before = production.client("ec2"), made(production)
    name, text = "slipway-workload", part("workload", *NETWORK)
    parameters = given(
        production, "workload", ExistingVpcId=vpc, ExistingSubnetIds=",".join(subnets),
        ExistingRouteTableIds=",".join(tables),
    )  # fmt: skip
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": False})
    ended = production.deploy(name, text, parameters)
    assert ended.status == "ROLLBACK_COMPLETE"
    assert production.delete(name).status == "DELETE_COMPLETE"
    assert made(production) == before
    # An endpoint that is there already has the name that ours would have.
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
    door = {
        "Type": "AWS::EC2::VPCEndpoint",
        "Properties": {
            "VpcEndpointType": "Interface", "ServiceName": "com.amazonaws.eu-west-1.sts", "VpcId": vpc,
            "SubnetIds": subnets, "PrivateDnsEnabled": True,
        },
    }  # fmt: skip
    assert production.deploy("theirs", json.dumps({"Resources": {"Door": door}})).status == "CREATE_COMPLETE"
    assert production.deploy(name, text, parameters).status == "ROLLBACK_COMPLETE"
    assert production.delete(name).status == "DELETE_COMPLETE"
    assert set(production.endpoints()) == {"com.amazonaws.eu-west-1.sts"}
    assert production.delete("theirs").status == "DELETE_COMPLETE"
    assert production.deploy(name, text, parameters).status == "CREATE_COMPLETE"
    assert production.delete(name).status == "DELETE_COMPLETE"
    assert made(production) == before


BAD: list[tuple[dict[str, str], str]] = [
    ({"VpcCidr": "172.17.0.0/16"}, "Docker"),
    ({"VpcCidr": "10.42.1.0/18"}, "boundary of its size"),
    ({"VpcCidr": "10.42.0.0/21"}, "between /16 and /20"),
    ({"VpcCidr": "8.8.0.0/16"}, "private IPv4 range"),
    ({"ZoneCount": "4"}, "ZoneCount"),
    ({"ExistingVpcId": "vpc-0123456789abcdef0"}, "together or not at all"),
    ({"ExistingSubnetIds": "subnet-0123456789abcdef0"}, "together or not at all"),
    ({"ExistingVpcId": "10.42.0.0/16"}, "must be the id of a VPC"),
    ({"EndpointSet": "none"}, "for an existing VPC"),
    ({"GatewayPrefixListIds": "pl-6da54004"}, "two ids of prefix lists"),
    ({"OrganizationId": "acme"}, "must be the id of an organisation"),
]


@pytest.mark.parametrize("root", ["platform", "workload"])
@pytest.mark.parametrize(("parameters", "expected"), BAD, ids=lambda value: str(value))
def test_a_network_that_cannot_be_is_refused_before_anything_is_made(
    root: str, parameters: dict[str, str], expected: str, tooling: Account, staging: Account
) -> None:
    """Protects an account from half a platform."""
    account = tooling if root == "platform" else staging
    with pytest.raises(ClientError) as error:
        account.deploy("slipway-refused", network(root), given(account, root, **parameters))
    assert expected in error.value.response["Error"]["Message"]
    assert not account.exists("slipway-refused")


def test_zones_that_the_region_lacks_are_refused(cloud: LocalCloud) -> None:
    """Protects deployments to Northern California, where an account has two zones."""
    california = boto3.client(
        "cloudformation", endpoint_url=cloud.endpoint, region_name="us-west-1", aws_access_key_id=TOOLING,
        aws_secret_access_key="test",
    )  # fmt: skip
    request = {"StackName": "slipway-network", "TemplateBody": template("network")}
    with pytest.raises(ClientError) as error:
        california.create_stack(**request, Parameters=[{"ParameterKey": "ZoneCount", "ParameterValue": "3"}])
    assert "two zones" in error.value.response["Error"]["Message"]
    assert california.create_stack(**request)["StackId"]
