"""What keeps a VPC from being deleted: interfaces of functions and builds, and groups that services made in it."""

from __future__ import annotations

from functools import partial
from typing import Any

from slipway.platform.destroy.items import Item, Place, gone, pages, tags_of
from slipway.platform.destroy.machine_learning import wait

# Groups that services make in a VPC and leave there: SageMaker's for Studio's file system, GuardDuty's for its agent.
LEFT_GROUPS = ("security-group-for-inbound-nfs-", "security-group-for-outbound-nfs-", "GuardDutyManagedSecurityGroup-")


def vpcs(place: Place) -> list[str]:
    """The VPCs that the platform made; an existing one that it only uses is not its own."""
    ec2 = place.client("ec2")
    found = pages(ec2, "describe_vpcs", "Vpcs", Filters=[{"Name": "tag:Namespace", "Values": [place.namespace]}])
    return [vpc["VpcId"] for vpc in found if tags_of(vpc.get("Tags")).get("Namespace") == place.namespace]


def leftovers(place: Place) -> list[Item]:
    """Interfaces and groups that would keep the platform's VPC from being deleted."""
    found = []
    for vpc in vpcs(place):
        for interface in _interfaces(place, vpc):
            name = interface["NetworkInterfaceId"]
            detail = f"{interface.get('Description', '')} ({interface['Status']})".strip()
            found.append(Item("network interface", name, partial(_remove_interface, place, name), detail))
        for group in _groups(place, vpc):
            remove = partial(_remove_group, place, group["GroupId"])
            found.append(Item("security group", group["GroupId"], remove, group["GroupName"]))
    return found


def _interfaces(place: Place, vpc: str) -> list[dict[str, Any]]:
    """Interfaces but those of endpoints, which are deleted with them."""
    ec2 = place.client("ec2")
    found = pages(
        ec2, "describe_network_interfaces", "NetworkInterfaces", Filters=[{"Name": "vpc-id", "Values": [vpc]}]
    )
    kinds = {"vpc_endpoint", "gateway_load_balancer_endpoint"}
    return [interface for interface in found if interface.get("InterfaceType") not in kinds]


def _remove_interface(place: Place, name: str) -> None:
    """Delete an interface that nothing uses; wait for the service that still does (Lambda takes up to 20 minutes)."""
    ec2 = place.client("ec2")

    def ended() -> bool:
        answer = gone(partial(ec2.describe_network_interfaces, NetworkInterfaceIds=[name])) or {}
        for interface in answer.get("NetworkInterfaces", []):
            if interface["Status"] == "available":
                gone(partial(ec2.delete_network_interface, NetworkInterfaceId=name))
            return False
        return True

    wait(place, f"network interface {name}", ended)


def _groups(place: Place, vpc: str) -> list[dict[str, Any]]:
    ec2 = place.client("ec2")
    found = pages(ec2, "describe_security_groups", "SecurityGroups", Filters=[{"Name": "vpc-id", "Values": [vpc]}])
    return [group for group in found if group["GroupName"].startswith(LEFT_GROUPS)]


def _remove_group(place: Place, group: str) -> None:
    """Take the rules away first: two groups that name each other keep each other."""
    ec2 = place.client("ec2")
    answer = gone(partial(ec2.describe_security_groups, GroupIds=[group])) or {}
    for about in answer.get("SecurityGroups", []):
        if about.get("IpPermissions"):
            gone(partial(ec2.revoke_security_group_ingress, GroupId=group, IpPermissions=about["IpPermissions"]))
        if about.get("IpPermissionsEgress"):
            gone(partial(ec2.revoke_security_group_egress, GroupId=group, IpPermissions=about["IpPermissionsEgress"]))
    gone(partial(ec2.delete_security_group, GroupId=group))
