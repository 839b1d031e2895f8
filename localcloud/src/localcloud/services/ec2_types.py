"""CloudFormation types of EC2 that ministack's API serves but its CloudFormation lacks."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from localcloud.core.cfn import Created, Properties, ResourceContext, ResourceType
from localcloud.records.api import tag_changes


def _permission(properties: Properties, source_group: str) -> dict[str, Any]:
    permission: dict[str, Any] = {"IpProtocol": str(properties.get("IpProtocol", "-1"))}
    for bound in ("FromPort", "ToPort"):
        if properties.get(bound) is not None:
            permission[bound] = int(properties[bound])
    note = {"Description": properties["Description"]} if properties.get("Description") else {}
    if properties.get("CidrIp"):
        permission["IpRanges"] = [{"CidrIp": properties["CidrIp"], **note}]
    if properties.get("CidrIpv6"):
        permission["Ipv6Ranges"] = [{"CidrIpv6": properties["CidrIpv6"], **note}]
    if properties.get(source_group):
        permission["UserIdGroupPairs"] = [{"GroupId": properties[source_group], **note}]
    prefix_list = properties.get("SourcePrefixListId") or properties.get("DestinationPrefixListId")
    if prefix_list:
        permission["PrefixListIds"] = [{"PrefixListId": prefix_list, **note}]
    return permission


def _rule(direction: str, source_group: str) -> ResourceType:
    """SecurityGroupIngress or SecurityGroupEgress."""

    def create(context: ResourceContext, properties: Properties) -> Created:
        ec2 = context.client("ec2")
        authorize = getattr(ec2, f"authorize_security_group_{direction}")
        answer = authorize(GroupId=properties["GroupId"], IpPermissions=[_permission(properties, source_group)])
        rules = answer.get("SecurityGroupRules") or [{}]
        identifier = rules[0].get("SecurityGroupRuleId") or context.name(255)
        return Created(str(identifier), {"Id": str(identifier)})

    def delete(context: ResourceContext, physical_id: str, properties: Properties) -> None:
        ec2 = context.client("ec2")
        revoke = getattr(ec2, f"revoke_security_group_{direction}")
        try:
            revoke(GroupId=properties["GroupId"], IpPermissions=[_permission(properties, source_group)])
        except ClientError as error:
            if "NotFound" not in error.response["Error"]["Code"]:
                raise

    def update(context: ResourceContext, physical_id: str, old: Properties, new: Properties) -> Created:
        delete(context, physical_id, old)
        return create(context, new)

    return ResourceType(f"AWS::EC2::SecurityGroup{direction.capitalize()}", create, delete, "ec2", update=update)


def _create_flow_log(context: ResourceContext, properties: Properties) -> Created:
    names = ("ResourceType", "TrafficType", "LogDestinationType", "LogDestination", "LogGroupName",
             "DeliverLogsPermissionArn", "LogFormat")  # fmt: skip
    request: dict[str, Any] = {name: properties[name] for name in names if properties.get(name)}
    request["ResourceIds"] = [properties["ResourceId"]]
    if properties.get("MaxAggregationInterval"):
        request["MaxAggregationInterval"] = int(properties["MaxAggregationInterval"])
    if properties.get("Tags"):
        request["TagSpecifications"] = [{"ResourceType": "vpc-flow-log", "Tags": properties["Tags"]}]
    answer = context.client("ec2").create_flow_logs(**request)
    for problem in answer.get("Unsuccessful", []):
        raise ValueError(problem["Error"]["Message"])
    identifier = answer["FlowLogIds"][0]
    return Created(identifier, {"Id": identifier})


def _update_flow_log(context: ResourceContext, physical_id: str, old: Properties, new: Properties) -> Created:
    """All but the tags make a new one."""
    if {**old, "Tags": None} != {**new, "Tags": None}:
        return _create_flow_log(context, new)
    ec2 = context.client("ec2")
    added, gone = tag_changes(old, new)
    if gone:
        ec2.delete_tags(Resources=[physical_id], Tags=[{"Key": key} for key in gone])
    if added:
        ec2.create_tags(Resources=[physical_id], Tags=[{"Key": key, "Value": value} for key, value in added.items()])
    return Created(physical_id, {"Id": physical_id})


def _delete_flow_log(context: ResourceContext, physical_id: str, properties: Properties) -> None:
    context.client("ec2").delete_flow_logs(FlowLogIds=[physical_id])


RESOURCES = (
    _rule("ingress", "SourceSecurityGroupId"),
    _rule("egress", "DestinationSecurityGroupId"),
    ResourceType("AWS::EC2::FlowLog", _create_flow_log, _delete_flow_log, "ec2", update=_update_flow_log),
)
