"""Starts a CodeBuild job and watches it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from slipway.errors import SlipwayError
from slipway.pipeline.logs import tail
from slipway.progress import Progress, duration

POLL_SECONDS = 2.0


def run(
    session: Any,
    project: str,
    progress: Progress,
    variables: Mapping[str, str] | None = None,
    *,
    sleep: Any = time.sleep,
) -> dict[str, Any]:
    """Run a CodeBuild project to its end. Returns the build. Raises SlipwayError with the log's end if it fails."""
    codebuild = session.client("codebuild")
    override = [{"name": name, "value": value, "type": "PLAINTEXT"} for name, value in (variables or {}).items()]
    build_id = codebuild.start_build(projectName=project, environmentVariablesOverride=override)["build"]["id"]
    progress.say(f"{project}: started {build_id}")
    phase, started = "", progress.elapsed
    while True:
        build: dict[str, Any] = codebuild.batch_get_builds(ids=[build_id])["builds"][0]
        if build.get("currentPhase", phase) != phase:
            phase = build["currentPhase"]
            progress.say(f"{project}: {phase.lower()}")
        if build["buildStatus"] != "IN_PROGRESS":
            break
        progress.beat(f"{project}: {phase.lower() or 'waiting'}")
        sleep(POLL_SECONDS)
    if build["buildStatus"] != "SUCCEEDED":
        logs = build.get("logs", {})
        lines = []
        if logs.get("groupName") and logs.get("streamName"):
            lines = tail(session.client("logs"), logs["groupName"], logs["streamName"])
        raise SlipwayError("\n    ".join([f"build {build_id} ended as {build['buildStatus']}; its last lines:", *lines]))
    progress.say(f"{project}: succeeded in {duration(progress.elapsed - started)}")
    return build
