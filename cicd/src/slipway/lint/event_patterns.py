"""What may stand in an event pattern, and what AWS's services call their events.

Source: EventBridge User Guide, "Event patterns" and "Comparison operators", and each service's page on its events.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

ENVELOPE = {"version", "id", "detail-type", "source", "account", "time", "region", "resources", "detail", "$or"}
OPERATORS = {
    "prefix", "suffix", "anything-but", "numeric", "exists", "cidr", "equals-ignore-case", "wildcard",
}  # fmt: skip
_CLOUDTRAIL = {"AWS API Call via CloudTrail", "AWS Service Event via CloudTrail"}
# Sources whose list of events is complete here. Every service also has those of CloudTrail.
DETAIL_TYPES: dict[str, set[str]] = {
    "aws.codebuild": {"CodeBuild Build State Change", "CodeBuild Build Phase Change"},
    "aws.codecommit": {
        "CodeCommit Repository State Change", "CodeCommit Pull Request State Change",
        "CodeCommit Approval Rule Template Change", "CodeCommit Comment on Commit",
        "CodeCommit Comment on Pull Request",
    },
    "aws.codepipeline": {
        "CodePipeline Pipeline Execution State Change", "CodePipeline Stage Execution State Change",
        "CodePipeline Action Execution State Change",
    },
    "aws.s3": {
        "Object Created", "Object Deleted", "Object Restore Initiated", "Object Restore Completed",
        "Object Restore Expired", "Object Tags Added", "Object Tags Deleted", "Object ACL Updated",
        "Object Storage Class Changed", "Object Access Tier Changed",
    },
    "aws.cloudformation": {
        "CloudFormation Stack Status Change", "CloudFormation Resource Status Change",
        "CloudFormation Drift Detection Status Change", "CloudFormation StackSet Status Change",
        "CloudFormation StackSet Operation Status Change", "CloudFormation StackSet StackInstance Status Change",
        "CloudFormation Hook Invocation Progress", "CloudFormation GeneratedTemplate Status Change",
        "CloudFormation ResourceScan Status Change",
    },
    "aws.ecr": {
        "ECR Image Action", "ECR Image Scan", "ECR Scan Resource Change", "ECR Replication Action",
        "ECR Pull Through Cache Action", "ECR Referrer Action",
    },
    "aws.guardduty": {"GuardDuty Finding", "GuardDuty Malware Protection Object Scan Result"},
    "aws.access-analyzer": {
        "Access Analyzer Finding", "Unused Access Finding for IAM entities", "Internal Access Finding",
    },
    "aws.config": {
        "Config Rules Compliance Change", "Config Rules Re-evaluation Status", "Config Configuration Item Change",
        "Config Configuration Snapshot Delivery Status", "Config Configuration History Delivery Status",
    },
    "aws.states": {"Step Functions Execution Status Change"},
}  # fmt: skip


def problems(pattern: Any, where: str = "") -> Iterator[str]:
    """What is wrong with a pattern, in words."""
    if not isinstance(pattern, dict) or not pattern:
        yield f"{where or 'the pattern'} is no object with at least one field"
        return
    if not where:
        for key in pattern:
            if key not in ENVELOPE:
                yield f"'{key}' is no field of an event; allowed: {', '.join(sorted(ENVELOPE))}"
        yield from _known(pattern)
    for key, value in pattern.items():
        at = f"{where}.{key}" if where else str(key)
        if key == "$or":
            for item in value if isinstance(value, list) else [value]:
                yield from problems(item, at)
        elif isinstance(value, list):
            if not value:
                yield f"{at} is an empty list and matches nothing"
            for item in value:
                yield from _operator(item, at)
        elif isinstance(value, dict):
            if not _intrinsic(value):
                yield from problems(value, at)
        else:
            yield f"{at} is {value!r}; the values that match stand in a list"


def _intrinsic(value: Any) -> bool:
    return isinstance(value, dict) and len(value) == 1 and str(next(iter(value))).startswith(("Ref", "Fn::"))


def _operator(item: Any, at: str) -> Iterator[str]:
    if not isinstance(item, dict) or _intrinsic(item):
        return
    for name in item:
        if name not in OPERATORS:
            yield f"{at} compares by '{name}'; allowed: {', '.join(sorted(OPERATORS))}"


def _known(pattern: dict[str, Any]) -> Iterator[str]:
    sources, kinds = pattern.get("source"), pattern.get("detail-type")
    if not isinstance(sources, list) or not isinstance(kinds, list):
        return
    if all(isinstance(source, str) and source in DETAIL_TYPES for source in sources):
        allowed = set().union(*(DETAIL_TYPES[source] for source in sources)) | _CLOUDTRAIL
        for kind in kinds:
            if isinstance(kind, str) and kind not in allowed:
                yield f"{', '.join(sources)} sends no '{kind}'; allowed: {', '.join(sorted(allowed))}"
