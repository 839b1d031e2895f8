"""Whether the region has what the platform needs, and whether its addresses are free."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Any

from slipway.platform.preflight.check import Finding, Subject, Verdict

PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")


def zones(subject: Subject) -> Iterator[Finding]:
    """There are as many zones as are asked for."""
    wanted, found = int(subject.parameter("ZoneCount") or 1), _zones(subject)
    if subject.parameter("ExistingVpcId"):
        return
    if len(found) < wanted:
        yield Finding(
            Verdict.WRONG, "zones", f"{wanted} asked for, {subject.region} has {len(found)}: {', '.join(found)}",
            f"--parameter ZoneCount={len(found)}, or another AWS_REGION",
        )  # fmt: skip
    else:
        yield Finding(Verdict.RIGHT, "zones", f"{wanted} of {', '.join(found)}")


def _zones(subject: Subject) -> list[str]:
    def read() -> list[str]:
        answer = subject.client("ec2").describe_availability_zones(Filters=[{"Name": "state", "Values": ["available"]}])
        return sorted(
            zone["ZoneName"]
            for zone in answer["AvailabilityZones"]
            if zone.get("ZoneType", "availability-zone") == "availability-zone"
        )

    return list(subject.once("zones", read))


def endpoint_services(subject: Subject) -> list[str]:
    """The endpoint services that the templates name, as the region names them."""
    full = subject.parameter("EndpointSet") != "essential"
    names: set[str] = set()
    for name, text in subject.templates.items():
        if not name.startswith("endpoints") or ("full" in name and not full):
            continue
        names |= {f"com.amazonaws.{subject.region}.{found}" for found in re.findall(r"\{Service: ([a-z0-9.-]+)", text)}
        for found in re.findall(r"ServiceName: !Sub \"?([a-z.]+\$\{AWS::Region\}[a-z0-9.-]+)", text):
            names.add(found.replace("${AWS::Region}", subject.region))
    return sorted(names)


def services(subject: Subject) -> Iterator[Finding]:
    """Every endpoint that the VPC would have is offered here, in every zone that it would be in."""
    if subject.parameter("EndpointSet") == "none":
        return
    wanted = endpoint_services(subject)
    zones_used = _zones(subject)[: int(subject.parameter("ZoneCount") or 1)]
    offered: dict[str, list[str]] = {}
    token: dict[str, str] = {}
    while True:
        answer = subject.client("ec2").describe_vpc_endpoint_services(**token)
        for detail in answer.get("ServiceDetails", []):
            offered[detail["ServiceName"]] = detail.get("AvailabilityZones", [])
        for name in answer.get("ServiceNames", []):
            offered.setdefault(name, [])
        if not answer.get("NextToken"):
            break
        token = {"NextToken": answer["NextToken"]}
    missing = [name for name in wanted if name not in offered]
    partly = {
        name: lacking
        for name in wanted
        if offered.get(name) and (lacking := [zone for zone in zones_used if zone not in offered[name]])
    }
    if missing:
        yield Finding(
            Verdict.WRONG, "endpoints", f"{subject.region} does not offer {', '.join(missing)}",
            "another AWS_REGION, or --parameter EndpointSet=essential if the platform can do without it",
        )  # fmt: skip
    for name, lacking in partly.items():
        yield Finding(
            Verdict.WRONG, "endpoints", f"{name} is not offered in {', '.join(lacking)}",
            "fewer zones (--parameter ZoneCount=…) or another AWS_REGION",
        )  # fmt: skip
    if not missing and not partly:
        yield Finding(Verdict.RIGHT, "endpoints", f"{subject.region} offers all {len(wanted)}")


def addresses(subject: Subject) -> Iterator[Finding]:
    """The VPC's addresses are nobody else's: networks that overlap can never be joined."""
    if subject.parameter("ExistingVpcId"):
        yield from _existing(subject, subject.parameter("ExistingVpcId"))
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


def _existing(subject: Subject, vpc: str) -> Iterator[Finding]:
    """An existing VPC resolves names: the private names of endpoints need both attributes."""
    ec2 = subject.client("ec2")
    for attribute, key, option in (
        ("enableDnsSupport", "EnableDnsSupport", "--enable-dns-support"),
        ("enableDnsHostnames", "EnableDnsHostnames", "--enable-dns-hostnames"),
    ):
        if ec2.describe_vpc_attribute(VpcId=vpc, Attribute=attribute)[key]["Value"]:
            yield Finding(Verdict.RIGHT, "addresses", f"{vpc}: {attribute} is on")
        else:
            yield Finding(
                Verdict.WRONG, "addresses", f"{vpc}: {attribute} is off",
                f"aws ec2 modify-vpc-attribute --vpc-id {vpc} {option}",
            )  # fmt: skip
