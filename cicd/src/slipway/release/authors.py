"""Who made a change and who decided on it: nobody releases their own model.

On AWS a person is known by what their session says: the session's name (the user's name of an IAM user or of Identity
Center, what a SAML provider asserts), a source identity, a Studio user profile. The same name is taken for the same
person, whatever the role. An author is who opened the pull request and who pushed to its branch; without a pull
request, who pushed to main; and whoever the commit names as its author, by e-mail address.

What it cannot catch: two names of one person, where people choose the names of their sessions themselves; commits that
somebody else pushed under a wrong author.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from slipway.errors import SlipwayError

# A merge is the newest of the closed pull requests, or nearly.
MOST_PULL_REQUESTS = 50
COMMIT_ID = re.compile(r"[0-9a-f]{40}")


def names(identity: str) -> frozenset[str]:
    """Names by which a person may be known elsewhere: an ARN by session or user, an address also by what precedes @.

    The role of a Studio user is named `<user>--<project>`, and so is the profile; its sessions are all SageMaker.
    """
    text = identity.casefold()
    if text.startswith("arn:"):
        *_, role, session = ("", *text.rsplit(":", 1)[-1].split("/"))
        text = role if session == "sagemaker" and "--" in role else session
    text = text.partition("--")[0]
    return frozenset(filter(None, (text, text.partition("@")[0])))


def authors(codecommit: Any, repository: str, commit: str, pusher: str) -> list[str]:
    """Everybody who had a hand in a commit of main: ARNs, and the e-mail address of the commit.

    Args:
        codecommit: the client.
        repository: its name; owner/name where it is not in CodeCommit. AWS says nothing of authors there, and its
            provider's protection of the branch has to see to it that they do not approve themselves.
        commit: full id.
        pusher: ARN of who moved main to it; "" where nobody says.
    """
    if "/" in repository or not COMMIT_ID.fullmatch(commit):  # not in CodeCommit; built by hand, from no commit
        return [pusher] if pusher else []
    found = _of_pull_request(codecommit, repository, commit) or [pusher]
    written = codecommit.get_commit(repositoryName=repository, commitId=commit)["commit"]["author"].get("email", "")
    return list(dict.fromkeys(filter(None, (*found, written))))


def _of_pull_request(codecommit: Any, repository: str, commit: str) -> list[str]:
    pages = codecommit.get_paginator("list_pull_requests").paginate(
        repositoryName=repository,
        pullRequestStatus="CLOSED",
        PaginationConfig={"MaxItems": MOST_PULL_REQUESTS},
    )
    for number in (number for page in pages for number in page["pullRequestIds"]):
        pull = codecommit.get_pull_request(pullRequestId=number)["pullRequest"]
        if any(target["mergeMetadata"].get("mergeCommitId") == commit for target in pull["pullRequestTargets"]):
            events = codecommit.get_paginator("describe_pull_request_events").paginate(
                pullRequestId=number, pullRequestEventType="PULL_REQUEST_SOURCE_REFERENCE_UPDATED"
            )
            pushed = [event["actorArn"] for page in events for event in page["pullRequestEvents"]]
            return [pull["authorArn"], *pushed]
    return []


def decided_by(context: Mapping[str, Any]) -> list[str]:
    """Identities in SageMaker's UserContext: the ARN first."""
    identity = context.get("IamIdentity", {})
    given = (identity.get("Arn"), identity.get("SourceIdentity"), context.get("UserProfileName"))
    return [text for text in given if text]


def refuse_own(what: str, decided: Iterable[str], made: Iterable[str]) -> None:
    """Raise SlipwayError if one of those who decided is one of those who made it, or if nobody knows who decided."""
    deciders = list(decided)
    if not deciders:
        raise SlipwayError(
            f"{what} may not be released: AWS does not say who approved it. Approve it again to release it"
        )
    own = frozenset[str]().union(*(names(identity) for identity in deciders))
    for author in made:
        same = own & names(author)
        if same:
            raise SlipwayError(
                f"{what} may not be released: {deciders[0]} approved it and is its author ({author}). "
                "Somebody else has to approve it: set it to Rejected in the model registry, and let them approve it"
            )
