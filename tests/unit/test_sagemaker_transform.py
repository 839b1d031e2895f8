"""The data of batch transform: records, requests, filters, joins."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.services.sagemaker.transform_data import (
    DataError,
    Processing,
    assembled,
    batches,
    compiled,
    records,
    select,
)


@given(
    st.lists(st.binary(min_size=1, max_size=20).filter(lambda item: not set(item) & set(b"\r\n")), max_size=30),
    st.integers(20, 60),
)
def test_every_record_is_sent_once_and_no_request_is_too_large(items: list[bytes], most: int) -> None:
    """In order, none lost, each request within the limit with its line feeds, and none smaller than it must be."""
    packed = list(batches(items, "MultiRecord", most))
    assert [item for batch in packed for item in batch] == items
    assert all(len(b"\n".join(batch)) <= most for batch in packed)
    for batch, following in itertools.pairwise(packed):
        assert len(b"\n".join([*batch, following[0]])) > most
    assert all(len(batch) == 1 for batch in batches(items, "SingleRecord", most))


@pytest.mark.parametrize(
    ("path", "value", "found"),
    [
        ("$", [1, 2], [1, 2]),
        ("$[1:]", [1, 2, 3], [2, 3]),
        ("$[0,-1]", [1, 2, 3], [1, 3]),
        ("$.a.b", {"a": {"b": 1}}, 1),
        ("$['a','c']", {"a": 1, "b": 2, "c": 3}, {"a": 1, "c": 3}),
        ("$.f.['a','b']", {"f": {"a": 1, "b": 2, "c": 3}}, {"a": 1, "b": 2}),
        ("$.features[*]", {"features": [1, 2]}, [1, 2]),
    ],
)
def test_what_a_filter_selects(path: str, value: Any, found: Any) -> None:
    """One value, an object of the listed names, or a list."""
    assert select(path, value) == found


@pytest.mark.parametrize("path", ["$..a", "$[?@.a]", "$[", "a.b", "$.length()"])
def test_filters_that_are_none(path: str) -> None:
    """What SageMaker does not support is refused with the path."""
    with pytest.raises(ValueError, match=r"is not a JSONPath|has '\.\.'"):
        compiled(path)


def test_joins() -> None:
    """CSV is appended; JSON gets SageMakerOutput; JSON that is no object is put beside it."""
    joined = Processing(join=True, source="csv", target="csv", split="Line")
    assert joined.answers([b"a,1", b"b,2"], b"0.5\n0.7\n") == [b"a,1,0.5", b"b,2,0.7"]
    lines = Processing(join=True, source="jsonlines", target="jsonlines", split="Line")
    assert lines.answers([b'{"a":1}', b"[1]"], b"1\n2") == [
        b'{"a":1,"SageMakerOutput":1}', b'{"SageMakerInput":[1],"SageMakerOutput":2}'
    ]  # fmt: skip
    with pytest.raises(DataError, match="answered 1 records to 2"):
        joined.answers([b"a", b"b"], b"0.5")
    with pytest.raises(DataError, match="a record is not jsonlines"):
        lines.answers([b"{"], b"1")
    with pytest.raises(DataError, match="selects nothing"):
        Processing(input_filter="$.x", source="json").request(b'{"y": 1}')


def test_records_and_what_is_made_of_them() -> None:
    """Lines with any line feed; blank ones are none; assembled with one line feed each, or as they are."""
    assert records(b"a\r\nb\n\nc", "Line") == [b"a", b"b", b"c"]
    assert records(b"a\nb", "None") == [b"a\nb"]
    assert assembled([b"a\nb\n", b"c"], "Line") == b"a\nb\nc\n"
    assert assembled([b"a", b"b"], "None") == b"ab"
