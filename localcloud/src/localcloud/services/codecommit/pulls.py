"""Pull requests: opened, edited, closed, and following their branches."""

from __future__ import annotations

from typing import Any

from localcloud.core import Call, Fault, now, operation, paginate, uuid
from localcloud.services.codecommit.approvals import ApprovalOperations
from localcloud.services.codecommit.base import Change
from localcloud.services.codecommit.git import ZERO, GitRepository
from localcloud.services.codecommit.pull_base import Pull
from localcloud.services.codecommit.rules import digest


class PullRequestOperations(ApprovalOperations):
    """CreatePullRequest … DescribePullRequestEvents."""

    @operation("CreatePullRequest")
    def create_pull_request(self, call: Call) -> dict[str, Any]:
        """Ask that one branch be merged into another."""
        token = call.input.get("clientRequestToken")
        for known in self.pulls.list(call.account, call.region):
            if token and known.get("clientRequestToken") == token:
                if known["title"] != call.input["title"]:
                    raise Fault("IdempotencyParameterMismatchException", f"{token} was used with other parameters")
                return {"pullRequest": known}
        targets = call.input["targets"]
        if len(targets) != 1:
            raise Fault("InvalidTargetsException", f"A pull request has exactly one target; {len(targets)} given")
        target = targets[0]
        name = target["repositoryName"]
        git = self.open(call.account, call.region, name)
        record = self.metadata(call.account, call.region, name)
        source = branch_of(target["sourceReference"])
        destination = branch_of(target.get("destinationReference") or record.get("defaultBranch", "main"))
        if source == destination:
            raise Fault("SourceAndDestinationAreSameException", f"Source and destination are both {source}")
        tips = {branch: tip(git, branch) for branch in (source, destination)}
        moment = now()
        pull: Pull = {
            "title": call.input["title"],
            "lastActivityDate": moment,
            "creationDate": moment,
            "pullRequestStatus": "OPEN",
            "authorArn": call.principal,
            "pullRequestTargets": [
                {
                    "repositoryName": name,
                    "sourceReference": f"refs/heads/{source}",
                    "destinationReference": f"refs/heads/{destination}",
                    "sourceCommit": tips[source],
                    "destinationCommit": tips[destination],
                    "mergeMetadata": {"isMerged": False},
                }
            ],
            "approvalRules": self.rules_from_templates(call, record, f"refs/heads/{destination}"),
            "revisionId": digest(uuid()),
        }
        pull |= {key: call.input[key] for key in ("description", "clientRequestToken") if call.input.get(key)}
        base = git.merge_base(tips[source], tips[destination])
        if base:
            pull["pullRequestTargets"][0]["mergeBase"] = base
        metadata = {"repositoryName": name, "sourceCommitId": tips[source], "destinationCommitId": tips[destination]}
        metadata |= {"mergeBase": base} if base else {}
        with self.cloud.store.transaction():
            taken = [int(known["pullRequestId"]) for known in self.pulls.list(call.account, call.region)]
            pull["pullRequestId"] = str(max(taken, default=0) + 1)
            self.pulls.insert(call.account, call.region, pull["pullRequestId"], pull)
            member = "pullRequestCreatedEventMetadata"
            self.note(call.account, call.region, pull, "CREATED", call.principal, member, metadata)
        number = pull["pullRequestId"]
        said = f"The pull request was created with the following information: Pull Request ID as {number}"
        self.tell_pull(
            call.account, call.region, pull, "pullRequestCreated", call.principal,
            f"User: {call.principal}. Event: Created. {said} and title as {pull['title']}.",
        )  # fmt: skip
        return {"pullRequest": pull}

    @operation("GetPullRequest")
    def get_pull_request(self, call: Call) -> dict[str, Any]:
        """One pull request."""
        return {"pullRequest": self.pull(call)}

    @operation("ListPullRequests")
    def list_pull_requests(self, call: Call) -> dict[str, Any]:
        """Ids, newest first."""
        name = call.input["repositoryName"]
        self.metadata(call.account, call.region, name)
        wanted = [
            ("authorArn", call.input.get("authorArn")),
            ("pullRequestStatus", call.input.get("pullRequestStatus")),
        ]
        ids = [
            pull["pullRequestId"]
            for pull in reversed(self.pulls.list(call.account, call.region))
            if pull["pullRequestTargets"][0]["repositoryName"] == name
            and all(value is None or pull[key] == value for key, value in wanted)
        ]
        page, token = paginate(ids, call.input, error="InvalidContinuationTokenException")
        return {"pullRequestIds": page, "nextToken": token}

    @operation("DescribePullRequestEvents")
    def describe_pull_request_events(self, call: Call) -> dict[str, Any]:
        """What happened to a pull request, oldest first."""
        pull, kind = self.pull(call), call.input.get("pullRequestEventType")
        events = self.review(call.account, call.region, pull["pullRequestId"])["events"]
        wanted = [("pullRequestEventType", kind), ("actorArn", call.input.get("actorArn"))]
        found = [one for one in events if all(value is None or one[key] == value for key, value in wanted)]
        page, token = paginate(found, call.input, error="InvalidContinuationTokenException")
        return {"pullRequestEvents": page, "nextToken": token}

    @operation("UpdatePullRequestTitle")
    def update_pull_request_title(self, call: Call) -> dict[str, Any]:
        """Another title."""
        return self._edit(call, {"title": call.input["title"]})

    @operation("UpdatePullRequestDescription")
    def update_pull_request_description(self, call: Call) -> dict[str, Any]:
        """Another description."""
        return self._edit(call, {"description": call.input["description"]})

    def _edit(self, call: Call, members: dict[str, Any]) -> dict[str, Any]:
        pull = self.open_pull(call)
        return {"pullRequest": self.store_pull(call.account, call.region, pull, members)}

    @operation("UpdatePullRequestStatus")
    def update_pull_request_status(self, call: Call) -> dict[str, Any]:
        """Close without a merge. AWS does not open a closed one again."""
        pull, status = self.pull(call), call.input["pullRequestStatus"]
        if pull["pullRequestStatus"] == "CLOSED" and status == "OPEN":
            raise Fault("InvalidPullRequestStatusUpdateException", "A closed pull request cannot be opened again")
        if pull["pullRequestStatus"] != status:
            pull = self._close(call.account, call.region, pull, call.principal)
        return {"pullRequest": pull}

    def _close(self, account: str, region: str, pull: Pull, caller: str) -> Pull:
        pull = self.store_pull(account, region, pull, {"pullRequestStatus": "CLOSED"})
        member = "pullRequestStatusChangedEventMetadata"
        self.note(account, region, pull, "STATUS_CHANGED", caller, member, {"pullRequestStatus": "CLOSED"})
        said = f"{caller} updated the following PullRequest {pull['pullRequestId']}. The pull request status has been"
        said = f"{said} updated. The status is closed."
        self.tell_pull(account, region, pull, "pullRequestStatusChanged", caller, said)
        return pull

    def moved(self, account: str, region: str, name: str, change: Change, caller: str) -> None:
        """Open pull requests follow their branches, and close when one of them goes."""
        super().moved(account, region, name, change, caller)
        git = self.git(account, region, name)
        for pull in self.pulls.list(account, region):
            target = pull["pullRequestTargets"][0]
            if pull["pullRequestStatus"] != "OPEN" or target["repositoryName"] != name:
                continue
            if change.reference not in (target["sourceReference"], target["destinationReference"]):
                continue
            if change.new == ZERO:
                self._close(account, region, pull, caller)
            elif change.reference == target["sourceReference"]:
                self._source_moved(account, region, git, pull, change.new, caller)
            else:
                self._follow(account, region, git, pull, {"destinationCommit": change.new})

    def _follow(self, account: str, region: str, git: GitRepository, pull: Pull, commits: Pull, **members: str) -> Pull:
        target = pull["pullRequestTargets"][0] | commits
        base = git.merge_base(target["sourceCommit"], target["destinationCommit"])
        target |= {"mergeBase": base} if base else {}
        return self.store_pull(account, region, pull, {"pullRequestTargets": [target], **members})

    def _source_moved(
        self, account: str, region: str, git: GitRepository, pull: Pull, commit: str, caller: str
    ) -> None:
        """Another revision: what was approved before was approved of another one."""
        before = pull["pullRequestTargets"][0]["sourceCommit"]
        if before == commit:
            return
        pull = self._follow(account, region, git, pull, {"sourceCommit": commit}, revisionId=digest(uuid()))
        target = pull["pullRequestTargets"][0]
        metadata = {"repositoryName": target["repositoryName"], "beforeCommitId": before, "afterCommitId": commit}
        metadata |= {"mergeBase": target["mergeBase"]} if "mergeBase" in target else {}
        member = "pullRequestSourceReferenceUpdatedEventMetadata"
        self.note(account, region, pull, "SOURCE_REFERENCE_UPDATED", caller, member, metadata)
        said = f"The user updated the following pull request: {pull['pullRequestId']}. The pull request was updated"
        said = f"{said} with one or more commits to the source branch: {branch_of(target['sourceReference'])}."
        self.tell_pull(
            account, region, pull, "pullRequestSourceBranchUpdated", caller, f"User: {caller}. Event: Updated. {said}"
        )

    def repository_deleted(self, account: str, region: str, record: dict[str, Any]) -> None:
        """Its pull requests go with it."""
        super().repository_deleted(account, region, record)
        for pull in self.pulls.list(account, region):
            if pull["pullRequestTargets"][0]["repositoryName"] == record["repositoryName"]:
                self.pulls.delete(account, region, pull["pullRequestId"])
                self.reviews.delete(account, region, pull["pullRequestId"])

    def repository_renamed(self, account: str, region: str, old: str, new: str) -> None:
        """Its pull requests follow."""
        super().repository_renamed(account, region, old, new)
        for pull in self.pulls.list(account, region):
            if pull["pullRequestTargets"][0]["repositoryName"] == old:
                pull["pullRequestTargets"][0]["repositoryName"] = new
                self.pulls.put(account, region, pull["pullRequestId"], pull)


def tip(git: GitRepository, branch: str) -> str:
    """The commit of a branch, or ReferenceDoesNotExistException."""
    found = git.branch(branch)
    if found is None:
        raise Fault("ReferenceDoesNotExistException", f"The reference refs/heads/{branch} does not exist")
    return found


def branch_of(reference: str) -> str:
    """The branch of a reference, however it is written; ReferenceTypeNotSupportedException for a tag."""
    if reference.startswith("refs/") and not reference.startswith("refs/heads/"):
        raise Fault("ReferenceTypeNotSupportedException", f"{reference} is no branch: pull requests are about branches")
    return reference.removeprefix("refs/heads/")
