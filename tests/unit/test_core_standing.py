"""Stacks that stand still are not read again at every save, and no change of one is missed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from localcloud.core.base import snapshot
from localcloud.core.base.scope import scope
from localcloud.core.base.standing import Standing
from localcloud.core.base.state import State
from localcloud.core.store import Store

PLACE = ("stacks", ".1")


def stack(status: str) -> dict[str, Any]:
    return {"StackId": "arn:1", "StackStatus": status, "Tags": [], "_resources": {"Bucket": {"Type": "one"}}}


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What a fingerprint was really taken of."""
    seen: list[Any] = []
    real = snapshot.fingerprint

    def noted(entry: Any) -> int:
        seen.append(entry)
        return real(entry)

    monkeypatch.setattr(snapshot, "fingerprint", noted)
    return seen


def test_a_stack_that_stands_still_is_read_once(taken: list[Any]) -> None:
    """Protects the speed of everything where there are many projects."""
    standing, entry = Standing(), stack("CREATE_COMPLETE")
    first = standing.fingerprint("cloudformation", PLACE, entry, whole=False)
    # ministack hands out the record, or a shallow copy of it.
    assert standing.fingerprint("cloudformation", PLACE, dict(entry), whole=False) == first
    assert len(taken) == 1
    events = [{"EventId": "1"}]
    assert len({standing.fingerprint("cloudformation", ("events", ".1"), events, whole=False) for _ in range(3)}) == 1
    assert len(taken) == 2


@pytest.mark.parametrize("change", [{"Tags": []}, {"StackStatus": "UPDATE_COMPLETE"}, {"_policy": "new"}])
def test_a_value_that_is_replaced_is_seen(change: dict[str, Any], taken: list[Any]) -> None:
    """Protects what was acknowledged: tags, policies and the end of an operation are on disk."""
    standing, entry = Standing(), stack("CREATE_COMPLETE")
    standing.fingerprint("cloudformation", PLACE, entry, whole=False)
    entry.update(change)
    standing.fingerprint("cloudformation", PLACE, entry, whole=False)
    assert len(taken) == 2


def test_events_are_seen_when_they_are_added() -> None:
    """Protects the history of a stack."""
    standing, events = Standing(), [{"EventId": "1"}]
    first = standing.fingerprint("cloudformation", PLACE, events, whole=False)
    events.append({"EventId": "2"})
    assert standing.fingerprint("cloudformation", PLACE, events, whole=False) != first


@pytest.mark.parametrize(("status", "whole"), [("UPDATE_IN_PROGRESS", False), ("CREATE_COMPLETE", True)])
def test_a_change_in_depth_is_seen_while_something_works_and_when_all_is_looked_at(status: str, whole: bool) -> None:
    """Protects resources: an operation adds them to the record that is there."""
    standing, entry = Standing(), stack(status)
    first = standing.fingerprint("cloudformation", PLACE, entry, whole=False)
    entry["_resources"]["Bucket"]["Type"] = "another"
    assert standing.fingerprint("cloudformation", PLACE, entry, whole=whole) != first


def test_a_record_that_comes_again_after_it_was_gone_is_read(taken: list[Any]) -> None:
    """Protects a stack of the same name: nothing of its predecessor is taken for it."""
    standing = Standing()
    standing.fingerprint("cloudformation", PLACE, stack("CREATE_COMPLETE"), whole=False)
    standing.forget("cloudformation", [PLACE])
    standing.fingerprint("cloudformation", PLACE, stack("CREATE_COMPLETE"), whole=False)
    assert len(taken) == 2


def test_what_is_passed_over_is_saved_by_the_next_whole_save(tmp_path: Path) -> None:
    """Protects the rare change in depth of a stack that stands still, such as that of a drift detection."""
    from ministack import app
    from ministack.services.cloudformation import _stacks

    app._get_module("cloudformation")  # a module that nobody uses is not saved
    store = Store(tmp_path / "state.sqlite")
    state = State(store)

    def saved() -> str:
        rows = store.execute("SELECT key, document FROM base_entry WHERE module='cloudformation'")
        found = next(document for key, document in rows if "'standing'" in key)
        return str(json.loads(found)["_resources"]["Bucket"]["Type"])

    with scope("111111111111", "eu-west-1"):
        _stacks["standing"] = entry = stack("CREATE_COMPLETE")
        try:
            state.save()
            entry["_resources"]["Bucket"]["Type"] = "another"
            state.save()
            assert saved() == "one"
            state.save(whole=True)
            assert saved() == "another"
        finally:
            del _stacks["standing"]
