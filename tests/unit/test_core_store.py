"""The store: what everything else trusts to be there after a crash."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localcloud.core import Conflict, Store
from localcloud.core.store import dumps, loads

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text() | st.binary()
    | st.datetimes(timezones=st.just(UTC)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(min_size=2), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "state.sqlite")


@given(values)
def test_documents_come_back_as_they_went(value: Any) -> None:
    """Protects every record: datetimes and bytes survive JSON."""
    assert loads(dumps({"value": value})) == {"value": value}


def test_order_is_that_of_creation_even_after_a_replacement(store: Store) -> None:
    """Protects list operations: an update does not move a record to the end."""
    table = store.table("kind")
    for key in ("b", "a", "c"):
        table.put("1", "r", key, {"key": key})
    table.put("1", "r", "b", {"key": "b", "changed": True})
    assert [document["key"] for document in table.list("1", "r")] == ["b", "a", "c"]
    assert table.get("1", "r", "b") == {"key": "b", "changed": True}


def test_accounts_and_regions_are_separate(store: Store) -> None:
    """Protects tenants from each other."""
    table = store.table("kind")
    table.put("1", "r", "x", {"of": "1"})
    assert table.get("2", "r", "x") is None
    assert table.get("1", "s", "x") is None
    assert table.list("2", "r") == []


def test_insert_refuses_a_second_of_the_same_key(store: Store) -> None:
    """Protects names that must be unique under concurrency."""
    table = store.table("kind")
    table.insert("1", "r", "x", {})
    with pytest.raises(Conflict):
        table.insert("1", "r", "x", {})


def test_a_failed_transaction_leaves_nothing(store: Store) -> None:
    """Protects against half-made state."""
    table = store.table("kind")

    def half() -> None:
        with store.transaction():
            table.put("1", "r", "x", {})
            with store.transaction():
                table.put("1", "r", "y", {})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half()
    assert table.all() == []


def test_concurrent_updates_lose_nothing(store: Store) -> None:
    """Protects counters such as model versions and build numbers."""
    table = store.table("kind")
    table.put("1", "r", "counter", {"value": 0})

    def count() -> None:
        for _ in range(50):
            table.update("1", "r", "counter", lambda document: {"value": document["value"] + 1})

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert table.get("1", "r", "counter") == {"value": 400}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(st.lists(st.tuples(st.sampled_from("abcde"), st.integers()), max_size=20))
def test_the_file_holds_what_was_put(tmp_path: Path, writes: list[tuple[str, int]]) -> None:
    """Protects a restart: another connection reads exactly the last values."""
    path = tmp_path / f"{datetime.now(UTC).timestamp()}.sqlite"
    expected: dict[str, int] = {}
    first = Store(path)
    for key, value in writes:
        first.table("kind").put("1", "r", key, {"value": value})
        expected[key] = value
    second = Store(path)
    assert {key: document["value"] for _, _, key, document in second.table("kind").all()} == expected
    first.close()
    second.close()
