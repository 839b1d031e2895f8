"""Pull requests under review: approval rules and their templates, approvals, overrides, comments, conflicts."""

from __future__ import annotations

import json
import sqlite3
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tests.localcloud.test_codecommit import REGION, TOOLING, commit, events, fails, git, push, quick_environment

__all__ = ["events"]  # a fixture of the neighbour


def content(needed: int = 1, *pool: str, references: list[str] | None = None) -> str:
    statement: dict[str, Any] = {"Type": "Approvers", "NumberOfApprovalsNeeded": needed}
    statement |= {"ApprovalPoolMembers": list(pool)} if pool else {}
    more = {"DestinationReferences": references} if references else {}
    return json.dumps({"Version": "2018-11-08", **more, "Statements": [statement]})


@pytest.fixture(scope="module")
def codecommit(cloud: Any) -> Any:
    return cloud.client("codecommit")


@pytest.fixture
def repository(codecommit: Any) -> str:
    name = f"reviewed-{uuid.uuid4().hex[:8]}"
    codecommit.create_repository(repositoryName=name)
    return name


@pytest.fixture(scope="module")
def person(cloud: Any) -> Callable[..., Any]:
    """The client of a session of a role: person("mary") or person("mary", "Other")."""
    iam, sts = cloud.client("iam"), cloud.client("sts")
    principal = {"AWS": f"arn:aws:iam::{TOOLING}:root"}
    trust = {"Statement": [{"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}]}
    made: dict[str, str] = {}

    def sign_in(name: str, role: str = "Reviewer") -> Any:
        if role not in made:
            document = json.dumps({"Version": "2012-10-17", **trust})
            made[role] = iam.create_role(RoleName=role, AssumeRolePolicyDocument=document)["Role"]["Arn"]
        keys = sts.assume_role(RoleArn=made[role], RoleSessionName=name)["Credentials"]
        return cloud.client(
            "codecommit", access_key=keys["AccessKeyId"], secret_key=keys["SecretAccessKey"],
            token=keys["SessionToken"],
        )  # fmt: skip

    return sign_in


def branches(codecommit: Any, name: str, files: dict[str, str] | None = None) -> tuple[str, str]:
    """main with one commit, and dev one ahead of it. Returns both commits."""
    first = commit(codecommit, name, {"a.txt": "1\n2\n3\n4\n5\n", "b.txt": "0"})
    codecommit.create_branch(repositoryName=name, branchName="dev", commitId=first)
    return first, commit(codecommit, name, files or {"b.txt": "1"}, branch="dev", parent=first)


def open_pull(codecommit: Any, name: str, **more: Any) -> dict[str, Any]:
    target = [{"repositoryName": name, "sourceReference": "dev"}]
    made: dict[str, Any] = codecommit.create_pull_request(title="Better", targets=target, **more)["pullRequest"]
    return made


def approve(client: Any, pull: dict[str, Any], state: str = "APPROVE") -> None:
    client.update_pull_request_approval_state(
        pullRequestId=pull["pullRequestId"], revisionId=pull["revisionId"], approvalState=state
    )


def merge(client: Any, pull: dict[str, Any]) -> Any:
    name = pull["pullRequestTargets"][0]["repositoryName"]
    return client.merge_pull_request_by_fast_forward(pullRequestId=pull["pullRequestId"], repositoryName=name)


def refused(client: Any, pull: dict[str, Any]) -> str:
    name = pull["pullRequestTargets"][0]["repositoryName"]
    return fails(
        "PullRequestApprovalRulesNotSatisfiedException", client.merge_pull_request_by_fast_forward,
        pullRequestId=pull["pullRequestId"], repositoryName=name,
    )  # fmt: skip


@pytest.fixture
def template(codecommit: Any, repository: str) -> str:
    """A template that wants one approval by a reviewer on main, associated with the repository."""
    name = f"{repository}-one-approval"
    pool = f"arn:aws:sts::{TOOLING}:assumed-role/Reviewer/*"
    codecommit.create_approval_rule_template(
        approvalRuleTemplateName=name, approvalRuleTemplateContent=content(1, pool, references=["refs/heads/main"])
    )
    where = {"approvalRuleTemplateName": name, "repositoryName": repository}
    codecommit.associate_approval_rule_template_with_repository(**where)
    codecommit.associate_approval_rule_template_with_repository(**where)  # twice is as good as once
    return name


def test_a_merge_waits_for_somebody_elses_approval(
    codecommit: Any, person: Callable[..., Any], repository: str, template: str
) -> None:
    """The point of it all: the author cannot approve, who is not in the pool does not count, who is opens the way."""
    branches(codecommit, repository)
    mary, lee, outsider = person("mary"), person("lee"), person("otto", "Outsider")
    pull = open_pull(mary, repository)
    rule = pull["approvalRules"][0]
    assert (rule["approvalRuleName"], rule["originApprovalRuleTemplate"]["approvalRuleTemplateName"]) == (
        template, template,
    )  # fmt: skip
    assert template in refused(mary, pull)
    fails(
        "PullRequestCannotBeApprovedByAuthorException", mary.update_pull_request_approval_state,
        pullRequestId=pull["pullRequestId"], revisionId=pull["revisionId"], approvalState="APPROVE",
    )  # fmt: skip
    approve(outsider, pull)
    refused(mary, pull)
    approve(lee, pull)
    where = {"pullRequestId": pull["pullRequestId"], "revisionId": pull["revisionId"]}
    evaluation = codecommit.evaluate_pull_request_approval_rules(**where)["evaluation"]
    assert evaluation == {
        "approved": True, "overridden": False, "approvalRulesSatisfied": [template], "approvalRulesNotSatisfied": [],
    }  # fmt: skip
    approve(lee, pull, "REVOKE")
    refused(mary, pull)
    approve(lee, pull)
    given = codecommit.get_pull_request_approval_states(**where)["approvals"]
    assert {one["userArn"].rsplit("/", 1)[1] for one in given if one["approvalState"] == "APPROVE"} == {"lee", "otto"}
    assert merge(mary, pull)["pullRequest"]["pullRequestStatus"] == "CLOSED"
    events = codecommit.describe_pull_request_events(pullRequestId=pull["pullRequestId"])["pullRequestEvents"]
    assert [event["pullRequestEventType"].removeprefix("PULL_REQUEST_") for event in events] == [
        "CREATED", *["APPROVAL_STATE_CHANGED"] * 4, "MERGE_STATE_CHANGED",
    ]  # fmt: skip
    assert events[-1]["pullRequestMergedStateChangedEventMetadata"]["mergeMetadata"]["isMerged"] is True
    fails("PullRequestAlreadyClosedException", lee.update_pull_request_approval_state, **where, approvalState="APPROVE")


def test_an_approval_is_of_one_revision(
    codecommit: Any, person: Callable[..., Any], repository: str, template: str
) -> None:
    """What is pushed after the approval was seen by nobody: it needs another approval, even when it is taken back."""
    _, second = branches(codecommit, repository)
    lee = person("lee")
    pull = open_pull(codecommit, repository)
    approve(lee, pull)
    commit(codecommit, repository, {"b.txt": "2"}, branch="dev", parent=second)
    changed = codecommit.get_pull_request(pullRequestId=pull["pullRequestId"])["pullRequest"]
    assert changed["revisionId"] != pull["revisionId"]
    refused(codecommit, changed)
    fails(
        "RevisionNotCurrentException", lee.update_pull_request_approval_state,
        pullRequestId=pull["pullRequestId"], revisionId=pull["revisionId"], approvalState="APPROVE",
    )  # fmt: skip
    approve(lee, changed)
    merge(codecommit, changed)


def test_rules_of_one_pull_request(codecommit: Any, person: Callable[..., Any], repository: str, template: str) -> None:
    """Rules can be added to one pull request, changed and removed; those of a template stay."""
    branches(codecommit, repository)
    pull = open_pull(codecommit, repository)
    where = {"pullRequestId": pull["pullRequestId"]}
    text = content(2, f"CodeCommitApprovers:{TOOLING}:Reviewer/*")
    codecommit.create_pull_request_approval_rule(**where, approvalRuleName="two", approvalRuleContent=text)
    fails(
        "ApprovalRuleNameAlreadyExistsException", codecommit.create_pull_request_approval_rule, **where,
        approvalRuleName="two", approvalRuleContent=text,
    )  # fmt: skip
    approve(person("lee"), pull)
    assert refused(codecommit, pull).endswith(": two")
    update = codecommit.update_pull_request_approval_rule_content
    fails(
        "InvalidRuleContentSha256Exception", update, **where, approvalRuleName="two", newRuleContent=content(1),
        existingRuleContentSha256="0" * 64,
    )  # fmt: skip
    fails(
        "CannotModifyApprovalRuleFromTemplateException", update, **where, approvalRuleName=template,
        newRuleContent=content(1),
    )  # fmt: skip
    delete = codecommit.delete_pull_request_approval_rule
    fails("CannotDeleteApprovalRuleFromTemplateException", delete, **where, approvalRuleName=template)
    update(**where, approvalRuleName="two", newRuleContent=content(1))
    delete(**where, approvalRuleName="two")
    delete(**where, approvalRuleName="two")
    merge(codecommit, pull)


def test_rules_are_overridden_and_the_override_is_known(
    codecommit: Any, person: Callable[..., Any], repository: str, template: str
) -> None:
    """Where it must be: the override is of one revision, can be taken back, and says by whom."""
    branches(codecommit, repository)
    pull = open_pull(codecommit, repository)
    where = {"pullRequestId": pull["pullRequestId"], "revisionId": pull["revisionId"]}
    lee = person("lee")
    lee.override_pull_request_approval_rules(**where, overrideStatus="OVERRIDE")
    fails("OverrideAlreadySetException", lee.override_pull_request_approval_rules, **where, overrideStatus="OVERRIDE")
    state = codecommit.get_pull_request_override_state(**where)
    assert (state["overridden"], state["overrider"].rsplit("/", 1)[1]) == (True, "lee")
    lee.override_pull_request_approval_rules(**where, overrideStatus="REVOKE")
    assert codecommit.get_pull_request_override_state(**where)["overridden"] is False
    refused(codecommit, pull)
    lee.override_pull_request_approval_rules(**where, overrideStatus="OVERRIDE")
    merge(codecommit, pull)


def test_templates_are_kept_and_followed(codecommit: Any, repository: str, template: str) -> None:
    """What the template says at the time counts, for the branches that it names; one in use is not deleted."""
    first, _ = branches(codecommit, repository)
    codecommit.create_branch(repositoryName=repository, branchName="other", commitId=first)
    where = {"approvalRuleTemplateName": template}
    target = [{"repositoryName": repository, "sourceReference": "dev", "destinationReference": "other"}]
    elsewhere = codecommit.create_pull_request(title="x", targets=target)["pullRequest"]
    assert elsewhere["approvalRules"] == []
    found = codecommit.get_approval_rule_template(**where)["approvalRuleTemplate"]
    changed = codecommit.update_approval_rule_template_content(
        **where, newRuleContent=content(2), existingRuleContentSha256=found["ruleContentSha256"]
    )["approvalRuleTemplate"]
    assert changed["ruleContentSha256"] != found["ruleContentSha256"]
    assert json.loads(open_pull(codecommit, repository)["approvalRules"][0]["approvalRuleContent"])["Statements"][0][
        "NumberOfApprovalsNeeded"
    ] == 2  # fmt: skip
    assert codecommit.list_repositories_for_approval_rule_template(**where)["repositoryNames"] == [repository]
    listed = codecommit.list_associated_approval_rule_templates_for_repository(repositoryName=repository)
    assert listed["approvalRuleTemplateNames"] == [template]
    message = fails("ApprovalRuleTemplateInUseException", codecommit.delete_approval_rule_template, **where)
    assert repository in message
    answer = codecommit.batch_disassociate_approval_rule_template_from_repositories(
        **where, repositoryNames=[repository, "none"]
    )
    assert answer["disassociatedRepositoryNames"] == [repository]
    assert answer["errors"][0]["errorCode"] == "RepositoryDoesNotExistException"
    codecommit.update_approval_rule_template_name(
        oldApprovalRuleTemplateName=template, newApprovalRuleTemplateName=f"{template}-2"
    )
    assert f"{template}-2" in codecommit.list_approval_rule_templates()["approvalRuleTemplateNames"]
    codecommit.delete_approval_rule_template(approvalRuleTemplateName=f"{template}-2")
    codecommit.delete_approval_rule_template(approvalRuleTemplateName=f"{template}-2")
    fails("ApprovalRuleTemplateDoesNotExistException", codecommit.get_approval_rule_template, **where)


def test_a_deleted_repository_lets_its_template_go(codecommit: Any, repository: str, template: str) -> None:
    """A project's end: the repository goes first, and its template must not be held by what is no more."""
    branches(codecommit, repository)
    pull = open_pull(codecommit, repository)
    codecommit.delete_repository(repositoryName=repository)
    fails("PullRequestDoesNotExistException", codecommit.get_pull_request, pullRequestId=pull["pullRequestId"])
    assert codecommit.delete_approval_rule_template(approvalRuleTemplateName=template)["approvalRuleTemplateId"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("no JSON", "no JSON"),
        (json.dumps({"Version": "2012-10-17", "Statements": []}), "Version"),
        (json.dumps({"Version": "2018-11-08", "Statements": []}), "Statements"),
        (content(0), "NumberOfApprovalsNeeded"),
        (content(1, "mary"), "'mary'"),
        (content(1, *["arn:aws:iam::111111111111:user/x"] * 51), "at most 50"),
        (content(1, references=["main"]), "'main'"),
    ],
)
def test_content_that_is_none_is_refused_with_the_reason(codecommit: Any, text: str, problem: str) -> None:
    """A rule that nobody can satisfy, or that everybody does, is worse than none."""
    message = fails(
        "InvalidApprovalRuleTemplateContentException", codecommit.create_approval_rule_template,
        approvalRuleTemplateName="x", approvalRuleTemplateContent=text,
    )  # fmt: skip
    assert problem in message


def test_events_have_awss_shape(
    codecommit: Any, person: Callable[..., Any], repository: str, events: Callable[[int], list[dict[str, Any]]]
) -> None:
    """Rules that notify or enforce match on these members."""
    branches(codecommit, repository)
    name = f"{repository}-t"
    codecommit.create_approval_rule_template(approvalRuleTemplateName=name, approvalRuleTemplateContent=content(1))
    codecommit.associate_approval_rule_template_with_repository(
        approvalRuleTemplateName=name, repositoryName=repository
    )
    pull = open_pull(codecommit, repository)
    approve(person("lee"), pull)
    target = pull["pullRequestTargets"][0]
    commits = {"beforeCommitId": target["destinationCommit"], "afterCommitId": target["sourceCommit"]}
    posted = codecommit.post_comment_for_pull_request(
        pullRequestId=pull["pullRequestId"], repositoryName=repository, **commits, content="Why?"
    )["comment"]
    # Three references, and no event of the template's creation, which names no repository.
    found = {event["detail"]["event"]: event for event in events(7)}
    assert set(found) == {
        "referenceCreated", "referenceUpdated", "approvalRuleTemplateAssociatedWithRepository", "pullRequestCreated",
        "pullRequestApprovalStateChanged", "commentOnPullRequestCreated",
    }  # fmt: skip
    associated = found["approvalRuleTemplateAssociatedWithRepository"]
    assert associated["detail-type"] == "CodeCommit Approval Rule Template Change"
    assert associated["resources"] == [f"arn:aws:codecommit:{REGION}:{TOOLING}:{repository}"]
    assert list(associated["detail"]["repositories"]) == [repository]
    approved = found["pullRequestApprovalStateChanged"]
    assert approved["detail-type"] == "CodeCommit Pull Request State Change"
    detail = approved["detail"]
    assert (detail["approvalStatus"], detail["revisionId"]) == ("APPROVE", pull["revisionId"])
    assert detail["callerUserArn"] == f"arn:aws:sts::{TOOLING}:assumed-role/Reviewer/lee"
    assert (detail["author"], detail["isMerged"], detail["pullRequestStatus"]) == (pull["authorArn"], "False", "Open")
    commented = found["commentOnPullRequestCreated"]
    assert commented["detail-type"] == "CodeCommit Comment on Pull Request"
    assert commented["detail"]["commentId"] == posted["commentId"]


def test_comments(codecommit: Any, person: Callable[..., Any], repository: str) -> None:
    """Said about a line, answered, changed by its author alone, and taken away without leaving a hole."""
    branches(codecommit, repository)
    pull = open_pull(codecommit, repository)
    target = pull["pullRequestTargets"][0]
    where = {
        "pullRequestId": pull["pullRequestId"], "repositoryName": repository,
        "beforeCommitId": target["destinationCommit"], "afterCommitId": target["sourceCommit"],
        "location": {"filePath": "b.txt", "filePosition": 1, "relativeFileVersion": "AFTER"},
    }  # fmt: skip
    mary, lee = person("mary"), person("lee")
    posted = mary.post_comment_for_pull_request(**where, content="Why 1?", clientRequestToken="t")
    again = mary.post_comment_for_pull_request(**where, content="Why 1?", clientRequestToken="t")
    number = posted["comment"]["commentId"]
    assert (again["comment"]["commentId"], len(posted["afterBlobId"])) == (number, 40)
    fails(
        "IdempotencyParameterMismatchException", mary.post_comment_for_pull_request, **where, content="other",
        clientRequestToken="t",
    )  # fmt: skip
    reply = lee.post_comment_reply(inReplyTo=number, content="Because.")["comment"]
    assert reply["inReplyTo"] == number
    listed = codecommit.get_comments_for_pull_request(pullRequestId=pull["pullRequestId"])["commentsForPullRequestData"]
    assert [[comment["content"] for comment in one["comments"]] for one in listed] == [["Why 1?", "Because."]]
    fails("CommentNotCreatedByCallerException", lee.update_comment, commentId=number, content="x")
    assert mary.update_comment(commentId=number, content="Why one?")["comment"]["content"] == "Why one?"
    assert codecommit.delete_comment_content(commentId=number)["comment"]["deleted"] is True
    fails("CommentDeletedException", codecommit.get_comment, commentId=number)
    missing = where | {"location": {"filePath": "none"}}
    fails("PathDoesNotExistException", mary.post_comment_for_pull_request, **missing, content="x")


def test_conflicts_by_file_and_by_line(codecommit: Any, repository: str) -> None:
    """By default a file that both sides changed is a conflict; by lines only where the lines are the same."""
    first, _ = branches(codecommit, repository, {"a.txt": "one\n2\n3\n4\n5\n"})
    tip = commit(codecommit, repository, {"a.txt": "1\n2\n3\n4\nfive\n"}, parent=first)
    pull = open_pull(codecommit, repository)
    asked = {
        "repositoryName": repository, "destinationCommitSpecifier": "main", "sourceCommitSpecifier": "dev",
    }  # fmt: skip
    found = codecommit.get_merge_conflicts(**asked, mergeOption="THREE_WAY_MERGE")
    assert (found["mergeable"], found["baseCommitId"], found["destinationCommitId"]) == (False, first, tip)
    assert [one["filePath"] for one in found["conflictMetadataList"]] == ["a.txt"]
    assert found["conflictMetadataList"][0]["mergeOperations"] == {"source": "M", "destination": "M"}
    assert codecommit.get_merge_options(**asked)["mergeOptions"] == []
    lines = {"conflictDetailLevel": "LINE_LEVEL"}
    assert codecommit.get_merge_options(**asked, **lines)["mergeOptions"] == ["SQUASH_MERGE", "THREE_WAY_MERGE"]
    where = {"pullRequestId": pull["pullRequestId"], "repositoryName": repository}
    fails("ManualMergeRequiredException", codecommit.merge_pull_request_by_three_way, **where)
    tip = commit(codecommit, repository, {"a.txt": "uno\n2\n3\n4\nfive\n"}, parent=tip)
    described = codecommit.describe_merge_conflicts(**asked, **lines, mergeOption="THREE_WAY_MERGE", filePath="a.txt")
    clash = next(hunk for hunk in described["mergeHunks"] if hunk["isConflict"])
    assert [clash[side]["hunkContent"] for side in ("source", "destination", "base")] == ["one\n", "uno\n", "1\n"]
    fails("ManualMergeRequiredException", codecommit.merge_pull_request_by_three_way, **where, **lines)
    assert codecommit.get_branch(repositoryName=repository, branchName="main")["branch"]["commitId"] == tip


def test_a_pull_request_follows_its_branches(codecommit: Any, repository: str) -> None:
    """The destination's tip is told as it is, and a pull request whose branch is gone is closed."""
    first, _ = branches(codecommit, repository)
    number = open_pull(codecommit, repository)["pullRequestId"]
    tip = commit(codecommit, repository, {"c.txt": "0"}, parent=first)
    found = codecommit.get_pull_request(pullRequestId=number)["pullRequest"]["pullRequestTargets"][0]
    assert (found["destinationCommit"], found["mergeBase"]) == (tip, first)
    codecommit.delete_branch(repositoryName=repository, branchName="dev")
    assert codecommit.get_pull_request(pullRequestId=number)["pullRequest"]["pullRequestStatus"] == "CLOSED"


def test_calls_are_recorded_with_repository_and_reference(
    cloud: Any, codecommit: Any, person: Callable[..., Any], repository: str, tmp_path: Any
) -> None:
    """Policies go by the repository and by codecommit:References: the judge of the record needs both."""
    branches(codecommit, repository)
    pull = open_pull(codecommit, repository)
    approve(person("lee"), pull)
    merge(codecommit, pull)
    env = quick_environment(cloud)
    git(tmp_path, env, "clone", "-q", f"{cloud.endpoint}/v1/repos/{repository}", "work")
    push(tmp_path / "work", env, "d.txt", "1", "HEAD:main", "HEAD:refs/heads/feature")
    arn = f"arn:aws:codecommit:{REGION}:{TOOLING}:{repository}"
    names = ("UpdatePullRequestApprovalState", "MergePullRequestByFastForward", "CreateCommit", "GitPush")
    wanted = {
        ("UpdatePullRequestApprovalState", ""), ("MergePullRequestByFastForward", "refs/heads/main"),
        ("CreateCommit", "refs/heads/main"), ("CreateCommit", "refs/heads/dev"), ("GitPush", ""),
        ("GitPush", "refs/heads/main"), ("GitPush", "refs/heads/feature"),
    }  # fmt: skip
    found: set[tuple[str, str]] = set()
    deadline = time.monotonic() + 5
    while found != wanted and time.monotonic() < deadline:
        with sqlite3.connect(f"file:{cloud.home / 'localcloud.sqlite'}?mode=ro", uri=True) as store:
            rows = store.execute("SELECT action, context FROM call WHERE resource = ?", (arn,)).fetchall()
        calls = [(action.partition(":")[2], json.loads(text).get("keys", {})) for action, text in rows]
        found = {(action, keys.get("codecommit:References", "")) for action, keys in calls if action in names}
    assert found == wanted
