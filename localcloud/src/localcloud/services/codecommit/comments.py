"""Comments on pull requests, and replies to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from localcloud.core import Call, Cloud, Fault, now, operation, paginate, uuid
from localcloud.services.codecommit.git import COMMIT_ID, GitRepository
from localcloud.services.codecommit.merging import MergeOperations

LONGEST = 10_240
Comment = dict[str, Any]
_PLACE = ("pullRequestId", "repositoryName", "beforeCommitId", "afterCommitId", "location")


class CommentOperations(MergeOperations):
    """PostCommentForPullRequest … DeleteCommentContent.

    Table `codecommit.comment` by id: `comment` as AWS shows it, `place` where it stands (`_PLACE`).
    """

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self.comments = cloud.store.table("codecommit.comment")

    def about(self, call: Call) -> Mapping[str, Any]:
        """The repository of a comment that a call names by its id alone."""
        number = call.input.get("commentId") or call.input.get("inReplyTo")
        found = self.comments.get(call.account, call.region, number) if number else None
        return {"repositoryName": found["place"]["repositoryName"]} if found else super().about(call)

    @operation("PostCommentForPullRequest")
    def post_comment_for_pull_request(self, call: Call) -> dict[str, Any]:
        """Say something about a pull request, a file or a line of it."""
        pull, name = self.pull(call), call.input["repositoryName"]
        git = self.open(call.account, call.region, name)
        if pull["pullRequestTargets"][0]["repositoryName"] != name:
            problem = f"Pull request {pull['pullRequestId']} is not about {name}"
            raise Fault("RepositoryNotAssociatedWithPullRequestException", problem)
        before, after = call.input["beforeCommitId"], call.input["afterCommitId"]
        if before == after:
            raise Fault("BeforeCommitIdAndAfterCommitIdAreSameException", f"Both commits are {before}")
        for commit in (before, after):
            _check_commit(git, commit)
        place = {key: call.input[key] for key in _PLACE if call.input.get(key) is not None}
        blobs = _check_location(git, place)
        comment = self._post(call, place, {})
        return {**place, **blobs, "comment": comment}

    @operation("PostCommentReply")
    def post_comment_reply(self, call: Call) -> dict[str, Any]:
        """Answer a comment."""
        found = self._comment(call, "inReplyTo")
        return {"comment": self._post(call, found["place"], {"inReplyTo": call.input["inReplyTo"]})}

    def _post(self, call: Call, place: dict[str, Any], more: Comment) -> Comment:
        content, token = _content(call), call.input.get("clientRequestToken")
        moment = now()
        comment: Comment = {
            "commentId": uuid(),
            "content": content,
            "creationDate": moment,
            "lastModifiedDate": moment,
            "authorArn": call.principal,
            "deleted": False,
            "callerReactions": [],
            "reactionCounts": {},
        } | more
        with self.cloud.store.transaction():
            if token:
                comment["clientRequestToken"] = token
                for known in self.comments.list(call.account, call.region):
                    if known["comment"].get("clientRequestToken") != token:
                        continue
                    if known["place"] != place or known["comment"]["content"] != content:
                        raise Fault("IdempotencyParameterMismatchException", f"{token} was used with other parameters")
                    posted: Comment = known["comment"]
                    return posted
            record = {"comment": comment, "place": place}
            self.comments.insert(call.account, call.region, comment["commentId"], record)
        self._tell_comment(call, record, "commentOnPullRequestCreated", "made a comment")
        return comment

    @operation("GetComment")
    def get_comment(self, call: Call) -> dict[str, Any]:
        """One comment."""
        return {"comment": self._living(call)["comment"]}

    @operation("GetCommentsForPullRequest")
    def get_comments_for_pull_request(self, call: Call) -> dict[str, Any]:
        """All comments of a pull request by where they stand, oldest first."""
        pull = self.pull(call)
        wanted = [(key, call.input.get(key)) for key in ("repositoryName", "beforeCommitId", "afterCommitId")]
        groups: list[dict[str, Any]] = []
        for record in self.comments.list(call.account, call.region):
            place = record["place"]
            if place["pullRequestId"] != pull["pullRequestId"]:
                continue
            if any(value is not None and place[key] != value for key, value in wanted):
                continue
            group = next((one for one in groups if all(one.get(key) == place.get(key) for key in _PLACE)), None)
            if group is None:
                git = self.git(call.account, call.region, place["repositoryName"])
                group = {**place, **_check_location(git, place), "comments": []}
                groups.append(group)
            group["comments"].append(record["comment"])
        page, token = paginate(groups, call.input, error="InvalidContinuationTokenException")
        return {"commentsForPullRequestData": page, "nextToken": token}

    @operation("UpdateComment")
    def update_comment(self, call: Call) -> dict[str, Any]:
        """Say it otherwise; only who said it can."""
        content, found = _content(call), self._living(call)
        if found["comment"]["authorArn"] != call.principal:
            problem = f"The comment is by {found['comment']['authorArn']}, not by {call.principal}"
            raise Fault("CommentNotCreatedByCallerException", problem)
        return self._change_comment(call, {"content": content}, "updated a comment or replied to a comment")

    @operation("DeleteCommentContent")
    def delete_comment_content(self, call: Call) -> dict[str, Any]:
        """Take away what was said; that something was said remains."""
        self._living(call)
        return self._change_comment(call, {"content": "", "deleted": True}, "deleted a comment")

    def _change_comment(self, call: Call, members: Comment, what: str) -> dict[str, Any]:
        def change(record: dict[str, Any]) -> None:
            record["comment"] |= members | {"lastModifiedDate": now()}

        found = self.comments.update(call.account, call.region, call.input["commentId"], change)
        assert found is not None
        self._tell_comment(call, found, "commentOnPullRequestUpdated", what)
        return {"comment": found["comment"]}

    def _comment(self, call: Call, member: str) -> dict[str, Any]:
        found = self.comments.get(call.account, call.region, call.input[member])
        if found is None:
            raise Fault("CommentDoesNotExistException", f"The comment {call.input[member]} does not exist")
        return found

    def _living(self, call: Call) -> dict[str, Any]:
        found = self._comment(call, "commentId")
        if found["comment"]["deleted"]:
            raise Fault("CommentDeletedException", f"The comment {call.input['commentId']} was deleted")
        return found

    def _tell_comment(self, call: Call, record: dict[str, Any], event: str, what: str) -> None:
        comment, place = record["comment"], record["place"]
        name, number = place["repositoryName"], place["pullRequestId"]
        console = f"https://{call.region}.console.aws.amazon.com/codesuite/codecommit/repositories/{name}"
        detail = {
            "event": event,
            "beforeCommitId": place["beforeCommitId"],
            "afterCommitId": place["afterCommitId"],
            "callerUserArn": call.principal,
            "commentId": comment["commentId"],
            "notificationBody": f"A comment event occurred in the following AWS CodeCommit repository: {name}. The "
            f"user {call.principal} {what}. The comment was made on the following Pull Request: {number}. For more "
            f"information, go to the AWS CodeCommit console {console}/pull-requests/{number}/activity"
            f"#{comment['commentId']}",
            "pullRequestId": number,
            "repositoryId": self.metadata(call.account, call.region, name)["repositoryId"],
            "repositoryName": name,
        }
        detail |= {"inReplyTo": comment["inReplyTo"]} if "inReplyTo" in comment else {}
        arns = [f"arn:aws:codecommit:{call.region}:{call.account}:{name}"]
        self.tell("CodeCommit Comment on Pull Request", detail, call.account, call.region, arns)

    def repository_deleted(self, account: str, region: str, record: dict[str, Any]) -> None:
        """Its comments go with it."""
        super().repository_deleted(account, region, record)
        for found in self.comments.list(account, region):
            if found["place"]["repositoryName"] == record["repositoryName"]:
                self.comments.delete(account, region, found["comment"]["commentId"])

    def repository_renamed(self, account: str, region: str, old: str, new: str) -> None:
        """Its comments follow."""
        super().repository_renamed(account, region, old, new)
        for found in self.comments.list(account, region):
            if found["place"]["repositoryName"] == old:
                found["place"]["repositoryName"] = new
                self.comments.put(account, region, found["comment"]["commentId"], found)


def _content(call: Call) -> str:
    content: str = call.input["content"]
    if not content.strip():
        raise Fault("CommentContentRequiredException", "The comment is empty")
    if len(content) > LONGEST:
        problem = f"The comment has {len(content)} characters; at most {LONGEST} are allowed"
        raise Fault("CommentContentSizeLimitExceededException", problem)
    return content


def _check_commit(git: GitRepository, commit: str) -> None:
    if not COMMIT_ID.fullmatch(commit):
        raise Fault("InvalidCommitIdException", f"The commit ID '{commit}' is not a valid full commit ID")
    if git.kind(commit) != "commit":
        raise Fault("CommitDoesNotExistException", f"The commit {commit} does not exist")


def _check_location(git: GitRepository, place: Mapping[str, Any]) -> dict[str, str]:
    """The blobs of the file that a comment is about; PathDoesNotExistException where it is in neither commit."""
    path = (place.get("location") or {}).get("filePath")
    if not path:
        return {}
    sides = {"beforeBlobId": place["beforeCommitId"], "afterBlobId": place["afterCommitId"]}
    entries = {member: git.entry(commit, path) for member, commit in sides.items()}
    blobs = {member: entry.oid for member, entry in entries.items() if entry is not None}
    if not blobs:
        raise Fault("PathDoesNotExistException", f"The file {path} is in neither commit")
    return blobs
