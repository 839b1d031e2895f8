"""Whether the network can be: its own addresses are free, or the existing VPC and its parts are as they must be."""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from botocore.exceptions import ClientError

from slipway.platform.preflight.check import Finding, Subject, Verdict

PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
# What a route leads to by which the internet is reached.
_WAYS_OUT = ("GatewayId", "NatGatewayId", "EgressOnlyInternetGatewayId", "TransitGatewayId")


def endpoint_services(subject: Subject) -> list[str]:
    """The endpoint services that the templates name, as the region names them."""
    full = subject.parameter("EndpointSet") == "full"
    names: set[str] = set()
    for name, text in subject.templates.items():
        if not name.startswith("endpoints") or ("full" in name and not full):
            continue
        names |= {f"com.amazonaws.{subject.region}.{found}" for found in re.findall(r"\{Service: ([a-z0-9.-]+)", text)}
        for found in re.findall(r"ServiceName: !Sub \"?([a-z.]+\$\{AWS::Region\}[a-z0-9.-]+)", text):
            names.add(found.replace("${AWS::Region}", subject.region))
    return sorted(names)


def addresses(subject: Subject) -> Iterator[Finding]:
    """The VPC's addresses are nobody else's: networks that overlap can never be joined."""
    if subject.parameter("ExistingVpcId"):
        return
    given = subject.parameter("VpcCidr")
    try:
        wanted = ipaddress.ip_network(given)
    except ValueError as error:
        yield Finding(Verdict.WRONG, "addresses", f"VpcCidr: {error}", "--parameter VpcCidr=10.42.0.0/18")
        return
    taken = list(_taken(subject))
    clashes = [(network, owner) for network, owner in taken if network.overlaps(wanted)]
    if clashes:
        free = _free(wanted.prefixlen, [network for network, _ in taken])
        said = ", ".join(f"{network} of {owner}" for network, owner in clashes)
        yield Finding(Verdict.WRONG, "addresses", f"{given} overlaps {said}", f"--parameter VpcCidr={free}")
    else:
        yield Finding(Verdict.RIGHT, "addresses", f"{given} is free")


def _taken(subject: Subject) -> Iterator[tuple[Any, str]]:
    """Ranges of other VPCs, and of those that are peered with this account."""
    ec2 = subject.client("ec2")
    for vpc in ec2.describe_vpcs()["Vpcs"]:
        tags = {tag["Key"]: tag["Value"] for tag in vpc.get("Tags", [])}
        if tags.get("Namespace") == subject.namespace:
            continue
        for block in vpc.get("CidrBlockAssociationSet") or [{"CidrBlock": vpc["CidrBlock"]}]:
            yield ipaddress.ip_network(block["CidrBlock"]), f"{vpc['VpcId']}"
    for peering in ec2.describe_vpc_peering_connections().get("VpcPeeringConnections", []):
        for side in ("AccepterVpcInfo", "RequesterVpcInfo"):
            about = peering.get(side, {})
            if about.get("OwnerId") != subject.account and about.get("CidrBlock"):
                yield ipaddress.ip_network(about["CidrBlock"]), f"the peered {about.get('VpcId', 'VPC')}"


def _free(length: int, taken: list[Any]) -> str:
    """The first private range of that length that overlaps none."""
    for whole in PRIVATE:
        for candidate in ipaddress.ip_network(whole).subnets(new_prefix=length):
            if not any(candidate.overlaps(network) for network in taken):
                return str(candidate)
    return "a range that is free"


# -- an existing VPC ---------------------------------------------------------------------------------------------------


def existing(subject: Subject) -> Iterator[Finding]:
    """The existing VPC is here, resolves names, and its subnets and route tables are its own and belong together."""
    vpc = subject.parameter("ExistingVpcId")
    if not vpc:
        return
    try:
        subject.client("ec2").describe_vpcs(VpcIds=[vpc])
    except ClientError as error:
        if not str(error.response["Error"].get("Code", "")).startswith("InvalidVpc"):
            raise
        yield _wrong(f"{vpc} is not in {subject.account}, {subject.region}", "--parameter ExistingVpcId=<vpc>")
        return
    found = [*_names(subject, vpc), *_subnets(subject, vpc), *_routes(subject, vpc), *_doors(subject, vpc)]
    yield from found
    if not any(finding.verdict is Verdict.WRONG for finding in found):
        yield Finding(Verdict.RIGHT, "existing VPC", f"{vpc} with {len(subnets(subject))} subnets")


def subnets(subject: Subject) -> list[dict[str, Any]]:
    """The existing subnets that are given, as far as they are here."""

    def read() -> list[dict[str, Any]]:
        wanted = _listed(subject, "ExistingSubnetIds")
        filters = [{"Name": "subnet-id", "Values": wanted}]
        return list(subject.client("ec2").describe_subnets(Filters=filters)["Subnets"]) if wanted else []

    return list(subject.once("existing subnets", read))


def _listed(subject: Subject, parameter: str) -> list[str]:
    return [item for item in subject.parameter(parameter).split(",") if item]


def _wrong(said: str, mend: str) -> Finding:
    return Finding(Verdict.WRONG, "existing VPC", said, mend)


