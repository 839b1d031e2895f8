"""The platform's job after a publication: every stamped project is offered the release's seed code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from slipway import __version__, settings
from slipway.errors import SlipwayError
from slipway.progress import Progress
from slipway.template import requests, source
from slipway.template.source import Version
from slipway.template.update import update

_REASONS = {
    "current": "has this version of the seed code, or nothing of it concerns the project",
    "elsewhere": "is not in CodeCommit, and no pull request is opened elsewhere: compare the seed code by hand",
    "unknown": f"has no {source.STATE}: it was stamped before projects knew their template, and is left as it is",
}


def run(session: Any, namespace: str, bucket: str, prefix: str, progress: Progress) -> None:
    """Open or renew a pull request in every project of the platform that the release's seed code concerns.

    Raises SlipwayError that names every project that could not be updated; the others were.
    """
    s3 = session.client("s3")
    read: dict[str, Mapping[str, bytes]] = {}

    def fetch(place: str) -> Mapping[str, bytes]:
        if place not in read:
            try:
                read[place] = source.read(s3, bucket, place)
            except ClientError as error:
                if error.response["Error"]["Code"] not in {"NoSuchKey", "404"}:
                    raise
                raise SlipwayError(f"s3://{bucket}/{place} is no more: the project was stamped from it") from None
        return read[place]

    place = source.place_of(prefix)
    new = Version(place, fetch(place), __version__)
    failed = []
    for project, repository in sorted(_projects(session, namespace).items()):
        try:
            progress.say(f"{project}: {offer(session.client('codecommit'), repository, new, fetch)}")
        except (SlipwayError, ClientError) as error:
            progress.say(f"{project}: failed: {error}")
            failed.append(f"{project}: {error}")
    if failed:
        raise SlipwayError("\n".join([f"{len(failed)} project(s) could not be updated:", *failed]))


def offer(codecommit: Any, repository: str, new: Version, fetch: Any) -> str:
    """Bring one project its update. Returns what was done, in words. Raises SlipwayError or what AWS raises."""
    if "/" in repository:  # owner/name; no name in CodeCommit has a slash
        return f"{repository} {_REASONS['elsewhere']}"
    number = requests.declined(codecommit, repository, new)
    if number is not None:
        return f"declined by closing pull request {number}"
    url = codecommit.get_repository(repositoryName=repository)["repositoryMetadata"]["cloneUrlHttp"]
    done = update(url, new, fetch)
    if done.outcome == "foreign":
        return requests.tell_foreign(codecommit, repository, new, done)
    if done.outcome not in ("updated", "unchanged"):
        return _REASONS[done.outcome]
    told = requests.open_or_renew(codecommit, repository, new, done)
    return f"{told}: {len(done.changed)} file(s), {len(done.conflicts)} in conflict"


def _projects(session: Any, namespace: str) -> dict[str, str]:
    """Project → its repository."""
    found = settings.read(session.client("ssm"), f"/{namespace}/projects/").values
    suffix = "/repository"
    return {name.removesuffix(suffix): value for name, value in found.items() if name.endswith(suffix)}
