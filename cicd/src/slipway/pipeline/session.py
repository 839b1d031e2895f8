"""A SageMaker SDK session that only composes: no telemetry, no look at roles, no look for configuration files."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_OPT_OUT = {
    "SchemaVersion": "1.0",
    "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}},
}


def make(boto_session: Any, bucket: str) -> Any:
    """A PipelineSession: calls of the SDK yield step arguments instead of requests."""
    # The SDK asks IAM to simulate the role's policies unless it is told not to; the build may not ask that.
    os.environ["SAGEMAKER_VALIDATE_ROLE"] = "false"
    # Importing sagemaker.mlops fails without a region, even if a session with one is given afterwards.
    os.environ.setdefault("AWS_DEFAULT_REGION", boto_session.region_name)
    warnings.filterwarnings("ignore", message="Running within a PipelineSession")
    from sagemaker.core.workflow.pipeline_context import PipelineSession

    # Every module of the SDK has a logger of its own that talks about each default it looks up.
    for name in [name for name in logging.root.manager.loggerDict if name.split(".")[0] in {"sagemaker", "botocore"}]:
        logging.getLogger(name).setLevel(logging.ERROR)
    session = PipelineSession(boto_session=boto_session, default_bucket=bucket, sagemaker_config=_OPT_OUT)
    # With an empty configuration the SDK skips the schema check that it otherwise does for every single default that it
    # looks up (0.3 s each, 40 of them).
    session.sagemaker_config = {}
    return session


@contextmanager
def without_telemetry(session: Any) -> Iterator[None]:
    """Around SDK calls that send telemetry: a request to a public bucket, with the account's id in it."""
    session.sagemaker_config = _OPT_OUT
    try:
        yield
    finally:
        session.sagemaker_config = {}
