"""For other services, CodePipeline above all: a branch's head, and a commit's files as a zip."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from localcloud.core import Fault
from localcloud.services.codecommit.git import COMMIT_ID

if TYPE_CHECKING:
    from localcloud.services.codecommit.service import CodeCommit


@dataclass(frozen=True)
class SourceCommit:
    """What a pipeline's source action tells of a commit."""

    commit_id: str
    message: str
    author_name: str
    author_email: str
    author_date: datetime
    committer_date: datetime


def resolve_commit(service: CodeCommit, account: str, region: str, repository: str, specifier: str) -> SourceCommit:
    """The commit at a branch's head, or of a full commit id, tag or reference.

    Raises:
        Fault: RepositoryDoesNotExistException, BranchDoesNotExistException or CommitIdDoesNotExistException.
    """
    git = service.open(account, region, repository)
    is_id = COMMIT_ID.fullmatch(specifier) is not None
    found = service.commit_of(
        git, specifier, missing="CommitIdDoesNotExistException" if is_id else "BranchDoesNotExistException"
    )
    commit = git.commit(found)
    return SourceCommit(
        commit_id=found,
        message=commit.message.rstrip("\n"),
        author_name=commit.author.name,
        author_email=commit.author.email,
        author_date=_moment(commit.author.date),
        committer_date=_moment(commit.committer.date),
    )


def archive_commit(
    service: CodeCommit, account: str, region: str, repository: str, commit_id: str, destination: Path
) -> None:
    """Write the files of a commit, without git's own data, as a zip (CodePipeline's CODE_ZIP).

    Raises:
        Fault: RepositoryDoesNotExistException or CommitIdDoesNotExistException.
    """
    git = service.open(account, region, repository)
    if git.kind(commit_id) != "commit":
        raise Fault("CommitIdDoesNotExistException", f"The commit {commit_id} does not exist in {repository}")
    git.archive(commit_id, destination)


def _moment(date: str) -> datetime:
    return datetime.fromtimestamp(int(date.split()[0]), UTC)
