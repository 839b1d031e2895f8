"""A custom resource that keeps the CodeCommit approval rule of a project's main branch.

Properties: RuleName (of the approval rule template; it begins with the namespace), RepositoryName, MergePolicy
(pull-request: the rule is there and tied to the repository; direct: it is not), Approvers (ARNs whose approval counts;
`*` for any text). One approval is needed; CodeCommit itself refuses that of a pull request's author. Everything can be
repeated: what is as it should be stays. Open pull requests keep the rules that they were opened with.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import boto3
from aws_lambda_powertools import Logger
from botocore.exceptions import ClientError

from slipway.functions.response import answer, send

logger = Logger(service="merge-rules")

BRANCH = "refs/heads/main"
POLICIES = ("direct", "pull-request")


@logger.inject_lambda_context(log_event=False)  # type: ignore[untyped-decorator] # mypy skips Powertools
def handler(event: dict[str, Any], context: Any) -> None:
    """Entry point of the Lambda function."""
    properties, kind = event["ResourceProperties"], event["RequestType"]
    # The rule's name is the identifier: another name is a replacement, whose old rule CloudFormation asks to delete.
    physical_id = str(properties.get("RuleName") if kind != "Delete" else event["PhysicalResourceId"])
    logger.info("request", kind=kind, rule=physical_id, policy=properties.get("MergePolicy"))
    try:
        act(boto3.client("codecommit"), kind, {**properties, "RuleName": physical_id}, os.environ["NAMESPACE"])
        body = answer(event, "SUCCESS", physical_id)
    except Exception as error:
        logger.exception("failed")
        body = answer(event, "FAILED", physical_id, reason=str(error) or type(error).__name__)
    send(event, body)


def act(codecommit: Any, kind: str, properties: Mapping[str, Any], namespace: str) -> None:
    """Do what a request asks for. Raises ValueError for properties that are none, and what AWS raises."""
    name = properties["RuleName"]
    if not name.startswith(f"{namespace}-"):
        if kind == "Delete":
            return  # it was refused when it was to be made
        raise ValueError(f"RuleName is {name!r}; allowed: {namespace}- and anything behind it")
    if kind == "Delete":
        remove(codecommit, name)
        return
    policy = properties.get("MergePolicy")
    if policy not in POLICIES:
        raise ValueError(f"MergePolicy is {policy!r}; allowed: {', '.join(POLICIES)}")
    if policy == "direct":
        remove(codecommit, name)
    else:
        keep(codecommit, name, properties["RepositoryName"], properties["Approvers"])


def content(approvers: Sequence[str]) -> str:
    """What the rule says, in CodeCommit's language."""
    statement = {"Type": "Approvers", "NumberOfApprovalsNeeded": 1, "ApprovalPoolMembers": list(approvers)}
    return json.dumps({"Version": "2018-11-08", "DestinationReferences": [BRANCH], "Statements": [statement]})


def keep(codecommit: Any, name: str, repository: str, approvers: Sequence[str]) -> None:
    """See to it that the rule is there, says what it should, and is tied to this repository."""
    wanted = content(approvers)
    found = _get(codecommit, name)
    if found is None:
        codecommit.create_approval_rule_template(
            approvalRuleTemplateName=name,
            approvalRuleTemplateContent=wanted,
            approvalRuleTemplateDescription=f"One approval by somebody other than the author, for {repository}"[:1000],
        )
    elif found["approvalRuleTemplateContent"] != wanted:
        codecommit.update_approval_rule_template_content(
            approvalRuleTemplateName=name,
            newRuleContent=wanted,
            existingRuleContentSha256=found["ruleContentSha256"],
        )
    for other in _repositories(codecommit, name):
        if other != repository:
            _untie(codecommit, name, other)
    codecommit.associate_approval_rule_template_with_repository(
        approvalRuleTemplateName=name, repositoryName=repository
    )


def remove(codecommit: Any, name: str) -> None:
    """Untie and delete the rule, if it is there."""
    if _get(codecommit, name) is None:
        return
    for repository in _repositories(codecommit, name):
        _untie(codecommit, name, repository)
    codecommit.delete_approval_rule_template(approvalRuleTemplateName=name)


def _untie(codecommit: Any, name: str, repository: str) -> None:
    codecommit.disassociate_approval_rule_template_from_repository(
        approvalRuleTemplateName=name, repositoryName=repository
    )


def _get(codecommit: Any, name: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = codecommit.get_approval_rule_template(approvalRuleTemplateName=name)
    except ClientError as error:
        if error.response["Error"]["Code"] == "ApprovalRuleTemplateDoesNotExistException":
            return None
        raise
    return dict(found["approvalRuleTemplate"])


def _repositories(codecommit: Any, name: str) -> list[str]:
    found: list[str] = []
    more: dict[str, str] = {}
    while True:  # botocore has no paginator for it
        page = codecommit.list_repositories_for_approval_rule_template(approvalRuleTemplateName=name, **more)
        found += page["repositoryNames"]
        if not page.get("nextToken"):
            return found
        more = {"nextToken": page["nextToken"]}
