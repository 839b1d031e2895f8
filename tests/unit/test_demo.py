"""What the demonstration says when something fails."""

from __future__ import annotations

from typing import Any

import pytest

from slipway_demo import watching
from slipway_demo.commands import reason
from slipway_demo.console import Journal, Stop
from slipway_demo.people import Person, Place


@pytest.mark.parametrize(
    ("tail", "expected"),
    [
        (["rendering", "slipway: no region"], "slipway: no region"),
        (
            ["ERROR: no space left on the disk of /x: free some", "slipway: `docker build` failed; see above"],
            "ERROR: no space left on the disk of /x: free some",
        ),
        (
            [
                "error: Request failed after 3 retries: x",
                "  cause: failed to fetch",
                "  cause: HTTP 502 for url http://x",
            ],
            "error: Request failed after 3 retries: x; cause: HTTP 502 for url http://x",
        ),
        (["said something else"], "said something else"),
        ([], "it said nothing"),
    ],
)
def test_the_line_that_tells_most_is_chosen(tail: list[str], expected: str) -> None:
    """Protects the last line of the terminal: the cause, not a reference to it."""
    assert reason(tail) == expected


class Client:
    """Answers of CodePipeline and CloudWatch Logs about a failed build."""

    def get_pipeline_execution(self, **_: Any) -> dict[str, Any]:
        return {"pipelineExecution": {"status": "Failed"}}

    def list_action_executions(self, **_: Any) -> dict[str, Any]:
        from datetime import UTC, datetime

        now = datetime.now(UTC)
        result = {
            "errorDetails": {"message": "Reason: exit status 2"},
            "logStreamARN": "arn:aws:logs:eu-west-1:111111111111:log-group:/aws/codebuild/x-build:log-stream:test/1",
        }
        return {"actionExecutionDetails": [{
            "actionExecutionId": "1", "actionName": "Test", "stageName": "Test", "status": "Failed", "startTime": now,
            "lastUpdateTime": now, "output": {"executionResult": result},
        }]}  # fmt: skip

    def get_log_events(self, **given: Any) -> dict[str, Any]:
        assert (given["logGroupName"], given["logStreamName"]) == ("/aws/codebuild/x-build", "test/1")
        said = ("[Container] Running command", "project.yaml:4: tag: has the wrong type", "[Container] done")
        return {"events": [{"message": message} for message in said]}


def test_a_failed_build_is_told_with_the_end_of_its_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the person at the terminal: CodePipeline knows the exit code alone, the log knows the cause."""
    monkeypatch.setattr(Person, "client", lambda self, service: Client())
    with pytest.raises(Stop) as caught:
        watching.follow(Journal(), Person(Place("http://x", "eu-west-1"), "a", "b"), "x-build", "1")
    told = str(caught.value).splitlines()
    assert told[0] == "x-build failed: Test ▸ Test: Reason: exit status 2"
    assert told[1:] == ["    project.yaml:4: tag: has the wrong type", "    (log: /aws/codebuild/x-build, test/1)"]
