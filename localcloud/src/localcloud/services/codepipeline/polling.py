"""PollForSourceChanges: pipelines that look for new revisions themselves, which is what AWS does unless told not to."""

from __future__ import annotations

import logging
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from localcloud.core import Fault, now
from localcloud.services.codepipeline.engine import Engine
from localcloud.services.codepipeline.records import Place
from localcloud.services.codepipeline.structure import source_actions

logger = logging.getLogger("localcloud.codepipeline")
SECONDS_BETWEEN_POLLS = 60.0


class Poller:
    """Looks at CodeCommit branches and S3 objects with the pipeline's role, and starts pipelines for what is new."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.records = engine.records
        self.cloud = engine.cloud

    def run(self) -> None:
        """Look once a minute until the local cloud stops."""
        while not self.cloud.stopping.wait(SECONDS_BETWEEN_POLLS):
            for place in list(self.records.places()):
                try:
                    self.look(place)
                except (ClientError, BotoCoreError, Fault) as error:
                    logger.warning("pipeline %s cannot poll its sources: %s", place.pipeline, error)

    def look(self, place: Place) -> bool:
        """Start the pipeline if a polled source has changed since the last look; whether it was started."""
        record = self.records.pipeline(place)
        declaration = record["declaration"]
        polled = {name: action for name, action in source_actions(declaration).items() if polls(action)}
        if not polled:
            return False
        credentials = self.cloud.assume(
            declaration["roleArn"],
            str(int(now().timestamp() * 1000)),
            region=place.region,
            service_principal="codepipeline.amazonaws.com",
            source_arn=place.arn,
        )
        seen = {name: _revision(credentials.client, action) for name, action in polled.items()}
        known = record.get("polled") or {}
        self.records.change_pipeline(place, polled=seen)
        # The first look only notes what there is: creating the pipeline has run it already.
        changed = [name for name in seen if name in known and seen[name] != known[name]]
        if changed:
            self.engine.start(place, {"triggerType": "PollForSourceChanges", "triggerDetail": changed[0]})
        return bool(changed)


def polls(action: dict[str, Any]) -> bool:
    """Whether a source action is polled: CodeCommit and S3, unless PollForSourceChanges is false."""
    if action["actionTypeId"]["provider"] not in ("CodeCommit", "S3"):
        return False
    return str(action["configuration"].get("PollForSourceChanges", "true")).lower() != "false"


def _revision(client: Any, action: dict[str, Any]) -> str:
    given = action["configuration"]
    if action["actionTypeId"]["provider"] == "CodeCommit":
        answer = client("codecommit").get_branch(repositoryName=given["RepositoryName"], branchName=given["BranchName"])
        return str(answer["branch"]["commitId"])
    found = client("s3").head_object(Bucket=given["S3Bucket"], Key=given["S3ObjectKey"])
    return str(found.get("VersionId") or found["ETag"])
