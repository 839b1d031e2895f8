"""What parliament knows of every policy document: actions, condition keys and resources that do not fit."""

from __future__ import annotations

import json
from typing import Any

import parliament
import pytest

from tests.templates.library import Template, templates
from tests.templates.policies import Policy, policies

ALL = templates()

# Findings that say nothing about a policy document of this kind.
ELSEWHERE = {
    # A `*` that the service's own list calls unnecessary has its reason beside it: rules.wide_resources.
    "RESOURCE_STAR",
    # Two statements may allow the same action on different resources or under different conditions.
    "DUPLICATE_ACTION",
    # An ARN compared as text: IAM takes it, and its own examples do so for iam:PermissionsBoundary.
    "MISMATCHED_TYPE_BUT_USABLE",
}
# Findings in which parliament's list of 2023 is wrong or older than AWS: (issue, what it is about, why it is right).
MISTAKEN = (
    ("UNKNOWN_ACTION", "ec2:DescribeVpcEncryptionControls", "new; CloudFormation's handler of VPCs calls it"),
    ("UNKNOWN_ACTION", "lambda:GetFunctionScalingConfig", "new; CloudFormation's handler of functions calls it"),
    ("UNKNOWN_ACTION", "s3:GetBucketAbac", "new; CloudFormation's handler of buckets calls it"),
    ("UNKNOWN_CONDITION_FOR_ACTION", "kms:ResourceAliases", "KMS Developer Guide, condition keys"),
    ("UNKNOWN_CONDITION_FOR_ACTION", "lambda:SourceFunctionArn", "Lambda puts it into every call; its guide, VPC"),
    ("INVALID_ARN", ":aws:transform/*", "AWS's own transforms belong to the account 'aws'"),
    ("INVALID_ARN", ":aws:transform/LanguageExtensions", "AWS's own transforms belong to the account 'aws'"),
    ("MISMATCHED_TYPE", "ArnLike", "kms:EncryptionContext:aws:logs:arn holds an ARN: CloudWatch Logs User Guide"),
    ("RESOURCE_MISMATCH", "kms:CreateAlias", "an alias needs two statements: one for the key, one for the alias"),
    ("RESOURCE_MISMATCH", "sagemaker:CreateSpace", "the variable's colon; AmazonSageMakerFullAccess has the same ARN"),
    ("RESOURCE_MISMATCH", "sagemaker:CreateApp", "the variable's colon; AmazonSageMakerFullAccess has the same ARN"),
    ("RESOURCE_MISMATCH", "sagemaker-mlflow:", "a tracking server; Developer Guide, VPC endpoint policy for MLflow"),
    (
        "RESOURCE_MISMATCH",
        "codestar-connections:UseConnection",
        "the connection that is given bears the old name or the new",
    ),
    (
        "RESOURCE_MISMATCH",
        "sagemaker:CreatePresignedDomainUrl",
        "policy variables stand for domain and profile: Developer Guide, access to private spaces",
    ),
    ("RESOURCE_MISMATCH", "sagemaker:CreateModel", "also on another account's model package: Developer Guide"),
)


def findings(template: Template, policy: Policy) -> list[str]:
    """What parliament finds in a policy, as text."""
    document: dict[str, Any] = template.resolve(policy.document)
    if policy.kind != "identity":
        # parliament reads identity policies: it knows no principals, and wants a resource where the owner is meant.
        stripped = [{k: v for k, v in statement.items() if k != "Principal"} for statement in policy.statements]
        document = {
            "Version": "2012-10-17",
            "Statement": [{"Resource": "*", **template.resolve(statement)} for statement in stripped],
        }
    analysed = parliament.analyze_policy_string(json.dumps(document), filepath=template.name)
    return [
        f"{template.name}: {policy.owner} ({policy.name}): {finding.issue} {finding.detail or ''} {finding.location}"
        for finding in analysed.findings
        if finding.issue not in ELSEWHERE and not _mistaken(finding)
    ]


def _mistaken(finding: Any) -> bool:
    text = f"{finding.detail or ''} {finding.location}"
    return any(finding.issue == issue and about in text for issue, about, _ in MISTAKEN)


@pytest.mark.parametrize("template", ALL, ids=lambda template: template.name)
def test_policies_are_sound(template: Template) -> None:
    problems = [problem for policy in policies(template) for problem in findings(template, policy)]
    assert not problems, "\n".join(problems)


def test_mistakes_of_parliament_still_occur() -> None:
    """An exception that no policy needs any more goes."""
    text = "\n".join(json.dumps(template.resolve(policy.document)) for template in ALL for policy in policies(template))
    assert not [about for _, about, _ in MISTAKEN if about not in text]


def test_there_are_policies() -> None:
    assert sum(1 for template in ALL for _ in policies(template)) > 40


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ({"Action": "s3:GetObjekt", "Resource": "*"}, "UNKNOWN_ACTION"),
        (
            {"Action": "s3:GetObject", "Resource": "*", "Condition": {"StringEquals": {"s3:nosuchkey": "a"}}},
            "UNKNOWN_CONDITION_FOR_ACTION",
        ),
        ({"Action": "s3:GetObject", "Resource": "arn:aws:s3:::bucket"}, "RESOURCE_MISMATCH"),
    ],
)
def test_parliament_would_find_something(statement: dict[str, Any], expected: str) -> None:
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]}
    found = findings(Template("planted.yaml", "Resources: {}"), Policy("Role", "work", "identity", document))
    assert any(expected in finding for finding in found), found


def test_no_project_session_reaches_the_platforms_repository() -> None:
    """A session names its project itself: one that names it like the platform's repository must find a closed door."""
    (template,) = (template for template in ALL if template.name == "cfn/project-personas.yaml")
    for policy in policies(template):
        text = json.dumps(policy.document)
        if "codecommit:GitPush" in text and "aws:PrincipalTag/Project" in text:
            doors = [statement for statement in policy.statements if statement["Effect"] == "Deny"]
            closed = [door for door in doors if door["Action"] == "codecommit:*" and "Condition" not in door]
            assert any(str(door["Resource"]).endswith("${Namespace}-platform'}") for door in closed), policy.owner
            break
    else:
        pytest.fail("nobody pushes to a project's repository any more: look for who does")
