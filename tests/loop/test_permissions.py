"""Everything that the loop did must have been allowed: the record of calls against the deployed policies.

The local cloud records what IAM would be asked: who, which action, on which resources, under which conditions, and what
each call implies. Every question is judged by a policy evaluator over the policies as deployed: those of the role, its
permission boundary, the policy of the bucket, key, repository or group, and the trust policy of a role that is taken. A
missing permission costs a user on AWS a day; here it fails by name.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from localcloud.core import authorization
from slipway_demo.people import PERSONAS
from tests.loop import asked, usage
from tests.loop.conftest import BUILD, TOOLING, Loop
from tests.loop.deployed import ACCOUNTS, Deployed, Document, ResourcePolicy, Role
from tests.loop.judging import Judge, Question

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("loop")]

REPORT = Path(__file__).parents[2] / "build" / "permissions.md"
# Condition keys that a request on AWS carries and the record does not, with the reason why it cannot be known here. A
# statement with such a key counts as not met, so that it can allow nothing; each is named, none is passed over.
UNJUDGED: dict[str, str] = {}


@pytest.fixture(scope="module")
def deployed(loop: Loop) -> Deployed:
    """The policies of the played loop."""
    people = {account: loop.admin(account) for account in ACCOUNTS}
    clients = functools.cache(lambda account, service: people[account].client(service))
    return Deployed(clients, asked.made(loop.cloud.home))


@pytest.fixture(scope="module")
def questions(loop: Loop, deployed: Deployed) -> list[Question]:
    """What IAM would have been asked."""
    return list(asked.questions(loop.cloud.home, deployed))


def refused(judge: Judge, questions: list[Question]) -> list[str]:
    """What would not be allowed, and why, each once."""
    found = ((question, judge.reason(question)) for question in questions)
    return sorted({f"{question}: {reason}" for question, reason in found if reason})


def test_everything_the_loop_did_is_allowed_by_the_deployed_policies(
    deployed: Deployed, questions: list[Question]
) -> None:
    """Protects deployments to AWS: a role, a key or a bucket that would refuse what was done here is named."""
    judge = Judge(deployed)
    missing = refused(judge, questions)
    assert not missing, "\n".join(missing)
    assert len(questions) > 500, "too few calls by roles were recorded to say anything"
    unknown = {key: sorted(told)[:3] for key, told in judge.unanswered.items() if key not in UNJUDGED}
    assert not unknown, f"conditions that the record cannot answer, and that UNJUDGED does not argue: {unknown}"
    assert not set(UNJUDGED) - set(judge.unanswered), "UNJUDGED names conditions that nothing asks about any more"


def test_the_record_knows_the_resource_of_every_call(loop: Loop) -> None:
    """Protects the judgement: a call on an unknown resource would be judged on `*`, which a wide policy allows."""
    reference = authorization._reference()
    unknown = set()
    for principal, _, action, resource, status, _ in asked.recorded(loop.cloud.home):
        prefix, _, name = action.partition(":")
        entry = reference.get(prefix, {}).get("actions", {}).get(name)
        if entry and any(entry["types"].values()) and resource == "*" and status < 400:
            unknown.add(f"{principal} {action}")
    assert not unknown, "\n".join(sorted(unknown))


def test_what_works_without_a_caller_is_recorded_as_its_role(questions: list[Question]) -> None:
    """Protects the record's completeness: work of services as a role is on it, not only calls by clients."""
    seen = {(question.role.name if question.role else question.service, question.action) for question in questions}
    for who, action in (
        ("slipway-flight-delays-events", "codepipeline:StartPipelineExecution"),
        ("slipway-flight-delays-pipeline", "codecommit:UploadArchive"),
        ("slipway-flight-delays-execution", "ecr:BatchGetImage"),
        ("slipway-flight-delays-execution", "kms:CreateGrant"),
        ("slipway-release-cloudformation-staging", "sagemaker:CreateEndpoint"),
        ("slipway-release-cloudformation-production", "iam:PassRole"),
        ("slipway-launch-project", "codebuild:CreateProject"),
        ("slipway-publish", "servicecatalog:CreateConstraint"),
        ("slipway-build-runner", "codebuild:StartBuild"),
        ("slipway-DataScientist", "codecommit:GitPush"),
        ("events.amazonaws.com", "sts:AssumeRole"),
        ("codebuild.amazonaws.com", "sts:AssumeRole"),
        ("lambda.amazonaws.com", "sts:AssumeRole"),
    ):
        assert (who, action) in seen, f"{who} {action} is not on the record"


