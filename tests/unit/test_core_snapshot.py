"""The state of ministack's modules in pieces: nothing is lost or changed, and what is unchanged is not written."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localcloud.core.base import snapshot
from localcloud.core.base.scope import scope
from localcloud.core.base.shared import Shared
from localcloud.core.base.state import State
from localcloud.core.store import Store

ACCOUNT, REGION = "111111111111", "eu-west-1"

_leaf = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(max_size=20)
_key = st.text().filter(lambda key: key != "__bytes__")
_value = st.recursive(
    _leaf, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_key, inner, max_size=4), max_leaves=12
)
_place = st.tuples(st.sampled_from([ACCOUNT, "222222222222"]), st.text() | st.tuples(st.text(), st.integers()))


def _scoped(entries: dict[Any, Any], *, regions: bool) -> Any:
    from ministack.core.responses import AccountRegionScopedDict, AccountScopedDict

    made = AccountRegionScopedDict() if regions else AccountScopedDict()
    made._data.update({(key[0], REGION, key[1]) if regions else key: value for key, value in entries.items()})
    return made


_store = (
    st.builds(
        lambda entries, regions: _scoped(entries, regions=regions), st.dictionaries(_place, _value), st.booleans()
    )
    | st.dictionaries(_key, _value)
    | _value
)


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.text(), _store))
def test_the_pieces_make_the_whole(state: dict[str, Any]) -> None:
    """Protects everything that the base services hold: a restart reads what ministack's own file would have held."""
    from ministack.core import persistence

    rows = [(*place, snapshot.document(entry)) for place, entry in snapshot.pieces(state)]
    assert json.loads(snapshot.join(rows)) == json.loads(json.dumps(state, default=persistence._json_default))


@settings(max_examples=40, deadline=None)
@given(_value, _value)
def test_a_fingerprint_tells_entries_apart(one: Any, other: Any) -> None:
    """Protects what is acknowledged: an entry whose document differs is written."""
    if snapshot.document(one) != snapshot.document(other):
        assert snapshot.fingerprint(one) != snapshot.fingerprint(other)
    assert snapshot.fingerprint(one) == snapshot.fingerprint(one)


def _text(state: Any) -> str:
    from ministack.core import persistence

    try:
        return json.dumps(state, default=persistence._json_default)
    except TypeError as error:  # there is one module whose state ministack itself cannot write
        return str(error)


def _modules() -> list[str]:
    from ministack import app

    return sorted(set(app._state_map.values()))


@pytest.mark.parametrize("module", _modules())
def test_reading_changes_nothing(module: str) -> None:
    """Protects the running services: where ministack changes its copy of the state, the original stays as it is."""
    from ministack import app
    from ministack.core import persistence
    from ministack.core.responses import AccountRegionScopedDict, AccountScopedDict

    loaded = app._get_module(module)
    # What ministack leaves out of its copies, and a function's code, which it replaces by a reference.
    left_out = [
        "_backend_host",
        "_backend_port",
        "_container_id",
        "_container_ip",
        "_container_name",
        "_docker_container_id",
        "_docker_container_ids",
        "_docker_id",
        "_docker_ids",
        "_metadata_tokens",
        "_private_key",
        "_shared_container_id",
        "_ssm_managed",
    ]
    inner = {**dict.fromkeys(left_out, "x"), "code_zip": b"zip"}
    put = []
    try:
        for value in vars(loaded).values():
            if isinstance(value, AccountRegionScopedDict | AccountScopedDict):
                regions = isinstance(value, AccountRegionScopedDict)
                key = (ACCOUNT, REGION, "probe") if regions else (ACCOUNT, "probe")
                value._data[key] = {"versions": {"1": dict(inner)}, **inner}
                put.append((value, key))
        held = [json.dumps(store._data[key], default=persistence._json_default) for store, key in put]
        plain = loaded.get_state()
        read = snapshot.read(loaded.get_state)
        assert held == [json.dumps(store._data[key], default=persistence._json_default) for store, key in put]
        assert _text(read) == _text(plain)
    finally:
        for store, key in put:
            store._data.pop(key, None)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store of its own."""
    made = Store(tmp_path / "localcloud.sqlite")
    yield made
    made.close()


@pytest.fixture
def roles() -> Iterator[Any]:
    """IAM's roles, emptied."""
    from ministack import app
    from ministack.services import iam

    app._get_module("iam")
    before = dict(iam._roles._data)
    iam._roles._data.clear()
    with scope(ACCOUNT, REGION):
        yield iam._roles
    iam._roles._data.clear()
    iam._roles._data.update(before)


