"""EventBridge events of a build, in the shape of CodeBuild's "Build notifications input format reference"."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

STATE_CHANGE = "CodeBuild Build State Change"
PHASE_CHANGE = "CodeBuild Build Phase Change"


def moment(time: datetime) -> str:
    """`Sep 1, 2017 4:12:29 PM`."""
    return f"{time:%b} {time.day}, {time.year} {time.hour % 12 or 12}:{time:%M:%S} {'AM' if time.hour < 12 else 'PM'}"


def _contexts(phase: Mapping[str, Any]) -> list[str]:
    return [f"{item.get('statusCode', '')}: {item.get('message', '')}" for item in phase.get("contexts", [])]


def _phase(phase: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"phase-type": phase["phaseType"], "start-time": moment(phase["startTime"])}
    if "phaseStatus" in phase:
        found |= {
            "phase-context": _contexts(phase),
            "end-time": moment(phase["endTime"]),
            "duration-in-seconds": float(phase["durationInSeconds"]),
            "phase-status": phase["phaseStatus"],
        }
    return found


def _additional(build: Mapping[str, Any]) -> dict[str, Any]:
    environment, source, artifacts = build["environment"], build["source"], build.get("artifacts", {})
    artifact = {"location": artifacts.get("location", "")}
    for name, key in (("md5sum", "md5sum"), ("sha256sum", "sha256sum")):
        if artifacts.get(key):
            artifact[name] = artifacts[key]
    found: dict[str, Any] = {
        "cache": {"type": build.get("cache", {}).get("type", "NO_CACHE")},
        "build-number": float(build["buildNumber"]),
        "timeout-in-minutes": float(build["timeoutInMinutes"]),
        "build-complete": build["buildComplete"],
        "initiator": build["initiator"],
        "build-start-time": moment(build["startTime"]),
        "source": {key: source[key] for key in ("buildspec", "location", "type") if source.get(key)},
        "artifact": artifact,
        "environment": {
            "image": environment["image"],
            "privileged-mode": bool(environment.get("privilegedMode")),
            "image-pull-credentials-type": environment.get("imagePullCredentialsType", "CODEBUILD"),
            "compute-type": environment["computeType"],
            "type": environment["type"],
            "environment-variables": environment.get("environmentVariables", []),
        },
        "logs": {
            "group-name": build["logs"].get("groupName"),
            "stream-name": build["logs"].get("streamName"),
            "deep-link": build["logs"].get("deepLink"),
        },
        "phases": [_phase(phase) for phase in build["phases"]],
        "queued-timeout-in-minutes": float(build["queuedTimeoutInMinutes"]),
    }
    if build.get("sourceVersion"):
        found["source-version"] = build["sourceVersion"]
    if build.get("exportedEnvironmentVariables"):
        found["exported-environment-variables"] = build["exportedEnvironmentVariables"]
    return found


def state_change(build: Mapping[str, Any]) -> dict[str, Any]:
    """The detail of a "CodeBuild Build State Change"."""
    phase = build["phases"][-1] if build["phases"] else {}
    return {
        "build-status": build["buildStatus"],
        "project-name": build["projectName"],
        "build-id": build["arn"],
        "additional-information": _additional(build),
        "current-phase": build["currentPhase"],
        "current-phase-context": f"[{', '.join(_contexts(phase))}]",
        "version": "1",
    }


def phase_change(build: Mapping[str, Any], phase: Mapping[str, Any]) -> dict[str, Any]:
    """The detail of a "CodeBuild Build Phase Change" for a phase that ended."""
    return {
        "completed-phase": phase["phaseType"],
        "project-name": build["projectName"],
        "build-id": build["arn"],
        "completed-phase-context": f"[{', '.join(_contexts(phase))}]",
        "additional-information": _additional(build),
        "completed-phase-status": phase["phaseStatus"],
        "completed-phase-duration-seconds": float(phase["durationInSeconds"]),
        "version": "1",
        "completed-phase-start": moment(phase["startTime"]),
        "completed-phase-end": moment(phase["endTime"]),
    }
