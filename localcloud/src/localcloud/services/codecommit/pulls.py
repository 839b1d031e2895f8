"""Pull requests: opened, closed, merged by fast-forward, squash or three-way merge."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

from localcloud.core import Call, Fault, now, operation, paginate
from localcloud.services.codecommit.base import Base, Change
from localcloud.services.codecommit.git import ZERO, GitRepository

Pull = dict[str, Any]


class PullRequestOperations(Base):
    """CreatePullRequest … MergePullRequestByThreeWay. Approval rules and comments are not served."""

    @operation("CreatePullRequest")
    def create_pull_request(self, call: Call) -> dict[str, Any]:
        """Ask that one branch be merged into another."""
        token = call.input.get("clientRequestToken")
        for known in self.pulls.list(call.account, call.region):
            if token and known.get("clientRequestToken") == token:
                if known["title"] != call.input["title"]:
                    raise Fault("IdempotencyParameterMismatchException", f"{token} was used with other parameters")
                return {"pullRequest": self._view(call, known)}
        targets = call.input["targets"]
        if len(targets) != 1:
            raise Fault("InvalidTargetsException", f"A pull request has exactly one target; {len(targets)} given")
        target = targets[0]
        name = target["repositoryName"]
        git = self.open(call.account, call.region, name)
        source = _branch(target["sourceReference"])
        default = self.metadata(call.account, call.region, name).get("defaultBranch", "main")
        destination = _branch(target.get("destinationReference") or default)
        if source == destination:
            raise Fault("SourceAndDestinationAreSameException", f"Source and destination are both {source}")
        tips = {branch: self._tip(git, branch) for branch in (source, destination)}
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
            "approvalRules": [],
        }
        pull |= {key: call.input[key] for key in ("description", "clientRequestToken") if call.input.get(key)}
        base = git.merge_base(tips[source], tips[destination])
        if base:
            pull["pullRequestTargets"][0]["mergeBase"] = base
        with self.cloud.store.transaction():
            taken = [int(known["pullRequestId"]) for known in self.pulls.list(call.account, call.region)]
            pull["pullRequestId"] = str(max(taken, default=0) + 1)
            pull["revisionId"] = _revision(pull)
            self.pulls.insert(call.account, call.region, pull["pullRequestId"], pull)
        self._tell(call.account, call.region, pull, "pullRequestCreated", call.principal)
        return {"pullRequest": pull}

    def _tip(self, git: GitRepository, branch: str) -> str:
        found = git.branch(branch)
        if found is None:
            raise Fault("ReferenceDoesNotExistException", f"The reference refs/heads/{branch} does not exist")
        return found

    def _pull(self, call: Call) -> Pull:
        number = call.input["pullRequestId"]
        if not number.isdecimal():
            raise Fault("InvalidPullRequestIdException", f"The pull request ID '{number}' is not a number")
        found = self.pulls.get(call.account, call.region, number)
        if found is None:
            raise Fault("PullRequestDoesNotExistException", f"The pull request {number} does not exist")
        return found

    def _view(self, call: Call, pull: Pull) -> Pull:
        return self.pulls.get(call.account, call.region, pull["pullRequestId"]) or pull

    @operation("GetPullRequest")
    def get_pull_request(self, call: Call) -> dict[str, Any]:
        """One pull request."""
        return {"pullRequest": self._pull(call)}

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

    @operation("UpdatePullRequestTitle")
    def update_pull_request_title(self, call: Call) -> dict[str, Any]:
        """Another title."""
        return self._edit(call, {"title": call.input["title"]})

    @operation("UpdatePullRequestDescription")
    def update_pull_request_description(self, call: Call) -> dict[str, Any]:
        """Another description."""
        return self._edit(call, {"description": call.input["description"]})

    def _edit(self, call: Call, members: dict[str, Any]) -> dict[str, Any]:
        pull = self._open_pull(call)
        return {"pullRequest": self._store(call, pull, members)}

    @operation("UpdatePullRequestStatus")
    def update_pull_request_status(self, call: Call) -> dict[str, Any]:
        """Close without a merge. AWS does not open a closed one again."""
        pull, status = self._pull(call), call.input["pullRequestStatus"]
        if pull["pullRequestStatus"] == "CLOSED" and status == "OPEN":
            raise Fault("InvalidPullRequestStatusUpdateException", "A closed pull request cannot be opened again")
        if pull["pullRequestStatus"] != status:
            pull = self._store(call, pull, {"pullRequestStatus": status})
            self._tell(call.account, call.region, pull, "pullRequestStatusChanged", call.principal)
        return {"pullRequest": pull}

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
        if call.input.get("conflictResolution") or call.input.get("conflictResolutionStrategy", "NONE") != "NONE":
            problem = (
                "conflictResolution and conflictResolutionStrategy other than NONE are not served by the local cloud"
            )
            raise Fault("NotImplemented", problem, 501)
        pull = self._open_pull(call)
        target, name = pull["pullRequestTargets"][0], call.input["repositoryName"]
        git = self.open(call.account, call.region, name)
        if target["repositoryName"] != name:
            problem = f"Pull request {pull['pullRequestId']} is not about {name} but about {target['repositoryName']}"
            raise Fault("RepositoryNotAssociatedWithPullRequestException", problem)
        reference = target["destinationReference"]
        source = self._tip(git, _branch(target["sourceReference"]))
        destination = self._tip(git, _branch(reference))
        wanted = call.input.get("sourceCommitId")
        if wanted and wanted != source:
            problem = f"The tip of {target['sourceReference']} is {source}, not {wanted}"
            raise Fault("TipOfSourceReferenceIsDifferentException", problem)
        commit_id = self._merge_commit(call, pull, git, option, source, destination)
        if not git.update_reference(reference, commit_id, destination):
            raise Fault("ConcurrentReferenceUpdateException", f"{reference} was changed meanwhile; try again")
        base = git.merge_base(source, destination)
        metadata = {"isMerged": True, "mergedBy": call.principal, "mergeCommitId": commit_id, "mergeOption": option}
        target |= {"mergeMetadata": metadata, "sourceCommit": source, "destinationCommit": destination}
        members = {"pullRequestStatus": "CLOSED", "pullRequestTargets": [target]}
        pull = self._store(call, pull, members)
        more = {"mergeOption": option, "sourceCommitId": source, "destinationCommitId": destination}
        more |= {"baseCommitId": base} if base else {}
        change = Change(reference, destination, commit_id)
        self.announce(call.account, call.region, name, [change], call.principal, **more)
        event = "pullRequestMergeStatusUpdated"
        self._tell(call.account, call.region, pull, event, call.principal, mergeOption=option)
        return {"pullRequest": pull}

    def _merge_commit(
        self, call: Call, pull: Pull, git: GitRepository, option: str, source: str, destination: str
    ) -> str:
        if option == "FAST_FORWARD_MERGE":
            if git.merge_base(source, destination) != destination:
                problem = "The destination has commits that the source lacks: a fast-forward is not possible"
                raise Fault("ManualMergeRequiredException", problem)
            return source
        tree, conflicts = git.merge_tree(destination, source)
        if tree is None:
            raise Fault("ManualMergeRequiredException", f"The branches conflict in {', '.join(conflicts)}")
        name = call.input.get("authorName") or call.principal.rsplit("/", 1)[-1].rsplit(":", 1)[-1]
        message = call.input.get("commitMessage") or f"Merge pull request {pull['pullRequestId']}: {pull['title']}"
        parents = [destination] if option == "SQUASH_MERGE" else [destination, source]
        return git.add_commit(tree, parents, name, call.input.get("email") or "", message)

    def _open_pull(self, call: Call) -> Pull:
        pull = self._pull(call)
        if pull["pullRequestStatus"] != "OPEN":
            raise Fault("PullRequestAlreadyClosedException", f"The pull request {pull['pullRequestId']} is closed")
        return pull

    def _store(self, call: Call, pull: Pull, members: Pull) -> Pull:
        stamped = members | {"lastActivityDate": now()}
        found = self.pulls.update(call.account, call.region, pull["pullRequestId"], lambda known: known | stamped)
        assert found is not None
        return found

    # -- events -------------------------------------------------------------------------------------------------

    def moved(self, account: str, region: str, name: str, change: Change, caller: str) -> None:
        """Open pull requests follow their source branch."""
        if change.new == ZERO:
            return
        for pull in self.pulls.list(account, region):
            target = pull["pullRequestTargets"][0]
            if pull["pullRequestStatus"] != "OPEN" or target["repositoryName"] != name:
                continue
            if target["sourceReference"] != change.reference or target["sourceCommit"] == change.new:
                continue
            target["sourceCommit"] = change.new
            members = {"pullRequestTargets": [target], "lastActivityDate": now(), "revisionId": _revision(pull)}
            pull |= members
            self.pulls.put(account, region, pull["pullRequestId"], pull)
            self._tell(account, region, pull, "pullRequestSourceBranchUpdated", caller)

    def _tell(self, account: str, region: str, pull: Pull, event: str, caller: str, **more: str) -> None:
        target = pull["pullRequestTargets"][0]
        name, number = target["repositoryName"], pull["pullRequestId"]
        verb = {
            "pullRequestCreated": "The pull request was created",
            "pullRequestSourceBranchUpdated": "The pull request was updated",
            "pullRequestStatusChanged": "The pull request status was updated",
            "pullRequestMergeStatusUpdated": "The pull request was merged",
        }[event]
        detail = {
            "event": event,
            "pullRequestId": number,
            "title": pull["title"],
            "description": pull.get("description", ""),
            "repositoryNames": [name],
            "author": pull["authorArn"],
            "callerUserArn": caller,
            "creationDate": _date(pull["creationDate"]),
            "lastModifiedDate": _date(pull["lastActivityDate"]),
            "pullRequestStatus": pull["pullRequestStatus"].capitalize(),
            "isMerged": str(target["mergeMetadata"]["isMerged"]),
            "revisionId": pull["revisionId"],
            "sourceReference": target["sourceReference"],
            "destinationReference": target["destinationReference"],
            "sourceCommit": target["sourceCommit"],
            "destinationCommit": target["destinationCommit"],
            "notificationBody": f"A pull request event occurred in the following repository: {name}. {caller} "
            f"{verb} with the following information: ID {number}, title {pull['title']}.",
        }
        self.tell(
            "CodeCommit Pull Request State Change", f"arn:aws:codecommit:{region}:{account}:{name}", detail | more
        )


def _branch(reference: str) -> str:
    if reference.startswith("refs/") and not reference.startswith("refs/heads/"):
        raise Fault("ReferenceTypeNotSupportedException", f"{reference} is no branch: pull requests are about branches")
    return reference.removeprefix("refs/heads/")


def _revision(pull: Pull) -> str:
    target = pull["pullRequestTargets"][0]
    return hashlib.sha256(f"{pull['pullRequestId']} {target['sourceCommit']}".encode()).hexdigest()


def _date(moment: datetime) -> str:
    return moment.strftime("%a %b %d %Y %H:%M:%S UTC")
