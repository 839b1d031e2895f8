"""Entries are looked at in groups: whatever changes in one of them is found, and the others are passed over."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localcloud.core.base import groups, snapshot
from localcloud.core.base.groups import Groups
from localcloud.core.base.snapshot import Place
from localcloud.core.base.standing import Standing


def _look(state: dict[str, Any], before: Groups, seen: list[Place] | None = None, *, whole: bool = False) -> Any:
    standing = Standing()

    def fingerprint(place: Place, entry: Any) -> int:
        if seen is not None:
            seen.append(place)
        return standing.fingerprint("module", place, entry, whole=whole)

    return groups.changed(state, before=before, whole=whole, fingerprint=fingerprint)


def _state(number: int) -> dict[str, Any]:
    return {"parameters": {f"name-{index}": {"Value": "1", "Tags": [index]} for index in range(number)}}


def test_what_is_as_it_was_is_passed_over() -> None:
    """Protects the speed of everything where there are many projects."""
    state, seen = _state(200), list[Place]()
    known, written, gone = _look(state, {}, seen)
    assert (len(written), len(seen), gone) == (201, 201, [])
    seen.clear()
    assert _look(state, known, seen)[1:] == ([], [])
    assert _look(state, known, seen, whole=True)[1:] == ([], [])
    assert not seen
    state["parameters"]["name-70"]["Tags"][0] = 0
    _, written, gone = _look(state, known, seen)
    assert ([place for place, _ in written], gone) == ([("parameters", ".name-70")], [])
    assert len(seen) == 32


@pytest.mark.parametrize("change", [{"Value": True}, {"Value": 1.0}])
def test_what_python_calls_equal_is_found_by_a_whole_look(change: dict[str, Any]) -> None:
    """Protects values as they are: 1, true and 1.0 are not the same in an answer."""
    state = {"parameters": {"name": {"Value": 1}}}
    known = _look(state, {})[0]
    state["parameters"]["name"].update(change)
    assert [place for place, _ in _look(state, known, whole=True)[1]] == [("parameters", ".name")]


def test_a_stack_in_progress_is_looked_at_among_stacks_that_stand_still() -> None:
    """Protects resources: an operation adds them to the record that is there."""
    stacks = {f"s{n}": {"StackId": str(n), "StackStatus": "CREATE_COMPLETE", "_resources": {}} for n in range(40)}
    known = _look({"stacks": stacks}, {})[0]
    stacks["s3"]["StackStatus"] = "UPDATE_IN_PROGRESS"
    known, written, _ = _look({"stacks": stacks}, known)
    assert [place[1] for place, _ in written] == [".s3"]
    stacks["s3"]["_resources"]["Bucket"] = {"Type": "one"}  # type: ignore[index]
    assert [place[1] for place, _ in _look({"stacks": stacks}, known)[1]] == [".s3"]


def test_after_a_restart_what_is_on_disk_is_not_written_again() -> None:
    """Protects the first save after a restart, and deletions before it."""
    state = _state(50)
    loaded = groups.loaded({place: snapshot.fingerprint(entry) for place, entry in snapshot.pieces(state)})
    del state["parameters"]["name-7"]
    assert _look(state, loaded)[1:] == ([], [("parameters", ".name-7")])


_entry = st.dictionaries(st.sampled_from("ab"), st.integers(0, 3) | st.lists(st.text(max_size=2), max_size=2))
_states = st.dictionaries(st.sampled_from(["one", "two"]), st.dictionaries(st.integers(0, 90).map(str), _entry))


@settings(max_examples=60, deadline=None)
@given(st.lists(_states, min_size=2, max_size=5))
def test_what_is_kept_follows_the_state(states: list[dict[str, Any]]) -> None:
    """Protects everything that is acknowledged: additions, changes and deletions reach the disk in any order."""
    known: Groups = {}
    disk: dict[Place, str] = {}
    for state in states:
        known, written, gone = _look(state, known)
        for place in gone:
            del disk[place]
        disk.update(written)
        assert disk == {place: snapshot.document(entry) for place, entry in snapshot.pieces(state)}
