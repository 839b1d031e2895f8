"""What a Studio domain makes in the account: the file system of its homes, in every subnet, behind two security groups.

As on AWS, a deleted domain leaves them behind unless DeleteDomain says otherwise, and a VPC that still holds a mount
target cannot be deleted. Both bear the tag ManagedByAmazonSageMakerResource (Developer Guide, service-linked role).
"""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from localcloud.core import Call, Cloud, Fault
from localcloud.records import Record

_MANAGED = "ManagedByAmazonSageMakerResource"
_NFS = 2049


def prepare(cloud: Cloud, call: Call, record: Record, arn: str) -> None:
    """Make the file system of a new domain and note its id in the record.

    Raises:
        Fault: ValidationException when VPC or subnets do not exist.
    """
    if cloud.base is None:
        return  # records alone, without the services that EFS and VPC belong to
    vpc, subnets = record.get("VpcId"), record.get("SubnetIds") or []
    ec2 = cloud.client("ec2", account=call.account, region=call.region)
    try:
        if subnets:
            found = ec2.describe_subnets(SubnetIds=subnets)["Subnets"]
            strange = [item["SubnetId"] for item in found if item["VpcId"] != vpc]
            if strange:
                raise Fault("ValidationException", f"The subnets {', '.join(strange)} are not in the VPC {vpc}.")
    except ClientError as error:
        raise Fault("ValidationException", error.response["Error"]["Message"]) from error
    if record.get("HomeEfsFileSystemCreation") == "Disabled":
        return
    tags = [{"Key": _MANAGED, "Value": arn}]
    efs = cloud.client("efs", account=call.account, region=call.region)
    key = record.get("KmsKeyId") or record.get("HomeEfsFileSystemKmsKeyId")
    home = efs.create_file_system(
        CreationToken=record["DomainId"], Encrypted=True, Tags=tags, **({"KmsKeyId": key} if key else {})
    )["FileSystemId"]
    record["HomeEfsFileSystemId"] = home
    if not subnets:
        return
    groups = {}
    for direction in ("inbound", "outbound"):
        groups[direction] = ec2.create_security_group(
            GroupName=f"security-group-for-{direction}-nfs-{record['DomainId']}",
            Description=f"[DO NOT DELETE] Security Group that allows {direction} NFS traffic for SageMaker Notebooks "
            f"Domain [{record['DomainId']}]",
            VpcId=vpc,
            TagSpecifications=[{"ResourceType": "security-group", "Tags": tags}],
        )["GroupId"]
    ec2.authorize_security_group_ingress(GroupId=groups["inbound"], IpPermissions=[_nfs(groups["outbound"])])
    ec2.authorize_security_group_egress(GroupId=groups["outbound"], IpPermissions=[_nfs(groups["inbound"])])
    zones = set()
    for subnet in found:
        if subnet["AvailabilityZone"] not in zones:  # a file system has one mount target in a zone
            zones.add(subnet["AvailabilityZone"])
            efs.create_mount_target(FileSystemId=home, SubnetId=subnet["SubnetId"], SecurityGroups=[groups["inbound"]])


def _nfs(group: str) -> dict[str, Any]:
    return {"IpProtocol": "tcp", "FromPort": _NFS, "ToPort": _NFS, "UserIdGroupPairs": [{"GroupId": group}]}


def remove(cloud: Cloud, call: Call, record: Record) -> None:
    """Delete the file system of a domain that is deleted with RetentionPolicy HomeEfsFileSystem=Delete."""
    home = record.get("HomeEfsFileSystemId")
    policy = (call.input.get("RetentionPolicy") or {}).get("HomeEfsFileSystem", "Retain")
    if not home or policy != "Delete" or cloud.base is None:
        return
    efs = cloud.client("efs", account=call.account, region=call.region)
    try:
        for target in efs.describe_mount_targets(FileSystemId=home)["MountTargets"]:
            efs.delete_mount_target(MountTargetId=target["MountTargetId"])
        efs.delete_file_system(FileSystemId=home)
    except efs.exceptions.FileSystemNotFound:
        return
