"""Which log is shown when a step of a SageMaker pipeline fails."""

from __future__ import annotations

from typing import Any

import pytest

from slipway.pipeline.logs import last_lines

STREAMS = {
    "/aws/sagemaker/TrainingJobs": {
        "train/algo-1-1": (1, ["epoch 1"]),
        "tune-001-aa/algo-1-1": (1, ["first"]),
        "tune-002-bb/algo-1-2": (2, ["second", "ValueError: no rows"]),
    },
    "/aws/sagemaker/ProcessingJobs": {"prepare/algo-1-1": (1, ["rows: 0"])},
    "/aws/sagemaker/TransformJobs": {"score/i-1": (1, ["only text"])},
}


class Logs:
    """CloudWatch Logs with the streams above."""

    def client(self, service: str) -> Logs:
        assert service == "logs"
        return self

    def describe_log_streams(self, logGroupName: str, logStreamNamePrefix: str) -> dict[str, Any]:  # noqa: N803
        return {
            "logStreams": [
                {"logStreamName": name, "lastEventTimestamp": stamp}
                for name, (stamp, _) in STREAMS[logGroupName].items()
                if name.startswith(logStreamNamePrefix)
            ]
        }

    def get_log_events(self, logGroupName: str, logStreamName: str, limit: int, **_: Any) -> dict[str, Any]:  # noqa: N803
        lines = STREAMS[logGroupName][logStreamName][1]
        return {"events": [{"message": line} for line in lines[-limit:]]}


@pytest.mark.parametrize(
    ("kind", "arn", "lines"),
    [
        ("TrainingJob", "training-job/train", ["epoch 1"]),
        ("ProcessingJob", "processing-job/prepare", ["rows: 0"]),
        ("TuningJob", "hyper-parameter-tuning-job/tune", ["second", "ValueError: no rows"]),
        ("TransformJob", "transform-job/score", ["only text"]),
        ("TransformJob", "transform-job/none", []),
        ("Model", "model/m", []),
    ],
)
def test_every_kind_of_job_shows_its_own_log(kind: str, arn: str, lines: list[str]) -> None:
    """Training, processing and transform jobs their log, a tuning job the log of its newest training job."""
    assert last_lines(Logs(), {kind: {"Arn": f"arn:aws:sagemaker:eu-west-1:1:{arn}"}}) == lines