def _names(subject: Subject, vpc: str) -> Iterator[Finding]:
    """The private names of endpoints need both attributes."""
    for attribute, key, option in (
        ("enableDnsSupport", "EnableDnsSupport", "--enable-dns-support"),
        ("enableDnsHostnames", "EnableDnsHostnames", "--enable-dns-hostnames"),
    ):
        answer = subject.client("ec2").describe_vpc_attribute(VpcId=vpc, Attribute=attribute)
        if not answer[key]["Value"]:
            yield _wrong(f"{vpc}: {attribute} is off", f"aws ec2 modify-vpc-attribute --vpc-id {vpc} {option}")


def _subnets(subject: Subject, vpc: str) -> Iterator[Finding]:
    """They are this VPC's, and each is in a zone of its own: an endpoint takes one subnet of a zone."""
    wanted, found = _listed(subject, "ExistingSubnetIds"), {subnet["SubnetId"]: subnet for subnet in subnets(subject)}
    mend = "--parameter ExistingSubnetIds=<subnet>,<subnet>"
    yield from _strangers("subnet", wanted, found, vpc, mend)
    for zone, count in Counter(subnet["AvailabilityZone"] for subnet in found.values()).items():
        if count > 1:
            yield _wrong(f"{count} of the subnets are in {zone}; each must be in a zone of its own", mend)


def _strangers(kind: str, wanted: Sequence[str], found: dict[str, Any], vpc: str, mend: str) -> Iterator[Finding]:
    if not wanted:
        yield _wrong(f"no {kind} of {vpc} is given", mend)
    for identifier in wanted:
        owner = found.get(identifier, {}).get("VpcId")
        if owner is None:
            yield _wrong(f"there is no {kind} {identifier} here", mend)
        elif owner != vpc:
            yield _wrong(f"{kind} {identifier} belongs to {owner}, not to {vpc}", mend)


def _routes(subject: Subject, vpc: str) -> Iterator[Finding]:
    """The tables are this VPC's and those of the subnets: without, S3 would not be reached."""
    wanted = _listed(subject, "ExistingRouteTableIds")
    filters = [{"Name": "vpc-id", "Values": [vpc]}]
    tables = subject.client("ec2").describe_route_tables(Filters=filters)["RouteTables"]
    own = {table["RouteTableId"]: table for table in tables}
    mend = "--parameter ExistingRouteTableIds=<table>,<table>"
    if not wanted:
        yield _wrong(f"no route table of {vpc} is given", mend)
    yield from (_wrong(f"route table {name} is none of {vpc}", mend) for name in wanted if name not in own)
    used = {_table_of(subnet["SubnetId"], tables) for subnet in subnets(subject) if subnet["VpcId"] == vpc}
    for name in sorted(name for name in used - set(wanted) if name):
        whole = ",".join(sorted({*(item for item in wanted if item in own), name}))
        yield _wrong(f"subnets are routed by {name}, which is not given", f"--parameter ExistingRouteTableIds={whole}")
    for name in sorted(used & set(own)):
        ways = sorted({str(way) for route in own[name].get("Routes", []) if (way := _way_out(route))})
        if ways:
            yield Finding(Verdict.MIND, "existing VPC", f"{name} leads out of the VPC by {', '.join(ways)}")


def _table_of(subnet: str, tables: Sequence[dict[str, Any]]) -> str:
    """The table that a subnet is routed by: its own, else the VPC's main one."""
    main = ""
    for table in tables:
        for association in table.get("Associations", []):
            if association.get("SubnetId") == subnet:
                return str(table["RouteTableId"])
            if association.get("Main"):
                main = str(table["RouteTableId"])
    return main


def _way_out(route: dict[str, Any]) -> str | None:
    if not str(route.get("DestinationCidrBlock") or route.get("DestinationIpv6CidrBlock") or ""):
        return None
    targets = (str(route.get(member) or "") for member in _WAYS_OUT)
    return next((target for target in targets if target and target != "local" and not target.startswith("vpce-")), None)


def _doors(subject: Subject, vpc: str) -> Iterator[Finding]:
    """An endpoint that is there already would have the name, or the route, of ours; without ours, all must be there."""
    filters = [{"Name": "vpc-id", "Values": [vpc]}]
    answer = subject.client("ec2").describe_vpc_endpoints(Filters=filters)["VpcEndpoints"]
    tags = {one["ServiceName"]: {tag["Key"]: tag["Value"] for tag in one.get("Tags", [])} for one in answer}
    wanted = endpoint_services(subject)
    if subject.parameter("EndpointSet") == "none":
        missing = ", ".join(name.split(".", 3)[3] for name in sorted(set(wanted) - set(tags)))
        if missing:
            mend = "--parameter EndpointSet=essential, unless their names are resolved in another way"
            yield Finding(Verdict.MIND, "existing VPC", f"{vpc} has no endpoint of {missing}", mend)
        return
    theirs = sorted(name for name in wanted if name in tags and tags[name].get("Namespace") != subject.namespace)
    if theirs:
        said = f"{vpc} has endpoints of {', '.join(theirs)} already"
        yield _wrong(said, "--parameter EndpointSet=none, if it has all that are needed")
