"""The network interface of a build in a VPC: made and removed with the service role, as CodeBuild does."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from localcloud.core import Credentials
from localcloud.services.codebuild.record import Record


class NetworkError(Exception):
    """The VPC configuration cannot be used."""


def check(credentials: Credentials, config: Mapping[str, Any]) -> None:
    """Refuse a VPC configuration whose parts do not exist or do not belong together.

    Raises:
        NetworkError: which part, and why.
    """
    if not config.get("vpcId"):
        return
    client = credentials.client("ec2")
    try:
        groups = client.describe_security_groups(GroupIds=config["securityGroupIds"])["SecurityGroups"]
        subnets = client.describe_subnets(SubnetIds=config["subnets"])["Subnets"]
    except (ClientError, BotoCoreError) as error:
        raise NetworkError(f"VPC error: {error}") from error
    for kind, key, found in (("security group", "GroupId", groups), ("subnet", "SubnetId", subnets)):
        for item in found:
            if item.get("VpcId") != config["vpcId"]:
                raise NetworkError(
                    f"VPC error: the {kind} {item[key]} belongs to {item.get('VpcId')}, not to {config['vpcId']}"
                )


def attach(credentials: Credentials, config: Mapping[str, Any], record: Record) -> str:
    """Make the build's network interface. Returns its id, "" for a build outside of a VPC.

    Raises:
        NetworkError: EC2 refused.
    """
    if not config.get("vpcId"):
        return ""
    subnet = config["subnets"][0]
    try:
        answer = credentials.client("ec2").create_network_interface(
            SubnetId=subnet, Groups=config["securityGroupIds"], Description=f"AWS CodeBuild {record.id}"
        )
    except (ClientError, BotoCoreError) as error:
        raise NetworkError(f"Unable to create a network interface in {subnet}: {error}") from error
    identifier = str(answer["NetworkInterface"]["NetworkInterfaceId"])
    interface = {"subnetId": subnet, "networkInterfaceId": identifier}
    record.change(lambda document: document.update(networkInterface=interface))
    return identifier


def release(credentials: Credentials | None, identifier: str) -> None:
    """Remove the interface; one that is gone already is no error."""
    if credentials is not None and identifier:
        with contextlib.suppress(ClientError, BotoCoreError):
            credentials.client("ec2").delete_network_interface(NetworkInterfaceId=identifier)