def test_granted_against_used_is_reported(deployed: Deployed, questions: list[Question]) -> None:
    """Protects least privilege: what no loop ever used is there to be looked at, by role."""
    text = usage.table(deployed.roles(), questions)
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(text)
    print(text)
    rows = {line.split(" | ")[0][2:]: line.split(" | ") for line in text.splitlines()[2:]}
    assert int(rows["slipway-flight-delays-execution"][3]) > 20
    assert all(int(row[3]) <= int(row[2]) for row in rows.values())


RUNS = (
    ("codebuild:StartBuild", "codebuild", "project/slipway-flight-delays-model"),
    ("codebuild:StopBuild", "codebuild", "project/slipway-flight-delays-model"),
    ("codepipeline:DisableStageTransition", "codepipeline", "slipway-flight-delays-build/Model"),
    ("codepipeline:EnableStageTransition", "codepipeline", "slipway-flight-delays-build/Model"),
    ("codepipeline:RetryStageExecution", "codepipeline", "slipway-flight-delays-build/Model"),
    ("codepipeline:RollbackStage", "codepipeline", "slipway-flight-delays-deploy/Production"),
    ("codepipeline:StartPipelineExecution", "codepipeline", "slipway-flight-delays-build"),
    ("codepipeline:StopPipelineExecution", "codepipeline", "slipway-flight-delays-deploy"),
    ("sagemaker:StartPipelineExecution", "sagemaker", "pipeline/slipway-flight-delays"),
    ("sagemaker:StopPipelineExecution", "sagemaker", "pipeline/slipway-flight-delays/execution/abcdefghijkl"),
)


@pytest.mark.parametrize("persona", PERSONAS)
def test_no_persona_starts_or_stops_a_run(deployed: Deployed, persona: str) -> None:
    """Protects governance: a run begins by a merge or a schedule; every persona is denied explicitly, as deployed."""
    judge, role = Judge(deployed), deployed.role(TOOLING, f"slipway-{persona}")
    for action, service, name in RUNS:
        arn = f"arn:aws:{service}:eu-west-1:{TOOLING}:{name}"
        reason = judge.reason(Question(action, arn, role, session_tags={"Project": "flight-delays"}))
        assert reason is not None, action
        assert reason.startswith("denied by"), f"{action}: {reason}"


@pytest.mark.parametrize(
    ("policy", "reference", "expected"),
    [
        ("pull-request", "refs/heads/main", "denied by MainIsMergedToNotPushedTo"),
        ("pull-request", "refs/heads/mine", None),
        ("pull-request", "", None),
        ("direct", "refs/heads/main", None),
    ],
)
def test_main_is_closed_by_the_projects_policy(
    deployed: Deployed, policy: str, reference: str, expected: str | None
) -> None:
    """Protects the review: a push to main is refused where the project merges by pull request, and nowhere else."""
    planted = Planted(deployed, None)
    planted.tags = lambda _: {"Namespace": "slipway", "MergePolicy": policy}  # type: ignore[assignment]
    keys = {"codecommit:References": reference} if reference else {}
    repository = f"arn:aws:codecommit:eu-west-1:{TOOLING}:flight-delays"
    scientist = deployed.role(TOOLING, "slipway-DataScientist")
    tags = {"Project": "flight-delays"}
    push = Question("codecommit:GitPush", repository, scientist, keys=keys, session_tags=tags)
    assert Judge(planted).reason(push) == expected
    merge = Question("codecommit:MergePullRequestByFastForward", repository, scientist, keys=keys, session_tags=tags)
    assert Judge(planted).reason(merge) is None


# -- planted defects ------------------------------------------------------------------------------------------------


def _statement(documents: list[Document], sid: str) -> dict[str, Any]:
    found: dict[str, Any] = next(s for document in documents for s in document["Statement"] if s.get("Sid") == sid)
    return found


class Planted(Deployed):
    """The same policies with one of them changed."""

    def __init__(self, original: Deployed, role: Callable[[Role], None] | None, resource: Any = None) -> None:
        super().__init__(original.client)
        self.original, self.change, self.other = original, role, resource

        def altered(account: str, name: str) -> Role:
            made = copy.deepcopy(original.role(account, name))
            if self.change and name == "slipway-flight-delays-execution":
                self.change(made)
            return made

        def policy(arn: str) -> ResourcePolicy | None:
            found = original.policy(arn)
            return self.other(arn, copy.deepcopy(found)) if self.other and found else found

        self.role, self.policy = altered, policy  # type: ignore[assignment]
        for name in ("tags", "aliases", "bucket_key", "bucket_owner"):
            setattr(self, name, getattr(original, name))


