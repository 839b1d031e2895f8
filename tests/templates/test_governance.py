"""Nobody starts or stops a run by hand, pushes round a review or sets one aside: the policies as IAM evaluates them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from ministack.core.iam_evaluator import EvalContext, evaluate, parse_policy_document

from tests.templates.library import ACCOUNT, LONGEST, REGION, REPOSITORY, Loader, branches, templates

NAMESPACE = "name"  # as the library resolves it
ALL = {template.name: template for template in templates()}
PERSONAS = {
    "FullStackDeveloper": "cfn/guardrails.yaml",
    "DataScienceAdmin": "cfn/personas.yaml",
    "DataEngineer": "cfn/personas.yaml",
    "MLEngineer": "cfn/personas.yaml",
    "DataScientist": "cfn/project-personas.yaml",
    "ReleaseApprover": "cfn/project-personas.yaml",
}
RUNS = (
    "codebuild:RetryBuild", "codebuild:RetryBuildBatch", "codebuild:StartBuild", "codebuild:StartBuildBatch",
    "codebuild:StopBuild", "codebuild:StopBuildBatch", "codepipeline:DisableStageTransition",
    "codepipeline:EnableStageTransition", "codepipeline:OverrideStageCondition", "codepipeline:RetryStageExecution",
    "codepipeline:RollbackStage", "codepipeline:StartPipelineExecution", "codepipeline:StopPipelineExecution",
    "sagemaker:RetryPipelineExecution", "sagemaker:StartPipelineExecution", "sagemaker:StopPipelineExecution",
)  # fmt: skip
PUSHES = (
    "codecommit:CreateCommit", "codecommit:DeleteBranch", "codecommit:DeleteFile", "codecommit:GitPush",
    "codecommit:MergeBranchesByFastForward", "codecommit:MergeBranchesBySquash", "codecommit:MergeBranchesByThreeWay",
    "codecommit:PutFile",
)  # fmt: skip
EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
REPOSITORY_ARN = f"arn:aws:codecommit:{REGION}:{ACCOUNT}:flights"


def _policy(name: str) -> dict[str, Any]:
    template = ALL["cfn/guardrails.yaml"]
    (found,) = (item for title, item in template.of("AWS::IAM::ManagedPolicy") if title == name)
    return dict(template.resolve(found["PolicyDocument"]))


def _role(name: str) -> str:
    return f"arn:aws:iam::{ACCOUNT}:role/{NAMESPACE}-{name}"


def decision(action: str, role: str, policies: list[Any], limits: list[Any], resource: str = "*", **keys: str) -> str:
    """What IAM decides, and by which statement."""
    context = {name.replace("__", ":").replace("_per_", "/").lower(): value for name, value in keys.items()}
    asked = EvalContext(role, "AssumedRole", ACCOUNT, action, resource, REGION, service_context=context)
    parsed = [[parse_policy_document(document) for document in group] for group in (policies, limits)]
    found = evaluate(asked, parsed[0], *([parsed[1]] if limits else []))
    return f"{found.decision} {found.matched_sid or ''}".strip()


@pytest.mark.parametrize("persona", PERSONAS)
def test_every_persona_has_the_policy_and_the_boundary(persona: str) -> None:
    """What follows says nothing about a role that lacks them."""
    (role,) = (
        item for _, item in ALL[PERSONAS[persona]].of("AWS::IAM::Role") if persona in json.dumps(item["RoleName"])
    )
    attached = json.dumps(role["ManagedPolicyArns"])
    assert "NoHandsPolicyArn" in attached or "NoHandsOnPipelines" in attached
    assert json.dumps(role["PermissionsBoundary"]) in ('{"Ref": "BoundaryArn"}', '{"Ref": "Boundary"}')


@pytest.mark.parametrize("action", RUNS)
@pytest.mark.parametrize("persona", PERSONAS)
def test_no_persona_starts_or_stops_a_run(persona: str, action: str) -> None:
    """Denied explicitly by the policy of every persona, and again by the boundary alone, whatever else it is given."""
    own = [EVERYTHING, _policy("NoHandsOnPipelines")]
    assert decision(action, _role(persona), own, []).startswith("Deny NobodyStartsOrStopsAPipelineByHand")
    assert decision(action, _role(persona), [EVERYTHING], [_policy("Boundary")]).startswith("Deny Only")


@pytest.mark.parametrize(
    ("role", "action"),
    [
        ("flights-events", "codepipeline:StartPipelineExecution"),
        ("delivery-events", "codepipeline:StartPipelineExecution"),
        ("flights-pipeline", "codebuild:StartBuild"),
        ("flights-pipeline", "codebuild:StopBuild"),
        ("delivery", "codebuild:StartBuild"),
        ("build-runner", "codebuild:StartBuild"),
        ("flights-build", "sagemaker:StartPipelineExecution"),
        ("flights-build", "sagemaker:StopPipelineExecution"),
        ("launch-project", "codepipeline:DisableStageTransition"),
        ("platform-deployer", "codepipeline:EnableStageTransition"),
    ],
)
def test_the_machinery_runs_within_the_boundary(role: str, action: str) -> None:
    """Shows that the boundary tells people from pipelines, and does not stop the platform."""
    assert decision(action, _role(role), [EVERYTHING], [_policy("Boundary")]).startswith("Allow")


@pytest.mark.parametrize("action", PUSHES)
@pytest.mark.parametrize("role", [*PERSONAS, "flights-execution", "flights-build", "studio"])
def test_nobody_pushes_to_main_of_a_project_of_pull_requests(role: str, action: str) -> None:
    """Neither with git nor through the API, nor by a merge that no rule is asked about; other branches stay free."""

    def asked(who: str, tag: str, **keys: str) -> str:
        tags = {"aws__ResourceTag_per_MergePolicy": tag}
        return decision(action, _role(who), [EVERYTHING], [_policy("Boundary")], REPOSITORY_ARN, **tags, **keys)

    main, other = {"codecommit__References": "refs/heads/main"}, {"codecommit__References": "refs/heads/mine"}
    assert asked(role, "pull-request", **main) == "Deny MainIsMergedToNotPushedTo"
    assert asked(role, "pull-request", **other).startswith("Allow")
    assert asked(role, "direct", **main).startswith("Allow")
    assert asked("stamp", "pull-request", **main).startswith("Allow")
    assert asked(role, "pull-request").startswith("Allow"), "git asks first without a reference; denied, no push begins"


@pytest.mark.parametrize(
    "action",
    [
        "codecommit:OverridePullRequestApprovalRules", "codecommit:DeleteApprovalRuleTemplate",
        "codecommit:UpdateApprovalRuleTemplateContent", "codecommit:DisassociateApprovalRuleTemplateFromRepository",
        "codecommit:BatchDisassociateApprovalRuleTemplateFromRepositories",
    ],
)  # fmt: skip
def test_nobody_sets_a_review_aside(action: str) -> None:
    """A rule that its subjects can lift is none; the function that keeps the rules can change them."""
    limits = [_policy("Boundary")]
    for role in (*PERSONAS, "flights-build", "launch-project"):
        assert decision(action, _role(role), [EVERYTHING], limits, REPOSITORY_ARN) == "Deny NobodySetsReviewsAside"
    if "ApprovalRuleTemplate" in action:
        assert decision(action, _role("merge-rules"), [EVERYTHING], limits, REPOSITORY_ARN).startswith("Allow")


def test_a_merge_is_the_data_scientists() -> None:
    """Reviews are by those who may open them: approving is allowed in the project's own repository alone."""
    (policy,) = (
        item for name, item in ALL["cfn/project-personas.yaml"].of("AWS::IAM::Role") if name == "DataScientist"
    )
    text = json.dumps(policy)
    for action in ("CreatePullRequest", "UpdatePullRequestApprovalState", "MergePullRequestByFastForward"):
        assert f"codecommit:{action}" in text
    for action in ("OverridePullRequestApprovalRules", "CreateCommit", "PutFile"):
        assert f"codecommit:{action}" not in text


