"""What the parts of the service share: records, look-ups, and the events that tell of a changed reference."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcloud.core import Call, Cloud, Fault, Service
from localcloud.services.codecommit.git import COMMIT_ID, ZERO, GitRepository, valid_reference

log = logging.getLogger(__name__)

REPOSITORY_NAME = re.compile(r"[\w.-]{1,100}")


@dataclass(frozen=True)
class Change:
    """A reference that moved; ZERO stands for "does not exist"."""

    reference: str
    old: str
    new: str


class Base(Service):
    """Records and look-ups.

    Tables: `codecommit.repository` by name (metadata members as AWS names them, plus `tags`), `codecommit.announced` by
    name (reference → commit id of which an event has told), `codecommit.pull` by pull request id.
    """

    name = "codecommit"

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self.repositories = cloud.store.table("codecommit.repository")
        self.announced = cloud.store.table("codecommit.announced")
        self.pulls = cloud.store.table("codecommit.pull")
        # Until `recover` has told of what is untold, nothing may change references: it would be told of twice.
        self.recovered = threading.Event()
        if not self.repositories.all():
            self.recovered.set()

    # -- repositories -------------------------------------------------------------------------------------------

    def directory(self, account: str, region: str, name: str) -> Path:
        """Where the bare repository lies."""
        return Path(self.cloud.home) / "codecommit" / account / region / f"{name}.git"

    def git(self, account: str, region: str, name: str) -> GitRepository:
        """The bare repository of a record that exists."""
        return GitRepository(self.directory(account, region, name))

    def metadata(self, account: str, region: str, name: str) -> dict[str, Any]:
        """The repository's record.

        Raises:
            Fault: InvalidRepositoryNameException or RepositoryDoesNotExistException.
        """
        check_repository_name(name)
        found = self.repositories.get(account, region, name)
        if found is None:
            raise Fault("RepositoryDoesNotExistException", f"{name} does not exist")
        return found

    def open(self, account: str, region: str, name: str) -> GitRepository:
        """The repository of a name, or the fault that AWS answers."""
        self.recovered.wait(10)
        self.metadata(account, region, name)
        return self.git(account, region, name)

    def commit_of(
        self, git: GitRepository, specifier: str | None, *, missing: str = "CommitDoesNotExistException"
    ) -> str:
        """The commit id that a commit specifier (id, branch, tag, reference, HEAD; default HEAD) stands for."""
        asked = specifier or "HEAD"
        if asked != "HEAD" and not COMMIT_ID.fullmatch(asked) and not valid_reference(asked):
            raise Fault("InvalidCommitException", f"The commit specifier '{asked}' is not valid")
        found = git.resolve(asked)
        if found is None:
            raise Fault(missing, f"Could not resolve commit specifier {asked} to a commit in the repository")
        return found

    # -- events -------------------------------------------------------------------------------------------------

    def announce(
        self, account: str, region: str, name: str, changes: Iterable[Change], caller: str, **more: str
    ) -> None:
        """Tell EventBridge of each changed reference, and note that it was told.

        `more` are the members that a merge adds: mergeOption, sourceCommitId, destinationCommitId, baseCommitId.
        """
        record = self.repositories.get(account, region, name)
        if record is None:  # deleted meanwhile: AWS tells nothing of its references either
            return
        for change in changes:
            if change.reference.startswith(("refs/heads/", "refs/tags/")):
                self._settle_default_branch(account, region, name, change)
                self._emit(account, region, record, change, caller, more)
            self._mark(account, region, name, change.reference)
            self.moved(account, region, name, change, caller)

    def about(self, call: Call) -> Mapping[str, Any]:
        """The branch that a call changes, as the key codecommit:References has it."""
        branch = call.input.get("branchName")
        return {"references": f"refs/heads/{branch.removeprefix('refs/heads/')}"} if branch else {}

    def repository_deleted(self, account: str, region: str, record: dict[str, Any]) -> None:
        """A repository is gone: what was kept of it goes too."""

    def repository_renamed(self, account: str, region: str, old: str, new: str) -> None:
        """A repository has another name: what is kept of it by its name follows."""

    def moved(self, account: str, region: str, name: str, change: Change, caller: str) -> None:
        """A reference has moved: what depends on it may follow."""

    def _emit(
        self, account: str, region: str, record: dict[str, Any], change: Change, caller: str, more: dict[str, str]
    ) -> None:
        _, kind, short = change.reference.split("/", 2)
        created, deleted = change.old == ZERO, change.new == ZERO
        git = self.git(account, region, record["repositoryName"])
        detail: dict[str, Any] = {
            "callerUserArn": caller,
            "event": "referenceCreated" if created else "referenceDeleted" if deleted else "referenceUpdated",
            "repositoryId": record["repositoryId"],
            "repositoryName": record["repositoryName"],
            "referenceType": "branch" if kind == "heads" else "tag",
            "referenceName": short,
            "referenceFullName": change.reference,
        }
        if not deleted:
            detail["commitId"] = git.object_id(f"{change.new}^{{commit}}") or change.new
        if not created:
            detail["oldCommitId"] = git.object_id(f"{change.old}^{{commit}}") or change.old
        self.tell("CodeCommit Repository State Change", detail | more, account, region, [record["Arn"]])

    def tell(
        self, detail_type: str, detail: dict[str, Any], account: str, region: str, resources: Sequence[str]
    ) -> None:
        """Send one event about repositories (their ARNs)."""
        try:
            self.cloud.emit(
                source="aws.codecommit",
                detail_type=detail_type,
                detail=detail,
                resources=list(resources),
                account=account,
                region=region,
            )
        except Exception:  # what it tells of is done; that nobody could be told must not undo it
            log.exception("codecommit: the event %s about %s could not be sent", detail.get("event"), resources)

    def _settle_default_branch(self, account: str, region: str, name: str, change: Change) -> None:
        """The first branch that a repository gets is its default branch."""
        if change.new == ZERO or not change.reference.startswith("refs/heads/"):
            return
        branch = change.reference.removeprefix("refs/heads/")
        first = False

        def settle(record: dict[str, Any]) -> None:
            nonlocal first
            if not record.get("defaultBranch"):
                record["defaultBranch"] = branch
                first = True

        self.repositories.update(account, region, name, settle)
        if first:
            self.git(account, region, name).set_head(branch)

    def _mark(self, account: str, region: str, name: str, reference: str) -> None:
        now_at = self.git(account, region, name).object_id(reference)
        with self.cloud.store.transaction():
            told = self.announced.get(account, region, name) or {}
            if now_at is None:
                told.pop(reference, None)
            else:
                told[reference] = now_at
            self.announced.put(account, region, name, told)

    def recover(self) -> None:
        """Tell of what a push changed that the process before this one did not live to tell of."""
        try:
            self._tell_untold()
        finally:
            self.recovered.set()

    def _tell_untold(self) -> None:
        for account, region, name, _ in self.repositories.all():
            git = self.git(account, region, name)
            if not git.path.exists():
                continue
            told = self.announced.get(account, region, name) or {}
            listing = git.text("for-each-ref", "--format=%(refname) %(objectname)").splitlines()
            is_at = dict(line.split(" ", 1) for line in listing)
            changes = [
                Change(reference, told.get(reference, ZERO), is_at.get(reference, ZERO))
                for reference in sorted({*told, *is_at})
                if told.get(reference) != is_at.get(reference)
            ]
            if changes:
                self.announce(account, region, name, changes, f"arn:aws:iam::{account}:root")


def check_repository_name(name: str) -> None:
    """Raise InvalidRepositoryNameException for a name that AWS does not allow."""
    if not REPOSITORY_NAME.fullmatch(name) or name.endswith(".git") or set(name) == {"."}:
        raise Fault(
            "InvalidRepositoryNameException",
            f"The repository name '{name}' is not valid. Repository names can be up to 100 letters, numbers, periods, "
            "underscores and dashes, and must not end in .git",
        )


def check_branch_name(name: str) -> None:
    """Raise InvalidBranchNameException for a name that git or AWS does not allow."""
    if not valid_reference(name) or name.startswith("refs/") or COMMIT_ID.fullmatch(name):
        raise Fault("InvalidBranchNameException", f"The branch name '{name}' is not a valid reference name in git")