def _drop_action(role: Role) -> None:
    _statement(role.identity, "FollowItsJobs")["Action"].remove("sagemaker:DescribeTrainingJob")


def _other_resource(role: Role) -> None:
    _statement(role.identity, "KeepTheProjectsFiles")["Resource"] = "arn:aws:s3:::another-bucket/*"


def _never(role: Role) -> None:
    _statement(role.identity, "DecryptCuratedData")["Condition"]["StringEquals"]["kms:ViaService"] = "ec2.amazonaws.com"


def _other_tag(role: Role) -> None:
    _statement(role.identity, "FollowItsJobs")["Condition"]["StringEquals"]["aws:ResourceTag/Project"] = "another"


def _narrow_boundary(role: Role) -> None:
    assert role.boundary is not None
    _statement(role.boundary, "ServicesOfThePlatform")["Action"].remove("kms:*")


def _no_job_network(role: Role) -> None:
    _statement(role.identity, "ReachTheNetwork")["Action"].remove("ec2:CreateNetworkInterfacePermission")


ROLE_PLANTS = [
    (_drop_action, "sagemaker:DescribeTrainingJob on", "no statement of the role allows it"),
    (_other_resource, "s3:PutObject on", "no statement of the role allows it"),
    (_never, "kms:Decrypt on", "no statement of the role allows it"),
    (_other_tag, "sagemaker:DescribeProcessingJob on", "no statement of the role allows it"),
    (_narrow_boundary, "kms:CreateGrant on", "no statement of the permission boundary allows it"),
    (_no_job_network, "ec2:CreateNetworkInterfacePermission on", "no statement of the role allows it"),
]


@pytest.mark.parametrize(("change", "what", "why"), ROLE_PLANTS, ids=[plant[0].__name__ for plant in ROLE_PLANTS])
def test_a_defect_of_a_role_is_found(
    deployed: Deployed, loop: Loop, change: Callable[[Role], None], what: str, why: str
) -> None:
    """Shows that the judgement can fail: an action, a resource, a condition, a tag, the boundary, what is implied."""
    planted = Planted(deployed, change)
    found = refused(Judge(planted), list(asked.questions(loop.cloud.home, planted)))
    assert any("slipway-flight-delays-execution" in line and what in line and why in line for line in found), found


def _without(service: str, sid: str) -> Callable[[str, ResourcePolicy], ResourcePolicy]:
    def change(arn: str, policy: ResourcePolicy) -> ResourcePolicy:
        if arn.split(":")[2] == service and policy.document:
            policy.document["Statement"] = [s for s in policy.document["Statement"] if s.get("Sid") != sid]
        return policy

    return change


def _denying(arn: str, policy: ResourcePolicy) -> ResourcePolicy:
    if arn.startswith("arn:aws:s3:::") and policy.document:
        never = {"Sid": "Never", "Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": "*"}
        policy.document["Statement"].append(never)
    return policy


def _other_source(arn: str, policy: ResourcePolicy) -> ResourcePolicy:
    if arn.endswith("-events") and policy.document:
        condition = policy.document["Statement"][0].setdefault("Condition", {})
        condition["ArnLike"] = {"aws:SourceArn": "arn:aws:events:eu-west-1:111111111111:rule/another"}
    return policy


RESOURCE_PLANTS = [
    ("the key's account", _without("kms", "AccountDecidesByIam"), "kms:GenerateDataKey on"),
    (
        "the key's readers",
        _without("kms", "WorkloadAccountsReadReleases"),
        "slipway-release-deployer-staging (222222222222) kms",
    ),
    (
        "the bucket's readers",
        _without("s3", "WorkloadAccountsReadReleases"),
        "slipway-endpoint-execution (333333333333)",
    ),
    ("a bucket that denies", _denying, "denied by Never"),
    ("a trust of another rule", _other_source, "events.amazonaws.com sts:AssumeRole on"),
]


@pytest.mark.parametrize(
    ("change", "what"), [plant[1:] for plant in RESOURCE_PLANTS], ids=[p[0] for p in RESOURCE_PLANTS]
)
def test_a_defect_of_a_resource_policy_is_found(deployed: Deployed, loop: Loop, change: Any, what: str) -> None:
    """Shows that key, bucket and trust policies are judged: the role alone would be allowed."""
    planted = Planted(deployed, None, change)
    found = refused(Judge(planted), list(asked.questions(loop.cloud.home, planted)))
    assert any(what in line for line in found), f"{BUILD}: {found}"