@pytest.mark.parametrize("kind", ["build", "deploy"])
def test_runs_queue(kind: str) -> None:
    """Two merges are two models in order: neither supersedes the other, and nothing polls."""
    ((_, pipeline),) = ALL[f"service-catalog/project/{kind}-pipeline.yaml"].of("AWS::CodePipeline::Pipeline")
    assert (pipeline["PipelineType"], pipeline["ExecutionMode"]) == ("V2", "QUEUED")
    for action in branches(pipeline["Stages"][0]["Actions"]):
        given = action["Configuration"]
        assert given.get("PollForSourceChanges", given.get("DetectChanges")) == "false"


@pytest.mark.parametrize("name", ["Boundary", "NoHandsOnPipelines"])
def test_the_guardrails_fit_with_the_longest_names(name: str) -> None:
    """IAM counts 6,144 characters without white space; a namespace of ten must not be one too long."""
    text = (REPOSITORY / "cfn" / "guardrails.yaml").read_text()
    partition = "aws-us-gov"
    values = {"Namespace": "n" * LONGEST["Namespace"], "AWS::AccountId": ACCOUNT, "AWS::Partition": partition}
    values["AWS::Region"] = "r" * LONGEST["AWS::Region"]
    filled = re.sub(r"\$\{([^}!]+)\}", lambda match: values[match[1]], text.split("  PlatformKey:")[0])
    body = yaml.load(filled, Loader)
    document = json.dumps(body["Resources"][name]["Properties"]["PolicyDocument"])
    plain = re.sub(r'\{"Fn::Sub": ("[^"]*")\}', r"\1", document)
    assert len(re.sub(r"\s", "", plain)) <= 6144
