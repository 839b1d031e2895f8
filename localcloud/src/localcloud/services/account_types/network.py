"""Network ACLs and DHCP options."""

from __future__ import annotations

from typing import Any

from localcloud.core import short_id
from localcloud.core.cfn import Properties, ResourceContext
from localcloud.core.schema import Schema
from localcloud.records.api import gone_is_fine, tag_changes
from localcloud.records.declared import Declared


def _specification(kind: str, properties: Properties) -> dict[str, Any]:
    tags = properties.get("Tags")
    return {"TagSpecifications": [{"ResourceType": kind, "Tags": tags}]} if tags else {}


def _retag(context: ResourceContext, identifier: str, old: Properties, new: Properties) -> None:
    ec2 = context.client("ec2")
    added, gone = tag_changes(old, new)
    if gone:
        ec2.delete_tags(Resources=[identifier], Tags=[{"Key": key} for key in gone])
    if added:
        ec2.create_tags(Resources=[identifier], Tags=[{"Key": key, "Value": value} for key, value in added.items()])


class NetworkAcl:
    """AWS::EC2::NetworkAcl."""

    def create(self, context: ResourceContext, schema: Schema, properties: Properties) -> dict[str, Any]:
        request = {"VpcId": properties["VpcId"], **_specification("network-acl", properties)}
        return {"Id": context.client("ec2").create_network_acl(**request)["NetworkAcl"]["NetworkAclId"]}

    def update(
        self, context: ResourceContext, schema: Schema, physical_id: str, old: Properties, new: Properties
    ) -> dict[str, Any]:
        _retag(context, physical_id, old, new)
        return {"Id": physical_id}

    def delete(self, context: ResourceContext, schema: Schema, physical_id: str, properties: Properties) -> None:
        with gone_is_fine():
            context.client("ec2").delete_network_acl(NetworkAclId=physical_id)


def _entry(properties: Properties) -> dict[str, Any]:
    request = {
        "NetworkAclId": properties["NetworkAclId"], "RuleNumber": properties["RuleNumber"],
        "Egress": bool(properties.get("Egress", False)), "Protocol": str(properties["Protocol"]),
        "RuleAction": properties["RuleAction"],
    }  # fmt: skip
    names = {"CidrBlock": "CidrBlock", "Ipv6CidrBlock": "Ipv6CidrBlock", "PortRange": "PortRange"}
    request |= {member: properties[name] for name, member in names.items() if name in properties}
    if "Icmp" in properties:
        request["IcmpTypeCode"] = properties["Icmp"]
    return request


class NetworkAclEntry:
    """AWS::EC2::NetworkAclEntry. The API gives an entry no id; Ref is the name that CloudFormation makes."""

    def create(self, context: ResourceContext, schema: Schema, properties: Properties) -> dict[str, Any]:
        context.client("ec2").create_network_acl_entry(**_entry(properties))
        return {"Id": f"{context.name(240)}-{short_id(12)}"}

    def update(
        self, context: ResourceContext, schema: Schema, physical_id: str, old: Properties, new: Properties
    ) -> dict[str, Any]:
        context.client("ec2").replace_network_acl_entry(**_entry(new))
        return {"Id": physical_id}

    def delete(self, context: ResourceContext, schema: Schema, physical_id: str, properties: Properties) -> None:
        entry = _entry(properties)
        named = {name: entry[name] for name in ("NetworkAclId", "RuleNumber", "Egress")}
        with gone_is_fine():
            context.client("ec2").delete_network_acl_entry(**named)


_OPTIONS = {
    "DomainName": "domain-name", "DomainNameServers": "domain-name-servers", "NtpServers": "ntp-servers",
    "NetbiosNameServers": "netbios-name-servers", "NetbiosNodeType": "netbios-node-type",
    "Ipv6AddressPreferredLeaseTime": "ipv6-address-preferred-lease-time",
}  # fmt: skip


class DhcpOptions:
    """AWS::EC2::DHCPOptions."""

    def create(self, context: ResourceContext, schema: Schema, properties: Properties) -> dict[str, Any]:
        options = []
        for name, key in _OPTIONS.items():
            value = properties.get(name)
            if value is not None:
                options.append(
                    {"Key": key, "Values": [str(v) for v in (value if isinstance(value, list) else [value])]}
                )
        request = {"DhcpConfigurations": options, **_specification("dhcp-options", properties)}
        return {"DhcpOptionsId": context.client("ec2").create_dhcp_options(**request)["DhcpOptions"]["DhcpOptionsId"]}

    def update(
        self, context: ResourceContext, schema: Schema, physical_id: str, old: Properties, new: Properties
    ) -> dict[str, Any]:
        _retag(context, physical_id, old, new)
        return {"DhcpOptionsId": physical_id}

    def delete(self, context: ResourceContext, schema: Schema, physical_id: str, properties: Properties) -> None:
        with gone_is_fine():
            context.client("ec2").delete_dhcp_options(DhcpOptionsId=physical_id)


class DhcpAssociation:
    """AWS::EC2::VPCDHCPOptionsAssociation. What it leaves is a VPC with the account's default options."""

    def create(self, context: ResourceContext, schema: Schema, properties: Properties) -> dict[str, Any]:
        context.client("ec2").associate_dhcp_options(
            DhcpOptionsId=properties["DhcpOptionsId"], VpcId=properties["VpcId"]
        )
        return {}

    def update(
        self, context: ResourceContext, schema: Schema, physical_id: str, old: Properties, new: Properties
    ) -> dict[str, Any]:
        return self.create(context, schema, new)

    def delete(self, context: ResourceContext, schema: Schema, physical_id: str, properties: Properties) -> None:
        with gone_is_fine():
            ec2 = context.client("ec2")
            vpc = ec2.describe_vpcs(VpcIds=[properties["VpcId"]])["Vpcs"]
            # After a replacement the VPC has the new options already.
            if vpc and vpc[0].get("DhcpOptionsId") == properties["DhcpOptionsId"]:
                ec2.associate_dhcp_options(DhcpOptionsId="default", VpcId=properties["VpcId"])


DECLARED = (
    Declared("AWS::EC2::NetworkAcl", NetworkAcl()),
    Declared("AWS::EC2::NetworkAclEntry", NetworkAclEntry()),
    Declared("AWS::EC2::DHCPOptions", DhcpOptions()),
    Declared("AWS::EC2::VPCDHCPOptionsAssociation", DhcpAssociation()),
)
