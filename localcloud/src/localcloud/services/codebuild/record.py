"""The record of a build: its phases, in the store and as events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from localcloud.core import Cloud, now
from localcloud.services.codebuild import events

Document = dict[str, Any]
TABLE = "codebuild.build"
# What a build's record holds beyond AWS's Build: the settings that the run needs.
PRIVATE = "_settings"


def public(document: Document) -> Document:
    """AWS's Build."""
    return {key: value for key, value in document.items() if key != PRIVATE}


class Record:
    """One build. Every change is stored at once, so that a restart finds what was reached."""

    def __init__(self, cloud: Cloud, account: str, region: str, identifier: str) -> None:
        self._cloud = cloud
        self._table = cloud.store.table(TABLE)
        self.account = account
        self.region = region
        self.id = identifier

    def read(self) -> Document:
        """The document as it is now."""
        document = self._table.get(self.account, self.region, self.id)
        if document is None:
            raise KeyError(f"build {self.id} is gone")
        return document

    def change(self, function: Callable[[Document], Document | None]) -> Document:
        """Change the document."""
        document = self._table.update(self.account, self.region, self.id, function)
        if document is None:
            raise KeyError(f"build {self.id} is gone")
        return document

    def enter(self, phase: str) -> None:
        """Begin a phase."""

        def begin(document: Document) -> None:
            document["phases"].append({"phaseType": phase, "startTime": now()})
            document["currentPhase"] = phase

        self.change(begin)

    def leave(self, status: str, code: str = "", message: str = "") -> None:
        """End the current phase, and tell EventBridge."""

        def end(document: Document) -> None:
            phase = document["phases"][-1]
            phase["endTime"] = now()
            phase["phaseStatus"] = status
            phase["durationInSeconds"] = int((phase["endTime"] - phase["startTime"]).total_seconds())
            phase["contexts"] = [{"statusCode": code, "message": message}]

        document = self.change(end)
        self._emit(events.PHASE_CHANGE, events.phase_change(document, document["phases"][-1]), document)

    def begin(self) -> None:
        """The build is in progress, for EventBridge."""
        document = self.read()
        self._emit(events.STATE_CHANGE, events.state_change(document), document)

    def finish(self, status: str) -> None:
        """The build is over: the COMPLETED phase, the status, the event."""

        def end(document: Document) -> None:
            moment = now()
            document["phases"].append({"phaseType": "COMPLETED", "startTime": moment})
            document.update(currentPhase="COMPLETED", buildStatus=status, buildComplete=True, endTime=moment)

        document = self.change(end)
        self._emit(events.STATE_CHANGE, events.state_change(document), document)

    def _emit(self, detail_type: str, detail: Document, document: Document) -> None:
        self._cloud.emit(
            source="aws.codebuild",
            detail_type=detail_type,
            detail=detail,
            resources=[document["arn"]],
            account=self.account,
            region=self.region,
        )
