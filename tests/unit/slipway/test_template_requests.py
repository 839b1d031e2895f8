"""One pull request for a project's template update: opened, renewed, declined, and left to whoever works on it."""

from __future__ import annotations

from typing import Any

from slipway.template import job, requests
from slipway.template.source import Version
from slipway.template.update import BRANCH, Update

from .fakes import Session

NEW = Version("releases/fedcba9876543210/seedcode.zip", {}, "2.0")
DONE = Update("updated", "c" * 40, (".cruft.json", "a.py", "b.py"), ("a.py",))


def listed(session: Session, status: str, *pulls: dict[str, Any]) -> None:
    expected = {"repositoryName": "flights", "pullRequestStatus": status}
    ids = [pull["pullRequestId"] for pull in pulls]
    session.stub("codecommit", "list_pull_requests", {"pullRequestIds": ids}, expected)
    for pull in pulls:
        session.stub("codecommit", "get_pull_request", {"pullRequest": pull}, {"pullRequestId": pull["pullRequestId"]})


def pull(
    number: str, *, title: str = requests.title(NEW), branch: str = BRANCH, merged: bool = False
) -> dict[str, Any]:
    target = {
        "repositoryName": "flights", "sourceReference": f"refs/heads/{branch}", "sourceCommit": "c" * 40,
        "destinationCommit": "d" * 40, "mergeMetadata": {"isMerged": merged},
    }  # fmt: skip
    return {"pullRequestId": number, "title": title, "description": "old", "pullRequestTargets": [target]}


def test_conflicts_are_named_first() -> None:
    """A reviewer must see what a person has to resolve before anything else; and CodeCommit takes no longer text."""
    text = requests.description(NEW, DONE)
    assert text.index("* a.py") < text.index("* b.py")
    assert "1 file(s) in conflict" in text
    many = Update("updated", "", tuple(f"{number:0100}.py" for number in range(200)))
    assert len(requests.description(NEW, many)) <= requests.LONGEST
    assert "in conflict" not in requests.description(NEW, many)


def test_a_pull_request_is_opened_once_and_renewed() -> None:
    """A second version changes the one that is open; other people's pull requests are none of it."""
    session = Session()
    listed(session, "OPEN", pull("1", branch="mine"))
    made = {"pullRequest": pull("2")}
    target = {"repositoryName": "flights", "sourceReference": BRANCH, "destinationReference": "main"}
    wanted = {"title": requests.title(NEW), "description": requests.description(NEW, DONE), "targets": [target]}
    session.stub("codecommit", "create_pull_request", made, wanted)
    assert requests.open_or_renew(session.client("codecommit"), "flights", NEW, DONE) == "pull request 2 opened"
    listed(session, "OPEN", pull("2", title="Template update to an older one"))
    session.stub("codecommit", "update_pull_request_title", made, {"pullRequestId": "2", "title": wanted["title"]})
    changed = {"pullRequestId": "2", "description": wanted["description"]}
    session.stub("codecommit", "update_pull_request_description", made, changed)
    assert requests.open_or_renew(session.client("codecommit"), "flights", NEW, DONE) == "pull request 2 renewed"
    session.assert_all_called()


def test_a_declined_version_is_not_offered_again() -> None:
    """Closing is an answer; a merged one, or one of another version, is not that answer."""
    session = Session()
    listed(session, "CLOSED", pull("3", merged=True), pull("2", title="another"), pull("1"))
    assert job.offer(session.client("codecommit"), "flights", NEW, None) == "declined by closing pull request 1"
    session.assert_all_called()


def test_a_project_at_another_provider_is_named_and_passed_over() -> None:
    """No call is prepared: CodeCommit would refuse the name, and one project would fail the job of all."""
    told = job.offer(Session().client("codecommit"), "acme/flights", NEW, None)
    assert told.startswith("acme/flights is not in CodeCommit")


def test_who_works_on_the_branch_is_told_once() -> None:
    """The comment's token is of the pull request and the version: CodeCommit takes a repetition for the same."""
    tokens = set()
    for _ in range(2):
        session = Session()
        listed(session, "OPEN", pull("2"))
        client = session.client("codecommit")
        client.meta.events.register(
            "provide-client-params.codecommit.PostCommentForPullRequest",
            lambda params, **_: tokens.add(params["clientRequestToken"]),
        )
        session.stub("codecommit", "post_comment_for_pull_request", {})
        said = requests.tell_foreign(client, "flights", NEW, Update("foreign", "c" * 40))
        assert said == "pull request 2 has commits of somebody: left as it is"
    assert len(tokens) == 1
