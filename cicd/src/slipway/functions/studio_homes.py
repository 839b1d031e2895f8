"""What SageMaker makes for a Studio domain and leaves behind: the file system of the homes, and two security groups.

All of it bears the tag ManagedByAmazonSageMakerResource with the domain's ARN; the groups are named
`security-group-for-{inbound,outbound}-nfs-{domain}` (SageMaker Developer Guide, "Delete a domain").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError

MANAGED = "ManagedByAmazonSageMakerResource"


def tag(efs: Any, file_system: str, tags: Mapping[str, str]) -> None:
    """Give a file system the platform's tags: cost allocation needs them, and so does whoever removes it later."""
    efs.tag_resource(ResourceId=file_system, Tags=[{"Key": name, "Value": value} for name, value in tags.items()])


def remove(session: Any, namespace: str, vpc: str, *, keep: bool, wait: Callable[[str], None]) -> None:
    """Remove the homes of the platform's domains that are no more, with what holds the VPC.

    `keep` leaves the file systems themselves. A domain that still exists keeps everything: a stack that was told to
    retain its domain must not lose its homes. `wait` pauses, and raises when there is no time left.
    """
    efs, sagemaker = session.client("efs"), session.client("sagemaker")
    domains = set()
    for page in efs.get_paginator("describe_file_systems").paginate():
        for found in page["FileSystems"]:
            tags = {item["Key"]: item["Value"] for item in found["Tags"]}
            if tags.get("Namespace") != namespace or MANAGED not in tags or _exists(sagemaker, tags[MANAGED]):
                continue
            domains.add(tags[MANAGED])
            _unmount(efs, found["FileSystemId"], wait)
            if not keep:
                _delete(efs, found["FileSystemId"])
    _remove_groups(session.client("ec2"), sagemaker, vpc, domains, wait)


def _exists(sagemaker: Any, arn: str) -> bool:
    try:
        return bool(sagemaker.describe_domain(DomainId=arn.rpartition("/")[2])["DomainArn"] == arn)
    except ClientError as error:
        if error.response["Error"]["Code"] in {"ResourceNotFound", "ResourceNotFoundException"}:
            return False
        raise


def _unmount(efs: Any, file_system: str, wait: Callable[[str], None]) -> None:
    while targets := efs.describe_mount_targets(FileSystemId=file_system)["MountTargets"]:
        for target in targets:
            if target["LifeCycleState"] != "deleting":
                try:
                    efs.delete_mount_target(MountTargetId=target["MountTargetId"])
                except efs.exceptions.MountTargetNotFound:
                    continue
        if efs.describe_mount_targets(FileSystemId=file_system)["MountTargets"]:
            wait(f"mount targets of {file_system}")


def _delete(efs: Any, file_system: str) -> None:
    try:
        for page in efs.get_paginator("describe_access_points").paginate(FileSystemId=file_system):
            for point in page["AccessPoints"]:
                efs.delete_access_point(AccessPointId=point["AccessPointId"])
        efs.delete_file_system(FileSystemId=file_system)
    except (efs.exceptions.FileSystemNotFound, efs.exceptions.AccessPointNotFound):
        return


def _remove_groups(ec2: Any, sagemaker: Any, vpc: str, domains: set[str], wait: Callable[[str], None]) -> None:
    """The two groups name each other: first their rules go, then they."""
    filters = [{"Name": "vpc-id", "Values": [vpc]}, {"Name": "tag-key", "Values": [MANAGED]}]
    pages = ec2.get_paginator("describe_security_groups").paginate(Filters=filters)
    groups = []
    for group in [group for page in pages for group in page["SecurityGroups"]]:
        owner = {item["Key"]: item["Value"] for item in group.get("Tags", [])}.get(MANAGED, "")
        # Where the file system went in an earlier, interrupted run, its groups are known by their domain's absence.
        if owner in domains or (owner and not _exists(sagemaker, owner)):
            groups.append(group)
    for group in groups:
        if group["IpPermissions"]:
            ec2.revoke_security_group_ingress(GroupId=group["GroupId"], IpPermissions=group["IpPermissions"])
        if group["IpPermissionsEgress"]:
            ec2.revoke_security_group_egress(GroupId=group["GroupId"], IpPermissions=group["IpPermissionsEgress"])
    for group in groups:
        while not _deleted(ec2, group["GroupId"]):
            wait(f"security group {group['GroupId']}")


def _deleted(ec2: Any, group: str) -> bool:
    """False while an interface that is going still has the group."""
    try:
        ec2.delete_security_group(GroupId=group)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code != "InvalidGroup.NotFound":
            if code != "DependencyViolation":
                raise
            return False
    return True
