"""Private names of interface endpoints: AWS refuses those that a VPC cannot resolve, or that another endpoint has."""

from __future__ import annotations

from typing import Any

_TYPE = "AWS::EC2::VPCEndpoint"


def install() -> None:
    """Wrap ministack's creation of an endpoint by a stack."""
    from ministack.services.cloudformation import provisioners

    handlers = provisioners._RESOURCE_HANDLERS
    create = handlers[_TYPE]["create"]

    def create_checked(logical_id: str, properties: dict[str, Any], stack_name: str) -> Any:
        if (
            properties.get("VpcEndpointType") == "Interface"
            and str(properties.get("PrivateDnsEnabled")).lower() == "true"
        ):
            _check(str(properties.get("VpcId")), str(properties.get("ServiceName")))
        return create(logical_id, properties, stack_name)

    handlers[_TYPE] = {**handlers[_TYPE], "create": create_checked}


def _check(vpc_id: str, service: str) -> None:
    from ministack.services import ec2

    vpc = ec2._vpcs.get(vpc_id)
    if vpc is None:
        raise ValueError(_refusal(f"The Vpc Id {vpc_id} does not exist", "InvalidVpcId.NotFound"))
    if not (vpc.get("EnableDnsSupport", True) and vpc.get("EnableDnsHostnames", vpc.get("IsDefault", False))):
        text = (
            "Enabling private DNS requires both enableDnsSupport and enableDnsHostnames VPC attributes set to true for"
        )
        raise ValueError(_refusal(f"{text} {vpc_id}", "InvalidParameter"))
    for other in ec2._vpc_endpoints.values():
        if (other["VpcId"], other["ServiceName"]) == (vpc_id, service) and other.get("PrivateDnsEnabled"):
            text = "private-dns-enabled cannot be set because there is already a conflicting DNS domain for"
            raise ValueError(_refusal(f"{text} {service} in the VPC {vpc_id}", "InvalidParameter"))


def _refusal(message: str, code: str) -> str:
    return f"{message} (Service: Ec2, Status Code: 400, Error Code: {code})"
