"""What reads the records of services that are otherwise kept through CloudFormation alone."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from localcloud.core import Call, Fault, Service, operation, paginate
from localcloud.records.api import tags_of
from localcloud.records.kept import PREFIX

_DETECTOR = PREFIX + "AWS::GuardDuty::Detector"
_ANALYZER = PREFIX + "AWS::AccessAnalyzer::Analyzer"
_ROLE = "role/aws-service-role/guardduty.amazonaws.com/AWSServiceRoleForAmazonGuardDuty"


class GuardDuty(Service):
    """Amazon GuardDuty: the detectors that stacks made."""

    name = "guardduty"

    @operation("ListDetectors")
    def list_detectors(self, call: Call) -> dict[str, Any]:
        """ListDetectors: an account and region have one at most."""
        found = self.cloud.store.table(_DETECTOR).list(call.account, call.region)
        return {"DetectorIds": [record["attributes"]["Id"] for record in found]}

    @operation("GetDetector")
    def get_detector(self, call: Call) -> dict[str, Any]:
        """GetDetector."""
        record = self.cloud.store.table(_DETECTOR).get(call.account, call.region, call.input["DetectorId"])
        if record is None:
            raise Fault(
                "BadRequestException",
                "The request is rejected because the input detectorId is not owned by the current account.",
            )
        properties = record["properties"]
        features = [
            {"Name": feature["Name"], "Status": feature["Status"]} for feature in properties.get("Features") or ()
        ]
        return {
            "CreatedAt": record.get("created"),
            "UpdatedAt": record.get("updated"),
            "FindingPublishingFrequency": properties.get("FindingPublishingFrequency", "SIX_HOURS"),
            "ServiceRole": f"arn:aws:iam::{call.account}:{_ROLE}",
            "Status": "ENABLED" if properties["Enable"] else "DISABLED",
            "Tags": tags_of(properties),
            "Features": features,
        }


class AccessAnalyzer(Service):
    """IAM Access Analyzer: the analyzers that stacks made."""

    name = "accessanalyzer"

    @operation("ListAnalyzers")
    def list_analyzers(self, call: Call) -> dict[str, Any]:
        """ListAnalyzers, also of one type."""
        wanted = call.input.get("type")
        found = [_analyzer(one) for one in self.cloud.store.table(_ANALYZER).list(call.account, call.region)]
        found = [one for one in found if wanted in (None, one["type"])]
        page, token = paginate(found, call.input, token="nextToken", limit="maxResults", default=100)  # noqa: S106
        return {"analyzers": page, **({"nextToken": token} if token else {})}

    @operation("GetAnalyzer")
    def get_analyzer(self, call: Call) -> dict[str, Any]:
        """GetAnalyzer."""
        for record in self.cloud.store.table(_ANALYZER).list(call.account, call.region):
            if record["properties"]["AnalyzerName"] == call.input["analyzerName"]:
                return {"analyzer": _analyzer(record)}
        arn = f"arn:aws:access-analyzer:{call.region}:{call.account}:analyzer/{call.input['analyzerName']}"
        raise Fault(
            "ResourceNotFoundException", f"Analyzer {arn} does not exist.", 404, resourceId=arn, resourceType="ANALYZER"
        )


def _analyzer(record: dict[str, Any]) -> dict[str, Any]:
    properties = record["properties"]
    return {
        "arn": record["attributes"]["Arn"],
        "name": properties["AnalyzerName"],
        "type": properties["Type"],
        "createdAt": datetime.fromisoformat(record["created"]),
        "status": "ACTIVE",
        "tags": tags_of(properties),
    }


READERS: tuple[type[Service], ...] = (GuardDuty, AccessAnalyzer)
