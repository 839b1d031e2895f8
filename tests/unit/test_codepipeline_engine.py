"""The engine without a server: what must hold whatever the order of events."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localcloud.core import Cloud, now
from localcloud.services.codepipeline import running
from localcloud.services.codepipeline.actions.base import ActionError, Outcome
from localcloud.services.codepipeline.engine import Engine
from localcloud.services.codepipeline.records import TERMINAL, Place, Records

PLACE = Place("111111111111", "eu-west-1", "p")
TRIGGER = {"triggerType": "StartPipelineExecution", "triggerDetail": "me"}


class Waits:
    """A provider whose actions wait until the test ends them."""

    def start(self, job: Any) -> None:
        return None

    resume = start


class QuietCloud(Cloud):
    """A cloud without a server: events are counted."""

    def emit(self, **event: Any) -> None:
        """Nothing listens."""


def declaration(mode: str, stages: int) -> dict[str, Any]:
    kind = {"category": "Approval", "owner": "AWS", "provider": "Manual", "version": "1"}
    action = {"name": "A", "actionTypeId": kind, "runOrder": 1, "configuration": {}}
    action |= {"inputArtifacts": [], "outputArtifacts": []}
    return {
        "name": "p",
        "version": 1,
        "roleArn": "arn:aws:iam::111111111111:role/p",
        "artifactStore": {"type": "S3", "location": "bucket"},
        "executionMode": mode,
        "stages": [{"name": f"S{i}", "actions": [action]} for i in range(stages)],
    }


@pytest.fixture(scope="module", autouse=True)
def patched() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "REGISTRY", {("Approval", "Manual"): Waits()})
        yield


def make(home: Path, mode: str, stages: int = 2) -> Engine:
    cloud = QuietCloud(home, "http://127.0.0.1:1")
    records = Records(cloud)
    if records.pipelines.get(*PLACE) is None:
        made = {"declaration": declaration(mode, stages), "transitions": {}, "counter": 0, "tags": {}}
        records.pipelines.put(*PLACE, {**made, "created": now(), "updated": now()})
    return Engine(cloud, records)


def open_actions(engine: Engine) -> list[dict[str, Any]]:
    return [action for action in engine.records.list_actions(PLACE) if action["status"] == "InProgress"]


MODES = st.sampled_from(["SUPERSEDED", "QUEUED", "PARALLEL"])
STEPS = st.lists(st.sampled_from(["start", "succeed", "fail", "stop", "restart"]), min_size=1, max_size=12)


@given(mode=MODES, steps=STEPS, chosen=st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_any_order_of_events_keeps_the_rules(
    tmp_path_factory: pytest.TempPathFactory, mode: str, steps: list[str], chosen: Any
) -> None:
    """A stage holds one execution at a time (but in PARALLEL), QUEUED never reorders or drops one, and when all actions
    are ended, every execution has ended: restarts in between change nothing of that."""
    home = tmp_path_factory.mktemp("engine")
    engine = make(home, mode)
    try:
        for step in steps:
            live, waiting = engine.records.live(PLACE), open_actions(engine)
            if step == "start":
                engine.start(PLACE, TRIGGER)
            elif step == "stop" and live:
                engine.stop(PLACE, chosen.choice(live)["id"], True, "")
            elif step in ("succeed", "fail") and waiting:
                result = Outcome() if step == "succeed" else ActionError("JobFailed", "x")
                assert engine.finish(PLACE, chosen.choice(waiting)["id"], result)
            elif step == "restart":
                engine.cloud.close()
                engine = make(home, mode)
                engine.recover()
            _check(engine, mode)
        while open_actions(engine):
            engine.finish(PLACE, open_actions(engine)[0]["id"], Outcome())
            _check(engine, mode)
        executions = engine.records.list_executions(PLACE)
        assert all(execution["status"] in TERMINAL for execution in executions)
        assert mode == "SUPERSEDED" or all(execution["status"] != "Superseded" for execution in executions)
    finally:
        engine.cloud.close()


def _check(engine: Engine, mode: str) -> None:
    live = engine.records.live(PLACE)
    inside = [execution["stage"] for execution in live if execution["phase"] != "waiting"]
    if mode != "PARALLEL":
        assert len(inside) == len(set(inside))
    if mode == "SUPERSEDED":
        waiting = [execution["stage"] for execution in live if execution["phase"] == "waiting"]
        assert len(waiting) == len(set(waiting))
    if mode == "QUEUED":  # whoever started earlier is never behind
        order = [execution["stage"] for execution in sorted(live, key=lambda execution: execution["number"])]
        assert order == sorted(order, reverse=True)
    for execution in live:  # nothing is stuck: who is inside a stage has an action in progress
        if execution["phase"] == "actions":
            assert engine.running(PLACE, execution)


def test_an_action_is_ended_once(tmp_path: Path) -> None:
    """Of many that end one action at the same moment exactly one is told that it did."""
    engine = make(tmp_path, "QUEUED")
    engine.start(PLACE, TRIGGER)
    (action,) = open_actions(engine)
    won: list[bool] = []
    threads = [
        threading.Thread(target=lambda: won.append(engine.finish(PLACE, action["id"], Outcome()))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won.count(True) == 1
    assert len(open_actions(engine)) == 1
    engine.cloud.close()


def test_an_approval_without_an_answer_times_out(tmp_path: Path) -> None:
    """After its time the action fails with the reason, and the execution with it."""
    engine = make(tmp_path, "QUEUED")
    execution = engine.start(PLACE, TRIGGER)
    (action,) = open_actions(engine)
    engine.change_action(PLACE, action["id"], {"expires": now() + timedelta(hours=1)})
    engine.expire()
    assert open_actions(engine)
    engine.change_action(PLACE, action["id"], {"expires": now() - timedelta(seconds=1)})
    engine.expire()
    found = engine.records.execution(PLACE, execution)
    assert found is not None
    assert found["status"] == "Failed"
    ended = engine.records.action(PLACE, action["id"])
    assert ended is not None
    assert "timed out" in ended["errorDetails"]["message"]
    engine.cloud.close()


def test_two_starts_at_once(tmp_path: Path) -> None:
    """Each start gets a number and an id of its own, and only the limit of AWS refuses one."""
    engine = make(tmp_path, "PARALLEL")
    ids: list[str] = []
    threads = [threading.Thread(target=lambda: ids.append(engine.start(PLACE, TRIGGER))) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    numbers = [execution["number"] for execution in engine.records.list_executions(PLACE)]
    assert sorted(numbers) == list(range(1, 11))
    assert len(set(ids)) == 10
    time.sleep(0.05)  # the actions' threads end
    engine.cloud.close()


@pytest.mark.parametrize("at", ["put_action", "advance"])
def test_an_end_that_finds_the_disk_full_is_written_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    """Protects: a full disk leaves no pipeline in progress for ever, whichever write it strikes."""
    engine = make(tmp_path, "SUPERSEDED")
    monkeypatch.setattr(running, "_ROOM_SECONDS", 0.01)
    try:
        execution = engine.start(PLACE, TRIGGER)
        whose = engine.records if at == "put_action" else engine
        original, failures = getattr(whose, at), 3

        def full(*arguments: Any) -> Any:
            nonlocal failures
            failures -= 1
            if failures >= 0:
                raise sqlite3.OperationalError("database or disk is full")
            return original(*arguments)

        monkeypatch.setattr(whose, at, full)
        engine._finish_patiently(PLACE, open_actions(engine)[0]["id"], ActionError("JobFailed", "no room"))
        assert failures < 0
        found = engine.records.execution(PLACE, execution["id"] if isinstance(execution, dict) else execution)
        assert found is not None
        assert found["status"] == "Failed"
    finally:
        engine.cloud.close()