def _written(store: Store) -> list[str]:
    return [
        row[0] for row in store.execute("SELECT key FROM base_entry WHERE module='iam' AND name='roles' AND key<>''")
    ]


def test_a_save_writes_what_changed(store: Store, roles: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects speed with many projects, and that changes deep within an entry, and deletions, are not missed."""
    state = State(store)
    for number in range(50):
        roles[f"role-{number}"] = {"RoleName": f"role-{number}", "Tags": [{"Key": "a", "Value": "1"}]}
    state.save("iam")
    assert len(_written(store)) == 50
    made: list[Any] = []
    document = snapshot.document
    monkeypatch.setattr(snapshot, "document", lambda entry: made.append(entry) or document(entry))
    roles["role-7"]["Tags"][0]["Value"] = "2"
    del roles["role-9"]
    state.save("iam")
    assert [entry["RoleName"] for entry in made] == ["role-7"]
    assert len(_written(store)) == 49
    state.save("iam")
    assert len(made) == 1


def test_what_was_saved_is_loaded_in_order(store: Store, roles: Any) -> None:
    """Protects a restart; and the order of lists, which is that in which things were made."""
    names = [f"role-{number}" for number in (3, 1, 2)]
    for name in names:
        roles[name] = {"RoleName": name, "Arn": f"arn:aws:iam::{ACCOUNT}:role/{name}"}
    state = State(store)
    state.save()
    roles["role-1"]["Description"] = "changed"
    state.save("iam")
    roles.clear()
    again = State(store)
    again.load(lambda module: module == "iam")
    assert list(roles) == names
    assert roles["role-1"]["Description"] == "changed"
    del roles["role-2"]
    again.save("iam")
    assert len(_written(store)) == 2


def test_the_state_of_an_earlier_release_is_taken_over(tmp_path: Path, roles: Any) -> None:
    """Protects who upgrades: `make up` after an update finds everything that was there."""
    from ministack.core import persistence
    from ministack.services import iam, sts

    roles["old"] = {"RoleName": "old", "Arn": f"arn:aws:iam::{ACCOUNT}:role/old"}
    path = tmp_path / "localcloud.sqlite"
    with sqlite3.connect(path) as before:
        before.execute("CREATE TABLE base_state (module TEXT PRIMARY KEY, document BLOB NOT NULL)")
        text = json.dumps(iam.get_state(), default=persistence._json_default)
        session = json.dumps({"ASIAPROBE": {"Arn": "arn:aws:sts::111111111111:assumed-role/old/x"}})
        before.executemany("INSERT INTO base_state VALUES (?,?)", [("iam", text), ("sts", session)])
    before.close()
    roles.clear()
    store = Store(path)
    try:
        state = State(store)
        state.load(lambda module: module in ("iam", "sts"))
        assert list(roles) == ["old"]
        assert sts._sessions.pop("ASIAPROBE")["Arn"].endswith("assumed-role/old/x")
        assert not store.execute("SELECT 1 FROM sqlite_master WHERE name='base_state'")
    finally:
        store.close()


def test_those_who_wait_share_the_next_round() -> None:
    """Protects speed and durability together: many callers cost two rounds, and none is served by one begun before."""
    begun: list[tuple[frozenset[str] | None, int]] = []
    changed, gate, waiting = 0, threading.Event(), threading.Semaphore(0)
    seen: dict[int, int] = {}

    def work(wanted: frozenset[str] | None) -> None:
        begun.append((wanted, changed))
        if len(begun) == 1:
            waiting.release()
            assert gate.wait(10)

    shared = Shared(work)
    first = threading.Thread(target=shared.ask, args=("iam",))
    first.start()
    assert waiting.acquire(timeout=10)
    changed = 1

    def ask(number: int) -> None:
        shared.ask("ssm" if number % 2 else "iam")
        seen[number] = begun[-1][1]

    others = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
    for thread in others:
        thread.start()
    time.sleep(0.2)
    gate.set()
    for thread in (first, *others):
        thread.join(10)
    assert begun == [(frozenset({"iam"}), 0), (frozenset({"iam", "ssm"}), 1)]
    assert set(seen.values()) == {1}


def test_a_round_that_fails_fails_for_all_who_waited_and_no_one_else() -> None:
    """Protects callers: none is told that its change is on disk when it is not, and the next try is a new one."""
    results = iter([OSError("disk full"), None])

    def work(wanted: frozenset[str] | None) -> None:
        error = next(results)
        if error:
            raise error

    shared = Shared(work)
    with pytest.raises(OSError, match="disk full"):
        shared.ask(None)
    shared.ask(None)
