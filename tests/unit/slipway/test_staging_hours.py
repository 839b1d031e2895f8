"""What becomes of staging's endpoints when the working day is over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from slipway.functions import staging_hours

from .fakes import Session

NOW = datetime(2026, 3, 2, 19, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=3)


def summary(name: str, **more: Any) -> dict[str, Any]:
    return {"StackName": name, "CreationTime": LONG_AGO, "StackStatus": "UPDATE_COMPLETE", **more}


def stands(session: Session, name: str, *, endpoint: bool = True, **more: Any) -> None:
    outputs = [{"OutputKey": "EndpointName" if endpoint else "ModelVersion", "OutputValue": name}]
    session.stub(
        "cloudformation", "describe_stacks", {"Stacks": [{**summary(name), "Outputs": outputs, **more}]},
        {"StackName": name},
    )  # fmt: skip


def test_endpoints_of_staging_go_and_nothing_else() -> None:
    """Protects production, other platforms, releases that are being verified and stacks that cost nothing."""
    session = Session()
    names = [
        "slipway-flights-staging", "slipway-flights-production", "other-flights-staging", "slipway-platform",
        "slipway-new-staging", "slipway-busy-staging", "slipway-batch-staging",
    ]  # fmt: skip
    nested = summary("slipway-x-staging", ParentId="arn:aws:cloudformation:eu-west-1:111111111111:stack/x/1")
    session.stub("cloudformation", "list_stacks", {"StackSummaries": [*map(summary, names), nested]})
    stands(session, "slipway-flights-staging")
    session.stub("cloudformation", "delete_stack", {}, {"StackName": "slipway-flights-staging"})
    stands(session, "slipway-new-staging", LastUpdatedTime=NOW - timedelta(minutes=119))
    stands(session, "slipway-busy-staging", StackStatus="UPDATE_IN_PROGRESS")
    stands(session, "slipway-batch-staging", endpoint=False)
    found = staging_hours.remove(session.client("cloudformation"), "slipway", NOW)
    assert found == {
        "removed": ["slipway-flights-staging"], "left": ["slipway-new-staging", "slipway-busy-staging"],
    }  # fmt: skip
    session.assert_all_called()


def test_one_that_is_refused_keeps_no_other() -> None:
    """Protects the bill: all are tried before the failure is told, and one that is gone meanwhile is no failure."""
    session = Session()
    names = ["slipway-a-staging", "slipway-b-staging", "slipway-c-staging"]
    session.stub("cloudformation", "list_stacks", {"StackSummaries": [*map(summary, names)]})
    stands(session, "slipway-a-staging")
    session.refuse("cloudformation", "delete_stack", "AccessDenied", "not allowed")
    session.refuse("cloudformation", "describe_stacks", "ValidationError", "Stack with id b does not exist")
    stands(session, "slipway-c-staging")
    session.stub("cloudformation", "delete_stack", {}, {"StackName": "slipway-c-staging"})
    with pytest.raises(ClientError, match="not allowed"):
        staging_hours.remove(session.client("cloudformation"), "slipway", NOW)
    session.assert_all_called()
