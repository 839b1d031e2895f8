"""Merges: of pull requests whose rules are satisfied, and what stands in their way."""

from __future__ import annotations

from typing import Any

from localcloud.core import Call, Fault, operation, paginate
from localcloud.services.codecommit import conflicts
from localcloud.services.codecommit.base import Change
from localcloud.services.codecommit.git import GitRepository
from localcloud.services.codecommit.pull_base import Pull
from localcloud.services.codecommit.pulls import PullRequestOperations, branch_of, tip

_OPTIONS = ("FAST_FORWARD_MERGE", "SQUASH_MERGE", "THREE_WAY_MERGE")


class MergeOperations(PullRequestOperations):
    """MergePullRequestBy…, GetMergeOptions, GetMergeConflicts, DescribeMergeConflicts."""

    @operation("MergePullRequestByFastForward")
    def merge_by_fast_forward(self, call: Call) -> dict[str, Any]:
        """Move the destination to the source's tip; only where nothing else was committed meanwhile."""
        return self._merge(call, "FAST_FORWARD_MERGE")

    @operation("MergePullRequestBySquash")
    def merge_by_squash(self, call: Call) -> dict[str, Any]:
        """Put the source's changes on the destination as one commit."""
        return self._merge(call, "SQUASH_MERGE")

    @operation("MergePullRequestByThreeWay")
    def merge_by_three_way(self, call: Call) -> dict[str, Any]:
        """Make a merge commit of both tips."""
        return self._merge(call, "THREE_WAY_MERGE")

    def _merge(self, call: Call, option: str) -> dict[str, Any]:
        _check_strategy(call)
        name = call.input["repositoryName"]
        git = self.open(call.account, call.region, name)
        # One step: what was approved is what is merged, and nobody takes an approval back in between.
        with self.cloud.store.transaction():
            pull = self.open_pull(call)
            target = pull["pullRequestTargets"][0]
            if target["repositoryName"] != name:
                number, whose = pull["pullRequestId"], target["repositoryName"]
                problem = f"Pull request {number} is not about {name} but about {whose}"
                raise Fault("RepositoryNotAssociatedWithPullRequestException", problem)
            reference = target["destinationReference"]
            source, destination = tip(git, branch_of(target["sourceReference"])), tip(git, branch_of(reference))
            self._check_source(call, pull, source)
            self._check_approved(call, pull)
            commit_id = self._merge_commit(call, pull, git, option, source, destination)
            if not git.update_reference(reference, commit_id, destination):
                raise Fault("ConcurrentReferenceUpdateException", f"{reference} was changed meanwhile; try again")
            metadata = {"isMerged": True, "mergedBy": call.principal, "mergeCommitId": commit_id, "mergeOption": option}
            target |= {"mergeMetadata": metadata, "sourceCommit": source, "destinationCommit": destination}
            members = {"pullRequestStatus": "CLOSED", "pullRequestTargets": [target]}
            pull = self.store_pull(call.account, call.region, pull, members)
            about = {"repositoryName": name, "destinationReference": reference, "mergeMetadata": metadata}
            member = "pullRequestMergedStateChangedEventMetadata"
            self.note(call.account, call.region, pull, "MERGE_STATE_CHANGED", call.principal, member, about)
        more = {"mergeOption": option, "sourceCommitId": source, "destinationCommitId": destination}
        base = git.merge_base(source, destination)
        more |= {"baseCommitId": base} if base else {}
        change = Change(reference, destination, commit_id)
        self.announce(call.account, call.region, name, [change], call.principal, **more)
        said = f"{call.principal} updated the following PullRequest {pull['pullRequestId']}. The pull request merge"
        self.tell_pull(
            call.account, call.region, pull, "pullRequestMergeStatusUpdated", call.principal,
            f"{said} status has been updated. The status is merged.", mergeOption=option,
        )  # fmt: skip
        return {"pullRequest": pull}

    def _check_source(self, call: Call, pull: Pull, source: str) -> None:
        reference = pull["pullRequestTargets"][0]["sourceReference"]
        wanted = call.input.get("sourceCommitId")
        if wanted and wanted != source:
            problem = f"The tip of {reference} is {source}, not {wanted}"
            raise Fault("TipOfSourceReferenceIsDifferentException", problem)
        if source != pull["pullRequestTargets"][0]["sourceCommit"]:
            # A push that has not ended yet: its commits are no revision of the pull request that anybody approved.
            raise Fault("ConcurrentReferenceUpdateException", f"{reference} is being changed; try again")

    def _check_approved(self, call: Call, pull: Pull) -> None:
        found = self.evaluation(call.account, call.region, pull)
        if not found["approved"]:
            missing = ", ".join(found["approvalRulesNotSatisfied"])
            problem = f"Pull request {pull['pullRequestId']} does not satisfy its approval rules: {missing}"
            raise Fault("PullRequestApprovalRulesNotSatisfiedException", problem)

    def _merge_commit(
        self, call: Call, pull: Pull, git: GitRepository, option: str, source: str, destination: str
    ) -> str:
        if option == "FAST_FORWARD_MERGE":
            if git.merge_base(source, destination) != destination:
                problem = "The destination has commits that the source lacks: a fast-forward is not possible"
                raise Fault("ManualMergeRequiredException", problem)
            return source
        found = _conflicts(call, git, source, destination)
        tree, clashing = git.merge_tree(destination, source)
        if found or tree is None:
            paths = [one.path for one in found] or clashing
            raise Fault("ManualMergeRequiredException", f"The branches conflict in {', '.join(paths)}")
        name = call.input.get("authorName") or call.principal.rsplit("/", 1)[-1].rsplit(":", 1)[-1]
        message = call.input.get("commitMessage") or f"Merge pull request {pull['pullRequestId']}: {pull['title']}"
        parents = [destination] if option == "SQUASH_MERGE" else [destination, source]
        return git.add_commit(tree, parents, name, call.input.get("email") or "", message)

    # -- what a merge would meet --------------------------------------------------------------------------------

    def _sides(self, call: Call) -> tuple[GitRepository, str, str, dict[str, Any]]:
        _check_strategy(call)
        git = self.open(call.account, call.region, call.input["repositoryName"])
        source = self.commit_of(git, call.input["sourceCommitSpecifier"])
        destination = self.commit_of(git, call.input["destinationCommitSpecifier"])
        answer = {"sourceCommitId": source, "destinationCommitId": destination}
        base = git.merge_base(source, destination)
        return git, source, destination, answer | ({"baseCommitId": base} if base else {})

    @operation("GetMergeOptions")
    def get_merge_options(self, call: Call) -> dict[str, Any]:
        """Which of the three merges are possible."""
        git, source, destination, answer = self._sides(call)
        options = [_OPTIONS[0]] if answer.get("baseCommitId") == destination else []
        if not _conflicts(call, git, source, destination):
            options += _OPTIONS[1:]
        return {"mergeOptions": options, "baseCommitId": "", **answer}

    @operation("GetMergeConflicts")
    def get_merge_conflicts(self, call: Call) -> dict[str, Any]:
        """Whether a merge is possible, and the files that stand in its way."""
        git, source, destination, answer = self._sides(call)
        if call.input["mergeOption"] == "FAST_FORWARD_MERGE":
            mergeable = answer.get("baseCommitId") == destination
            return {"mergeable": mergeable, **answer, "conflictMetadataList": []}
        found = [one.metadata(git) for one in _conflicts(call, git, source, destination)]
        error = "InvalidContinuationTokenException"
        page, token = paginate(found, call.input, limit="maxConflictFiles", error=error)
        return {"mergeable": not found, **answer, "conflictMetadataList": page, "nextToken": token}

    @operation("DescribeMergeConflicts")
    def describe_merge_conflicts(self, call: Call) -> dict[str, Any]:
        """The pieces of one file, those in conflict among them."""
        git, source, destination, answer = self._sides(call)
        path = call.input["filePath"]
        if git.entry(source, path) is None and git.entry(destination, path) is None:
            raise Fault("FileDoesNotExistException", f"The file {path} does not exist in source or destination")
        found = next((one for one in _conflicts(call, git, source, destination) if one.path == path), None)
        if found is None:
            raise Fault("FileDoesNotExistException", f"The file {path} is in no conflict")
        error = "InvalidContinuationTokenException"
        page, token = paginate(found.hunks, call.input, limit="maxMergeHunks", error=error)
        return {"conflictMetadata": found.metadata(git), "mergeHunks": page, "nextToken": token, **answer}


def _conflicts(call: Call, git: GitRepository, source: str, destination: str) -> list[conflicts.Conflict]:
    level = call.input.get("conflictDetailLevel") or "FILE_LEVEL"
    return conflicts.between(git, source, destination, git.merge_base(source, destination), level)


def _check_strategy(call: Call) -> None:
    if call.input.get("conflictResolution") or call.input.get("conflictResolutionStrategy", "NONE") != "NONE":
        problem = "conflictResolution and conflictResolutionStrategy other than NONE are not served by the local cloud"
        raise Fault("NotImplemented", problem, 501)
