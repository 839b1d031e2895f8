"""The endpoint services of a region: what AWS offers there and ministack's list of a few does not name."""

from __future__ import annotations

import hashlib
from typing import Any

# Behind com.amazonaws.{region}. as DescribeVpcEndpointServices names them ("AWS services that integrate with AWS
# PrivateLink", VPC User Guide).
SERVICES = (
    "access-analyzer", "airflow.api", "application-autoscaling", "athena", "cloudformation", "cloudtrail",
    "codeartifact.api",
    "codeartifact.repositories", "codebuild", "codecommit", "codeconnections.api", "codepipeline",
    "codestar-connections.api", "cognito-idp",
    "config", "ec2", "elasticfilesystem", "events", "git-codecommit", "glue", "guardduty-data", "lakeformation",
    "scheduler", "servicecatalog", "sagemaker.api", "sagemaker.featurestore-runtime", "sagemaker.metrics",
    "sagemaker.runtime", "secretsmanager", "securityhub", "states", "sync-states", "tagging", "xray",
)  # fmt: skip
# The few that are named otherwise.
NAMED_OTHERWISE = (
    "aws.sagemaker.{region}.experiments", "aws.sagemaker.{region}.notebook", "aws.sagemaker.{region}.partner-app",
    "aws.sagemaker.{region}.studio",
)  # fmt: skip


def install() -> None:
    """Wrap the listing."""
    from ministack.services import ec2

    original = ec2._ACTION_MAP["DescribeVpcEndpointServices"]

    def describe(request: Any) -> Any:
        status, headers, body = original(request)
        known = body.decode()
        names = [name for name in _names(ec2.get_region()) if f">{name}<" not in known and _asked(ec2, request, name)]
        zones = "".join(f"<item>{ec2.get_region()}{letter}</item>" for letter in "abc")
        details = "".join(
            f"<item><serviceName>{name}</serviceName><serviceId>vpce-svc-"
            f"{hashlib.sha256(name.encode()).hexdigest()[:17]}</serviceId><serviceType><item><serviceType>Interface"
            f"</serviceType></item></serviceType><availabilityZoneSet>{zones}</availabilityZoneSet><owner>amazon</owner>"
            "<vpcEndpointPolicySupported>true</vpcEndpointPolicySupported></item>"
            for name in names
        )
        listed = "".join(f"<item>{name}</item>" for name in names)
        known = known.replace("</serviceNameSet>", f"{listed}</serviceNameSet>", 1)
        return status, headers, known.replace("</serviceDetailSet>", f"{details}</serviceDetailSet>", 1).encode()

    ec2._ACTION_MAP["DescribeVpcEndpointServices"] = describe


def _names(region: str) -> list[str]:
    ours = [f"com.amazonaws.{region}.{name}" for name in SERVICES]
    return ours + [name.format(region=region) for name in NAMED_OTHERWISE]


def _asked(ec2: Any, request: Any, name: str) -> bool:
    """Whether the request's names and filters admit it."""
    wanted = ec2._parse_member_list(request, "ServiceName")
    filters = ec2._parse_filters(request)
    if wanted and name not in wanted:
        return False
    if filters.get("service-name") and name not in filters["service-name"]:
        return False
    return not filters.get("service-type") or "Interface" in filters["service-type"]
