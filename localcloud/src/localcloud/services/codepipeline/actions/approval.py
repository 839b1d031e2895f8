"""Manual approval: waits for PutApprovalResult."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from localcloud.core import now, uuid
from localcloud.services.codepipeline.actions.base import Job, Outcome, reporting

DEFAULT_MINUTES = 7 * 24 * 60


class Approval:
    """Publishes the request; the answer comes through PutApprovalResult, or never, and then the action times out."""

    def start(self, job: Job) -> Outcome | None:
        """Make the token, keep it and tell the topic."""
        minutes = int(job.action.get("timeoutInMinutes") or DEFAULT_MINUTES)
        token, expires = uuid(), now() + timedelta(minutes=minutes)
        given = job.configuration
        state = {"approval": True}
        members: dict[str, Any] = {"token": token, "expires": expires, "state": state}
        if given.get("ExternalEntityLink"):
            members["externalExecutionUrl"] = given["ExternalEntityLink"]
        # A topic that cannot be reached fails the action, so the token is only shown once the message is out.
        if given.get("NotificationArn"):
            self._notify(job, token, expires.strftime("%Y-%m-%dT%H:%MZ"))
        job.update(**members)
        return None

    def resume(self, job: Job) -> Outcome | None:
        """A request that was made goes on waiting; one that was not is made."""
        return None if job.state.get("approval") else self.start(job)

    def _notify(self, job: Job, token: str, expires: str) -> None:
        given, place = job.configuration, job.place
        stage, action = job.action["stage"], job.action["action"]
        console = f"https://console.aws.amazon.com/codepipeline/home?region={place.region}#/view/{place.pipeline}"
        approval = {
            "pipelineName": place.pipeline,
            "stageName": stage,
            "actionName": action,
            "token": token,
            "expires": expires,
            "externalEntityLink": given.get("ExternalEntityLink"),
            "approvalReviewLink": f"{console}/{stage}/{action}/approve/{token}",
            "customData": given.get("CustomData"),
        }
        message = {"region": place.region, "consoleLink": console, "approval": approval}
        topic = given["NotificationArn"]
        with reporting(f"Approval notification to {topic}"):
            job.credentials.client("sns", topic.split(":")[3] if topic.count(":") >= 5 else None).publish(
                TopicArn=topic,
                Subject=f"APPROVAL NEEDED: AWS CodePipeline {place.pipeline} for action {action}"[:100],
                Message=json.dumps(message),
            )
