"""The permission boundary as IAM evaluates it: who is watched reaches neither the audit nor the guardrails."""

from __future__ import annotations

from typing import Any

import pytest
from ministack.core.iam_evaluator import EvalContext, evaluate, parse_policy_document

from tests.templates.library import ACCOUNT, REGION, Template, templates

# What names are made of in the guardrails' template, as the library resolves them.
NAMESPACE = "name"
ALL = {template.name: template for template in templates()}
DEPLOYER = f"arn:aws:iam::{ACCOUNT}:role/{NAMESPACE}-platform-deployer"
GUARD = f"arn:aws:iam::{ACCOUNT}:role/{NAMESPACE}-audit-guard"
PLACE = f"{REGION}:{ACCOUNT}"
EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


def boundary() -> dict[str, Any]:
    template: Template = ALL["cfn/guardrails.yaml"]
    (found,) = (item for name, item in template.of("AWS::IAM::ManagedPolicy") if name == "Boundary")
    return dict(template.resolve(found["PolicyDocument"]))


def allowed(action: str, resource: str, principal: str = DEPLOYER, **context: str) -> bool:
    """Whether a role that may do anything may do this within the boundary."""
    keys = {name.replace("__", ":").replace("_per_", "/").lower(): value for name, value in context.items()}
    asked = EvalContext(principal, "AssumedRole", ACCOUNT, action, resource, REGION, service_context=keys)
    own, limit = parse_policy_document(EVERYTHING), parse_policy_document(boundary())
    return bool(evaluate(asked, [own], [limit]).decision == "Allow")


AUDIT = [
    ("cloudformation:DeleteStack", f"arn:aws:cloudformation:{PLACE}:stack/{NAMESPACE}-audit-Guard-1/0"),
    ("cloudwatch:DeleteAlarms", f"arn:aws:cloudwatch:{PLACE}:alarm:{NAMESPACE}-audit-lost"),
    ("events:DisableRule", f"arn:aws:events:{PLACE}:rule/{NAMESPACE}-audit-made"),
    ("events:RemoveTargets", f"arn:aws:events:{PLACE}:rule/{NAMESPACE}-audit-tampering"),
    ("iam:CreateRole", f"arn:aws:iam::{ACCOUNT}:role/{NAMESPACE}-audit-friend"),
    ("iam:PutRolePolicy", GUARD),
    ("lambda:UpdateFunctionCode", f"arn:aws:lambda:{PLACE}:function:{NAMESPACE}-audit-guard"),
    ("lambda:PutFunctionConcurrency", f"arn:aws:lambda:{PLACE}:function:{NAMESPACE}-audit-guard"),
    ("logs:DeleteLogGroup", f"arn:aws:logs:{PLACE}:log-group:/aws/lambda/{NAMESPACE}-audit-guard:*"),
    ("s3:DeleteObject", f"arn:aws:s3:::{NAMESPACE}-audit-{ACCOUNT}-{REGION}/AWSLogs/1"),
    ("s3:PutBucketPolicy", f"arn:aws:s3:::{NAMESPACE}-audit-{ACCOUNT}-{REGION}"),
    ("s3:PutObject", f"arn:aws:s3:::{NAMESPACE}-assets-{ACCOUNT}-{REGION}/guardrails/0123/lambda.zip"),
    ("sns:DeleteTopic", f"arn:aws:sns:{PLACE}:{NAMESPACE}-audit-findings"),
    ("sns:Unsubscribe", f"arn:aws:sns:{PLACE}:{NAMESPACE}-audit-findings"),
    ("sqs:PurgeQueue", f"arn:aws:sqs:{PLACE}:{NAMESPACE}-audit-lost"),
    ("ssm:PutParameter", f"arn:aws:ssm:{PLACE}:parameter/{NAMESPACE}/platform/audit/topic-arn"),
]


@pytest.mark.parametrize(("action", "resource"), AUDIT)
def test_a_role_of_the_platform_does_not_touch_the_audit(action: str, resource: str) -> None:
    """Even one that its own policies allow everything."""
    assert not allowed(action, resource)


@pytest.mark.parametrize(("action", "resource"), AUDIT)
def test_the_same_on_what_is_the_platforms_own_is_no_business_of_the_boundary(action: str, resource: str) -> None:
    """Shows that the refusal above is about the audit, not about the action."""
    own = resource.replace("-audit-", "-lake-").replace("/audit/", "/lake/").replace("/guardrails/", "/releases/")
    context = {"iam__PermissionsBoundary": f"arn:aws:iam::{ACCOUNT}:policy/{NAMESPACE}-boundary"}
    assert allowed(action, own, **context)


