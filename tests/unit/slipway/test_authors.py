"""Author is not approver: who is the same person, who had a hand in a commit, and what is refused."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from slipway.errors import SlipwayError
from slipway.release.authors import authors, decided_by, names, refuse_own

from .fakes import Session

COMMIT = "c" * 40
NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def session(role: str, name: str) -> str:
    return f"arn:aws:sts::111111111111:assumed-role/slipway-{role}/{name}"


MARY, LEE = session("DataScientist", "mary"), session("DataScientist", "lee")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (MARY, session("ReleaseApprover", "mary"), True),
        (MARY, session("ReleaseApprover", "Mary"), True),
        (MARY, LEE, False),
        ("arn:aws:iam::111111111111:user/staff/mary", MARY, True),
        ("mary@example.com", MARY, True),
        (session("DataScientist", "mary@example.com"), "mary@example.com", True),
        ("arn:aws:sts::111111111111:assumed-role/mary--flights/SageMaker", MARY, True),
        ("arn:aws:sts::1:assumed-role/mary--flights/SageMaker", "arn:aws:sts::1:assumed-role/lee--x/SageMaker", False),
        ("mary--flights", MARY, True),  # the source identity of a Studio user
        ("arn:aws:iam::111111111111:root", "arn:aws:iam::222222222222:root", True),
        ("@", MARY, False),
    ],
)
def test_who_is_the_same_person(one: str, other: str, same: bool) -> None:
    """Another role, another account or a notebook is no other person."""
    assert bool(names(one) & names(other)) is same


def pull(number: str, commit: str) -> dict[str, Any]:
    target = {"repositoryName": "flights", "mergeMetadata": {"isMerged": True, "mergeCommitId": commit}}
    return {"pullRequest": {"pullRequestId": number, "authorArn": MARY, "pullRequestTargets": [target]}}


def commit(email: str) -> dict[str, Any]:
    return {"commit": {"commitId": COMMIT, "author": {"name": "x", "email": email}}}


def test_the_authors_of_a_merge_are_those_of_the_pull_request() -> None:
    """Who merges has reviewed; who opened it and who pushed to its branch have written."""
    told = Session()
    told.stub("codecommit", "list_pull_requests", {"pullRequestIds": ["9", "8", "7"]})
    told.stub("codecommit", "get_pull_request", pull("9", "d" * 40), {"pullRequestId": "9"})
    told.stub("codecommit", "get_pull_request", pull("8", COMMIT), {"pullRequestId": "8"})
    kind = "PULL_REQUEST_SOURCE_REFERENCE_UPDATED"
    event = {"pullRequestId": "8", "eventDate": NOW, "pullRequestEventType": kind, "actorArn": LEE}
    told.stub("codecommit", "describe_pull_request_events", {"pullRequestEvents": [event, event]})
    told.stub("codecommit", "get_commit", commit("otto@example.com"))
    found = authors(told.client("codecommit"), "flights", COMMIT, session("DataScientist", "merger"))
    assert found == [MARY, LEE, "otto@example.com"]
    told.assert_all_called()


def test_the_author_of_a_push_is_who_pushed() -> None:
    """Without a pull request the event says who; without the event the commit's address remains."""
    for pusher in (MARY, ""):
        told = Session()
        told.stub("codecommit", "list_pull_requests", {"pullRequestIds": []})
        told.stub("codecommit", "get_commit", commit("mary@example.com"))
        expected = [pusher, "mary@example.com"] if pusher else ["mary@example.com"]
        assert authors(told.client("codecommit"), "flights", COMMIT, pusher) == expected
    assert authors(None, "flights", "unknown", MARY) == [MARY]


def test_codecommit_is_not_asked_about_a_repository_elsewhere() -> None:
    """No call is prepared: CodeCommit would refuse the name, after the model was trained."""
    assert authors(Session().client("codecommit"), "acme/flights", COMMIT, "") == []


def test_ones_own_model_is_not_released() -> None:
    """The refusal names both, and says how somebody else's approval is got."""
    by = decided_by({"IamIdentity": {"Arn": session("ReleaseApprover", "mary"), "PrincipalId": "AROAX:mary"}})
    with pytest.raises(SlipwayError, match=r"V1\.0\.0 may not be released.*ReleaseApprover/mary approved it.*Somebody"):
        refuse_own("V1.0.0", by, [LEE, MARY])
    refuse_own("V1.0.0", by, [LEE, "lee@example.com"])


def test_an_approval_by_nobody_releases_nothing() -> None:
    """Where AWS does not say who approved, it cannot be said that it was somebody else."""
    with pytest.raises(SlipwayError, match="does not say who approved"):
        refuse_own("V1.0.0", decided_by({}), [MARY])
    studio = {"UserProfileName": "mary--flights", "IamIdentity": {"Arn": LEE, "SourceIdentity": "mary--flights"}}
    with pytest.raises(SlipwayError, match="is its author"):
        refuse_own("V1.0.0", decided_by(studio), [MARY])
