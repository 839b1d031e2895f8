"""The pull request of a template update: one for a project, opened, renewed, and not opened again when declined."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from slipway.template.source import Version
from slipway.template.update import BRANCH, MAIN, Update

LONGEST = 10_000  # characters of a description; CodeCommit allows 10,240
_REFERENCE = f"refs/heads/{BRANCH}"


def title(version: Version) -> str:
    """It names the version, and so tells a declined one from a new one."""
    return f"Template update to {version.place.split('/')[1]}"


def description(version: Version, update: Update) -> str:
    """What a reviewer has to know: the files, those in conflict first."""
    lines = [
        f"The seed code has a new version ({version.place}). This branch brings it to the project, on top of {MAIN}."
    ]
    if update.conflicts:
        lines += [
            "",
            f"{len(update.conflicts)} file(s) in conflict: the project and the template changed the same lines. Both",
            "are there, between conflict markers (or the template's in a .rej file). Resolve them on this branch:",
            *(f"* {path}" for path in update.conflicts),
        ]
    others = [path for path in update.changed if path not in update.conflicts]
    lines += ["", f"{len(others)} file(s) changed without a conflict:", *(f"* {path}" for path in others)]
    lines += [
        "",
        "Close this pull request to decline the version. Push to the branch to keep it: it is not renewed then.",
    ]
    text = "\n".join(lines)
    return text if len(text) <= LONGEST else text[: LONGEST - 2] + "\n…"


def open_or_renew(codecommit: Any, repository: str, version: Version, update: Update) -> str:
    """See to it that there is one pull request of the branch. Returns what was done, with its number."""
    wanted = {"title": title(version), "description": description(version, update)}
    current = next(_pulls(codecommit, repository, "OPEN"), None)
    if current is not None:
        number = current["pullRequestId"]
        if current["title"] != wanted["title"]:
            codecommit.update_pull_request_title(pullRequestId=number, title=wanted["title"])
        if current.get("description", "") != wanted["description"]:
            codecommit.update_pull_request_description(pullRequestId=number, description=wanted["description"])
        return f"pull request {number} renewed" if update.outcome == "updated" else f"pull request {number} is open"
    target = {"repositoryName": repository, "sourceReference": BRANCH, "destinationReference": MAIN}
    made = codecommit.create_pull_request(targets=[target], **wanted)["pullRequest"]
    return f"pull request {made['pullRequestId']} opened"


def declined(codecommit: Any, repository: str, version: Version) -> str | None:
    """The number of a pull request of this very version that somebody closed without merging it."""
    for pull in _pulls(codecommit, repository, "CLOSED"):
        merged = any(target["mergeMetadata"].get("isMerged") for target in pull["pullRequestTargets"])
        if pull["title"] == title(version) and not merged:
            return str(pull["pullRequestId"])
    return None


def tell_foreign(codecommit: Any, repository: str, version: Version, update: Update) -> str:
    """Say on the pull request that there is a newer version than the branch on which somebody works; once."""
    pull = next(_pulls(codecommit, repository, "OPEN"), None)
    if pull is None:
        return f"somebody works on {BRANCH}: nothing was changed"
    target, number = pull["pullRequestTargets"][0], pull["pullRequestId"]
    token = hashlib.sha256(f"{number} {version.place}".encode()).hexdigest()
    codecommit.post_comment_for_pull_request(
        pullRequestId=number,
        repositoryName=repository,
        beforeCommitId=target["destinationCommit"],
        afterCommitId=target["sourceCommit"],
        content=f"{version.place} is newer than this branch, which has commits of yours and was left as it is. Merge "
        f"or close it, and delete {BRANCH}: the next publication opens a pull request with the newest version.",
        clientRequestToken=token,
    )
    return f"pull request {number} has commits of somebody: left as it is"


def _pulls(codecommit: Any, repository: str, status: str) -> Iterator[dict[str, Any]]:
    pages = codecommit.get_paginator("list_pull_requests").paginate(repositoryName=repository, pullRequestStatus=status)
    for number in (number for page in pages for number in page["pullRequestIds"]):
        pull = codecommit.get_pull_request(pullRequestId=number)["pullRequest"]
        targets = pull["pullRequestTargets"]
        if any(target["sourceReference"] == _REFERENCE for target in targets):
            yield pull