@pytest.mark.parametrize(
    "action", ["kms:ScheduleKeyDeletion", "kms:DisableKey", "kms:PutKeyPolicy", "kms:UntagResource"]
)
def test_the_audits_key_is_out_of_reach(action: str) -> None:
    """Without its key the audit's records cannot be read or written any more."""
    key = f"arn:aws:kms:{PLACE}:key/1"
    assert not allowed(action, key, aws__ResourceTag_per_Project="audit")
    assert allowed(action, key, aws__ResourceTag_per_Project="flights")


@pytest.mark.parametrize("service", ["cloudtrail", "config", "guardduty", "access-analyzer", "organizations"])
def test_the_services_of_the_audit_are_beyond_the_boundary(service: str) -> None:
    for action in ("Get", "DeleteTrail", "StopConfigurationRecorder", "DeleteDetector"):
        assert not allowed(f"{service}:{action}", "*")


@pytest.mark.parametrize("stack", ["audit", "bootstrap", "deployer", "deployer-policies", "guardrails"])
def test_the_foundation_is_changed_by_administrators_alone(stack: str) -> None:
    """The Full Stack Developer changes stacks of the same namespace, through the deployer."""
    developer = f"arn:aws:iam::{ACCOUNT}:role/{NAMESPACE}-FullStackDeveloper"
    for action in ("CreateChangeSet", "DeleteStack", "ExecuteChangeSet", "UpdateStack", "SetStackPolicy"):
        assert not allowed(
            f"cloudformation:{action}", f"arn:aws:cloudformation:{PLACE}:stack/{NAMESPACE}-{stack}/0", developer
        )
        assert allowed(
            f"cloudformation:{action}", f"arn:aws:cloudformation:{PLACE}:stack/{NAMESPACE}-platform/0", developer
        )
    assert allowed(
        "cloudformation:DescribeStacks", f"arn:aws:cloudformation:{PLACE}:stack/{NAMESPACE}-{stack}/0", developer
    )


def test_the_guard_itself_can_report() -> None:
    """A boundary that held the guard back would silence it."""
    assert allowed("sns:Publish", f"arn:aws:sns:{PLACE}:{NAMESPACE}-audit-findings", GUARD)
    assert allowed("sqs:SendMessage", f"arn:aws:sqs:{PLACE}:{NAMESPACE}-audit-lost", GUARD)
    assert allowed("kms:GenerateDataKey", f"arn:aws:kms:{PLACE}:key/1", GUARD, aws__ResourceTag_per_Project="audit")
    assert allowed("sagemaker:StopTrainingJob", f"arn:aws:sagemaker:{PLACE}:training-job/j", GUARD)


def test_every_role_has_the_platforms_boundary() -> None:
    """Not just any: one that a stack brought along would be none."""
    seen = 0
    for template in ALL.values():
        for name, role in template.of("AWS::IAM::Role"):
            seen += 1
            given = role.get("PermissionsBoundary")
            assert given in ({"Ref": "BoundaryArn"}, {"Ref": "Boundary"}), f"{template.name}: {name}: {given}"
    assert seen > 15


def test_only_a_merge_starts_a_pipeline() -> None:
    """Nobody starts a pipeline by hand: the boundary lets event roles do it, whatever a role's own policies say."""
    pipeline = f"arn:aws:codepipeline:{PLACE}:{NAMESPACE}-flights-build"
    assert not allowed("codepipeline:StartPipelineExecution", pipeline)
    assert not allowed(
        "codepipeline:StartPipelineExecution", pipeline, f"arn:aws:iam::{ACCOUNT}:role/name-DataScientist"
    )
    assert allowed("codepipeline:StartPipelineExecution", pipeline, f"arn:aws:iam::{ACCOUNT}:role/name-flights-events")


def test_every_person_is_refused_to_start_stop_or_skip() -> None:
    """The policy that says so is attached to all six roles, and refuses without a condition."""
    template = ALL["cfn/guardrails.yaml"]
    (policy,) = (item for name, item in template.of("AWS::IAM::ManagedPolicy") if name == "NoHandsOnPipelines")
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Resource"]) == ("Deny", "*")
    assert "Condition" not in statement
    assert {"codepipeline:StartPipelineExecution", "codepipeline:StopPipelineExecution"} <= set(statement["Action"])
    people = [
        role
        for found in ALL.values()
        for name, role in found.of("AWS::IAM::Role")
        if str(role["AssumeRolePolicyDocument"]).count("SamlProviderArn")
    ]
    assert len(people) == 6
    for role in people:
        attached = role["ManagedPolicyArns"]
        assert {"Ref": "NoHandsPolicyArn"} in attached or {"Ref": "NoHandsOnPipelines"} in attached
