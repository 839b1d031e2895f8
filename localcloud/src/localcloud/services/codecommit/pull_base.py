"""What all operations on pull requests share: look-up, storing, the history and the events that tell of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from localcloud.core import Call, Cloud, Fault, now
from localcloud.services.codecommit.base import Base

Pull = dict[str, Any]
Review = dict[str, Any]


class PullBase(Base):
    """Tables: `codecommit.pull` by id (members as AWS names them) and `codecommit.review` by the same id.

    A review is what the API tells of elsewhere: `approvals` (revision → ARN → moment), `overrides` (revision → ARN) and
    `events` (PullRequestEvent, oldest first).
    """

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self.reviews = cloud.store.table("codecommit.review")

    def about(self, call: Call) -> Mapping[str, Any]:
        """Repository and destination of the pull request that a call names by its id alone."""
        number = call.input.get("pullRequestId")
        pull = self.pulls.get(call.account, call.region, number) if number else None
        if pull is None:
            return super().about(call)
        target = pull["pullRequestTargets"][0]
        return {"repositoryName": target["repositoryName"], "references": target["destinationReference"]}

    def pull(self, call: Call) -> Pull:
        """The pull request that a call names.

        Raises:
            Fault: InvalidPullRequestIdException or PullRequestDoesNotExistException.
        """
        number = call.input["pullRequestId"]
        if not number.isdecimal():
            raise Fault("InvalidPullRequestIdException", f"The pull request ID '{number}' is not a number")
        found = self.pulls.get(call.account, call.region, number)
        if found is None:
            raise Fault("PullRequestDoesNotExistException", f"The pull request {number} does not exist")
        return found

    def open_pull(self, call: Call) -> Pull:
        """The same, which must be open.

        Raises:
            Fault: PullRequestAlreadyClosedException besides.
        """
        pull = self.pull(call)
        if pull["pullRequestStatus"] != "OPEN":
            raise Fault("PullRequestAlreadyClosedException", f"The pull request {pull['pullRequestId']} is closed")
        return pull

    def store_pull(self, account: str, region: str, pull: Pull, members: Pull) -> Pull:
        """Change members of a pull request; its activity is now."""
        stamped = members | {"lastActivityDate": now()}
        found = self.pulls.update(account, region, pull["pullRequestId"], lambda known: known | stamped)
        assert found is not None
        return found

    def review(self, account: str, region: str, number: str) -> Review:
        """Approvals, overrides and history of a pull request."""
        return self.reviews.get(account, region, number) or {"approvals": {}, "overrides": {}, "events": []}

    def change_review(self, account: str, region: str, number: str, change: Callable[[Review], None]) -> Review:
        """Read, change and write as one step."""
        with self.cloud.store.transaction():
            found = self.review(account, region, number)
            change(found)
            self.reviews.put(account, region, number, found)
            return found

    def note(
        self, account: str, region: str, pull: Pull, kind: str, actor: str, member: str, metadata: dict[str, Any]
    ) -> None:
        """Add to the history, as DescribePullRequestEvents tells it."""
        event = {
            "pullRequestId": pull["pullRequestId"],
            "eventDate": now(),
            "pullRequestEventType": f"PULL_REQUEST_{kind}",
            "actorArn": actor,
            member: metadata,
        }
        self.change_review(account, region, pull["pullRequestId"], lambda found: found["events"].append(event))

    def tell_pull(self, account: str, region: str, pull: Pull, event: str, caller: str, said: str, **more: str) -> None:
        """Send "CodeCommit Pull Request State Change". `said` ends what the notification's body says."""
        target = pull["pullRequestTargets"][0]
        name, number = target["repositoryName"], pull["pullRequestId"]
        console = f"https://{region}.console.aws.amazon.com/codesuite/codecommit/repositories/{name}/pull-requests"
        detail = {
            "event": event,
            "pullRequestId": number,
            "title": pull["title"],
            "description": pull.get("description", ""),
            "repositoryNames": [name],
            "author": pull["authorArn"],
            "callerUserArn": caller,
            "creationDate": date(pull["creationDate"]),
            "lastModifiedDate": date(pull["lastActivityDate"]),
            "pullRequestStatus": pull["pullRequestStatus"].capitalize(),
            "isMerged": str(target["mergeMetadata"]["isMerged"]),
            "revisionId": pull["revisionId"],
            "sourceReference": target["sourceReference"],
            "destinationReference": target["destinationReference"],
            "sourceCommit": target["sourceCommit"],
            "destinationCommit": target["destinationCommit"],
            "notificationBody": f"A pull request event occurred in the following AWS CodeCommit repository: {name}. "
            f"{said} For more information, go to the AWS CodeCommit console {console}/{number}?region={region}",
        }
        self.tell(
            "CodeCommit Pull Request State Change",
            detail | more,
            account,
            region,
            [f"arn:aws:codecommit:{region}:{account}:{name}"],
        )


def date(moment: datetime) -> str:
    """As CodeCommit's events write it."""
    return moment.strftime("%a %b %d %H:%M:%S UTC %Y")
