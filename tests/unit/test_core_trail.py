"""How CloudTrail writes members: names, times and secrets."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.core.base.trails import _writes
from localcloud.core.trail import members

NAMES = st.text("ABCDEFabcdef", min_size=1, max_size=6).map(lambda text: text[:1].upper() + text[1:])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
)


@given(VALUES)
def test_only_the_first_letter_of_a_member_changes(value: Any) -> None:
    """Protects rules on request parameters: nothing is lost, and the spelling can be undone."""

    def undone(item: Any) -> Any:
        if isinstance(item, dict):
            return {name[:1].upper() + name[1:]: undone(inner) for name, inner in item.items()}
        return [undone(inner) for inner in item] if isinstance(item, list) else item

    assert undone(members(value)) == value


def test_times_are_text_and_secrets_are_hidden() -> None:
    """An event is JSON, and goes to people."""
    when = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
    hidden = "HIDDEN_DUE_TO_SECURITY_REASONS"
    assert members({"CreationTime": when, "authorizationToken": "abc", "Body": b"x", "S3OutputPath": "s3://b"}) == {
        "creationTime": "2026-01-02T03:04:05Z",
        "authorizationToken": hidden,
        "body": hidden,
        "s3OutputPath": "s3://b",
    }


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ({"ReadWriteType": "All", "IncludeManagementEvents": True}, True),
        ({"ReadWriteType": "WriteOnly", "IncludeManagementEvents": True}, True),
        ({"ReadWriteType": "ReadOnly", "IncludeManagementEvents": True}, False),
        ({"ReadWriteType": "All", "IncludeManagementEvents": False}, False),
        ({"FieldSelectors": [{"Field": "eventCategory", "Equals": ["Management"]}]}, True),
        ({"FieldSelectors": [{"Field": "eventCategory", "Equals": ["Data"]}]}, False),
        (
            {
                "FieldSelectors": [
                    {"Field": "eventCategory", "Equals": ["Management"]},
                    {"Field": "readOnly", "Equals": ["true"]},
                ]
            },
            False,
        ),
    ],
)
def test_which_selectors_take_calls_that_write(selector: dict[str, Any], expected: bool) -> None:
    """On AWS a trail that does not log an event does not send it to EventBridge either."""
    assert _writes(selector) is expected
