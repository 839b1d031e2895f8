"""Whether the region has what the platform needs."""

from __future__ import annotations

from collections.abc import Iterator

from slipway.platform.preflight import network
from slipway.platform.preflight.check import Finding, Subject, Verdict


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


def services(subject: Subject) -> Iterator[Finding]:
    """Every endpoint that the VPC would have is offered here, in every zone that it would be in."""
    if subject.parameter("EndpointSet") == "none":
        return
    wanted = network.endpoint_services(subject)
    if subject.parameter("ExistingVpcId"):
        zones_used = sorted({subnet["AvailabilityZone"] for subnet in network.subnets(subject)})
    else:
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
