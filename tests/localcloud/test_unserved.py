"""Services that nobody serves refuse by name; those that are kept as records answer what reads the records."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.localcloud.conftest import REGION, STAGING, LocalCloud
from tests.localcloud.test_account_types import deleted, reasons, settled


@pytest.mark.parametrize(
    ("service", "operation", "given", "named"),
    [
        ("guardduty", "list_members", {"DetectorId": "d" * 32}, "GuardDuty ListMembers"),
        ("accessanalyzer", "list_policy_generations", {}, "AccessAnalyzer ListPolicyGenerations"),
        ("securityhub", "describe_hub", {}, "SecurityHub DescribeHub"),
        ("ce", "get_anomaly_monitors", {}, "Cost Explorer GetAnomalyMonitors"),
        ("route53resolver", "list_firewall_configs", {}, "Route53Resolver ListFirewallConfigs"),
        ("ram", "get_resource_shares", {"resourceOwner": "SELF"}, "RAM GetResourceShares"),
        ("lakeformation", "get_data_lake_settings", {}, "LakeFormation GetDataLakeSettings"),
        ("shield", "list_protections", {}, "Shield ListProtections"),
        ("redshift", "describe_clusters", {}, "redshift DescribeClusters"),
    ],
)
def test_an_operation_that_nobody_serves_is_refused_by_name(
    cloud: LocalCloud, service: str, operation: str, given: dict[str, Any], named: str
) -> None:
    """NotImplemented, and the operation, in the service's protocol: no bare 400, and no pretended success."""
    with pytest.raises(ClientError) as refusal:
        getattr(cloud.client(service), operation)(**given)
    error = refusal.value.response["Error"]
    assert (error["Code"], error["Message"]) == ("NotImplemented", f"{named} is not served by the local cloud.")
    assert refusal.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501


def test_detectors_and_analyzers_that_stacks_made_are_read(cloud: LocalCloud) -> None:
    """What a governance check asks first: is there a detector, is there an analyzer, here and nowhere else."""
    cloudformation, stack = cloud.client("cloudformation", STAGING), f"guard-{uuid.uuid4().hex[:8]}"
    guardduty, analyzers = cloud.client("guardduty", STAGING), cloud.client("accessanalyzer", STAGING)
    assert guardduty.list_detectors()["DetectorIds"] == []
    feature = {"Name": "S3_DATA_EVENTS", "Status": "ENABLED"}
    tags = [{"Key": "Team", "Value": "risk"}]
    body = {
        "Resources": {
            "Detector": {
                "Type": "AWS::GuardDuty::Detector",
                "Properties": {"Enable": True, "Features": [feature], "Tags": tags},
            },
            "Analyzer": {
                "Type": "AWS::AccessAnalyzer::Analyzer",
                "Properties": {"AnalyzerName": "account", "Type": "ACCOUNT", "Tags": tags},
            },
        }
    }
    cloudformation.create_stack(StackName=stack, TemplateBody=json.dumps(body))
    assert settled(cloudformation, stack)["StackStatus"] == "CREATE_COMPLETE", reasons(cloudformation, stack)
    (identifier,) = guardduty.list_detectors()["DetectorIds"]
    found = guardduty.get_detector(DetectorId=identifier)
    assert (found["Status"], found["Tags"]["Team"]) == ("ENABLED", "risk")
    assert found["Features"] == [feature]
    assert found["ServiceRole"].startswith(f"arn:aws:iam::{STAGING}:role/aws-service-role/guardduty.amazonaws.com/")
    (analyzer,) = analyzers.list_analyzers(type="ACCOUNT")["analyzers"]
    assert analyzer["arn"] == f"arn:aws:access-analyzer:{REGION}:{STAGING}:analyzer/account"
    assert (analyzer["status"], analyzer["tags"]["Team"]) == ("ACTIVE", "risk")
    assert analyzers.get_analyzer(analyzerName="account")["analyzer"] == analyzer
    assert analyzers.list_analyzers(type="ORGANIZATION")["analyzers"] == []
    assert cloud.client("accessanalyzer").list_analyzers()["analyzers"] == []
    deleted(cloudformation, stack)
    assert guardduty.list_detectors()["DetectorIds"] == []
    with pytest.raises(guardduty.exceptions.BadRequestException, match="not owned by the current account"):
        guardduty.get_detector(DetectorId=identifier)
    with pytest.raises(analyzers.exceptions.ResourceNotFoundException):
        analyzers.get_analyzer(analyzerName="account")
