"""The three events that tell EventBridge of a pipeline's, a stage's and an action's execution."""

from __future__ import annotations

from typing import Any

from localcloud.core import Cloud
from localcloud.services.codepipeline.records import Document, Place


class Events:
    """Emits; delivery is EventBridge's."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def pipeline(self, place: Place, execution: Document, state: str) -> None:
        """ "CodePipeline Pipeline Execution State Change"."""
        detail = self._common(place, execution)
        detail["execution-trigger"] = {
            "trigger-type": execution["trigger"]["triggerType"],
            "trigger-detail": execution["trigger"].get("triggerDetail", ""),
        }
        if execution.get("stop"):
            detail["stop-execution-comments"] = execution["stop"].get("reason", "")
        self._emit(place, "Pipeline", {**detail, "state": state})

    def stage(self, place: Place, execution: Document, stage: str, state: str) -> None:
        """ "CodePipeline Stage Execution State Change"."""
        self._emit(place, "Stage", {**self._common(place, execution), "stage": stage, "state": state})

    def action(self, place: Place, execution: Document, action: Document, state: str) -> None:
        """ "CodePipeline Action Execution State Change"."""
        kind = action["actionTypeId"]
        detail: dict[str, Any] = {
            **self._common(place, execution),
            "start-time": _stamp(action["started"]),
            "stage": action["stage"],
            "action": action["action"],
            "state": state,
            "region": action["region"],
            "type": {member: kind[member] for member in ("owner", "provider", "category", "version")},
            "action-execution-id": action["id"],
        }
        if state != "STARTED":
            result = {
                "external-execution-url": action.get("externalExecutionUrl"),
                "external-execution-summary": action.get("summary"),
                "external-execution-id": action.get("externalExecutionId"),
                "error-code": (action.get("errorDetails") or {}).get("code"),
            }
            if any(result.values()):
                detail["execution-result"] = {key: value for key, value in result.items() if value}
        for member, artifacts in (("input-artifacts", "inputArtifacts"), ("output-artifacts", "outputArtifacts")):
            if action[artifacts] and (artifacts == "inputArtifacts" or state == "SUCCEEDED"):
                detail[member] = action[artifacts]
        self._emit(place, "Action", detail)

    def _common(self, place: Place, execution: Document) -> dict[str, Any]:
        return {
            "pipeline": place.pipeline,
            "execution-id": execution["id"],
            "start-time": _stamp(execution["started"]),
            "version": float(execution["version"]),
            "pipeline-execution-attempt": float(execution["attempt"]),
        }

    def _emit(self, place: Place, kind: str, detail: dict[str, Any]) -> None:
        self._cloud.emit(
            source="aws.codepipeline",
            detail_type=f"CodePipeline {kind} Execution State Change",
            detail=detail,
            resources=[place.arn],
            account=place.account,
            region=place.region,
        )


def _stamp(moment: Any) -> str:
    return str(moment.isoformat(timespec="milliseconds")).replace("+00:00", "Z")
