"""A taken home, a taken port, a full disk, a stack cut short: one clear message, and nothing lost or orphaned."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from localcloud.core import Fault, Store, recorder
from localcloud.core.base import interrupted, references
from localcloud.core.room import RESERVE, Room
from tests.localcloud.conftest import LocalCloud, free_port


def command(*arguments: str, home: Path, port: str | int) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LOCALCLOUD_HOME": str(home), "LOCALCLOUD_PORT": str(port)}
    return subprocess.run(
        [sys.executable, "-m", "localcloud", *arguments],
        env=environment, capture_output=True, text=True, check=False, timeout=90,
    )  # fmt: skip


def test_two_servers_never_share_a_home(own_cloud: LocalCloud) -> None:
    """Protects the state: a second server would kill the first one's jobs and overwrite its records."""
    other = command("up", home=own_cloud.home, port=free_port())
    assert other.returncode == 1
    assert str(own_cloud.home) in other.stderr
    assert f"LOCALCLOUD_PORT={own_cloud.port}" in other.stderr
    assert (own_cloud.home / "pid").read_text() == str(own_cloud.process.pid if own_cloud.process else 0)


def test_a_port_in_use_is_told_with_another(own_cloud: LocalCloud, tmp_path: Path) -> None:
    """Protects the first command of a newcomer."""
    other = command("up", home=tmp_path / "other", port=own_cloud.port)
    assert other.returncode == 1
    assert f"port {own_cloud.port} on 127.0.0.1 is in use" in other.stderr
    assert "LOCALCLOUD_PORT=" in other.stderr


@pytest.mark.parametrize("given", ["abc", "0", "99999", ""])
def test_a_port_that_is_none_is_told(tmp_path: Path, given: str) -> None:
    """Protects against a traceback for a typing error."""
    done = command("up", home=tmp_path, port=given)
    assert done.returncode == 2
    assert "allowed a number from 1 to 65535" in done.stderr


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small file system can be mounted by root alone")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    path = folder / "fill"
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:  # what is free changes meanwhile: the server writes, too
            file.write(bytes(1 << 16))
    return path


def test_a_full_disk_refuses_changes_and_keeps_everything(small_disk: Path) -> None:
    """Protects acknowledged state: reads go on, changes are refused with the mend, and go on when there is room."""
    cloud = LocalCloud(small_disk / "home", free_port())
    cloud.start()
    try:
        cloud.client("sqs").create_queue(QueueName="before")
        filler = fill(small_disk)
        for service, call, request in (
            ("codecommit", "create_repository", {"repositoryName": "one"}),
            ("ssm", "put_parameter", {"Name": "/a", "Value": "b", "Type": "String"}),
            ("s3", "create_bucket", {"Bucket": "a-bucket"}),
        ):
            client = cloud.client(service)
            with pytest.raises(client.exceptions.ClientError) as caught:
                getattr(client, call)(**request)
            detail = caught.value.response["Error"]
            assert detail["Code"] == "InsufficientStorage"
            assert str(small_disk) in detail["Message"]
            assert "Make room" in detail["Message"]
        assert cloud.client("sqs").list_queues()["QueueUrls"]
        runtime = cloud.client("sagemaker-runtime")
        with pytest.raises(runtime.exceptions.ClientError) as caught:  # an endpoint that there is would answer
            runtime.invoke_endpoint(EndpointName="none", Body=b"1")
        assert caught.value.response["Error"]["Code"] == "ValidationError"
        filler.unlink()
        cloud.client("codecommit").create_repository(repositoryName="one")
        cloud.kill()
        cloud.start()
        assert cloud.client("codecommit").get_repository(repositoryName="one")
        assert cloud.client("sqs").list_queues()["QueueUrls"]
    finally:
        cloud.stop()


def test_a_disk_without_room_is_told_at_the_start(small_disk: Path) -> None:
    """Protects whoever starts on a full disk: the folder and the mend."""
    fill(small_disk)
    done = command("up", home=small_disk / "home", port=free_port())
    assert done.returncode == 1
    assert f"{small_disk / 'home'} cannot be written: No space left on device" in done.stderr
    assert "LOCALCLOUD_HOME" in done.stderr


def test_the_reserve_lets_the_state_be_written_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects records of what comes to its end while the disk is full, and refuses all else until there is room."""
    room, free = Room(tmp_path), [10 * RESERVE]
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free[0]))
    room.take()
    assert (tmp_path / "reserve").stat().st_size == RESERVE
    room.check(1000)
    free[0] = 0
    with pytest.raises(Fault, match="is full"):
        room.check()
    assert room.release()
    assert not room.release()
    free[0] = RESERVE
    with pytest.raises(Fault, match="is full"):
        room.check()
    free[0] = 10 * RESERVE
    room.check()
    assert (tmp_path / "reserve").exists()


def test_a_write_goes_on_when_room_was_made(tmp_path: Path) -> None:
    """Protects every record: SQLite's "full" is met once by making room, and leaves no transaction open."""
    made = []

    def make_room() -> bool:
        if not made:
            store.execute("PRAGMA max_page_count=100000")
        made.append(True)
        return len(made) == 1

    store = Store(tmp_path / "state.sqlite", make_room)
    table = store.table("kind")
    pages = store.execute("PRAGMA page_count")[0][0]
    store.execute(f"PRAGMA max_page_count={pages + 2}")
    table.put("1", "r", "large", {"text": "x" * 100_000})
    assert made == [True]
    store.execute(f"PRAGMA max_page_count={store.execute('PRAGMA page_count')[0][0]}")
    with pytest.raises(sqlite3.OperationalError, match="full"), store.transaction():
        table.put("1", "r", "lost", {"text": "x" * 100_000})
    store.execute("PRAGMA max_page_count=100000")
    table.put("1", "r", "after", {"text": "y"})
    assert [len(item["text"]) for item in table.list("1", "r")] == [100_000, 1]


def test_a_transaction_that_a_full_disk_took_has_room_when_it_is_tried_again(small_disk: Path) -> None:
    """Protects the end of what runs: it was tried again and again, and the reserve stayed where it was."""
    reserve = small_disk / "reserve"
    reserve.write_bytes(bytes(8 << 20))

    def make_room() -> bool:
        there = reserve.exists()
        reserve.unlink(missing_ok=True)
        return there

    store = Store(small_disk / "state.sqlite", make_room)
    table = store.table("kind")

    with contextlib.suppress(sqlite3.OperationalError), store.transaction():
        table.put("1", "r", "first", {"text": "x" * 3_000_000})
        fill(small_disk)
    assert not reserve.exists()
    with store.transaction():
        table.put("1", "r", "first", {"text": "y"})
    assert table.get("1", "r", "first") == {"text": "y"}


def test_a_transaction_begins_with_room(small_disk: Path) -> None:
    """Protects what is written once and not tried again, such as the state of an action that goes on."""
    made = []
    store = Store(small_disk / "state.sqlite", lambda: bool(made.append(True)))
    with store.transaction():
        pass
    assert made == []
    fill(small_disk)
    with store.transaction():
        pass
    assert made == [True]


def test_calls_that_cannot_be_recorded_wait_for_room(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Protects the record: a full disk ended its thread, and nothing was recorded any more when there was room."""
    store = Store(tmp_path / "state.sqlite")
    store.execute(f"PRAGMA max_page_count={store.execute('PRAGMA page_count')[0][0]}")
    record = recorder.Recorder(store)
    call = recorder.Recorded("1", "r", "me", "s3:PutObject", "*", 200, "", {"text": "x" * 100_000})
    record.add(call)
    deadline = time.monotonic() + 10
    while "calls cannot be recorded" not in caplog.text:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert recorder.calls(store) == []
    store.execute("PRAGMA max_page_count=100000")
    record.add(replace(call, status=201))
    record.close()
    assert [item["status"] for item in recorder.calls(store)] == [200, 201]


def stack(name: str, status: str, parent: str = "") -> dict[str, Any]:
    arn = f"arn:aws:cloudformation:eu-west-1:111111111111:stack/{name}/1"
    began = "2026-01-02T03:04:05.000Z"
    return {
        "StackName": name, "StackId": arn, "StackStatus": status, "_parent_stack_name": parent, "_resources": {},
        "CreationTime": began,
    }  # fmt: skip


def test_a_stack_cut_short_owns_what_it_had_made(tmp_path: Path) -> None:
    """Protects the next deployment: what nobody owns is never deleted, and its name stays taken."""
    made = interrupted.Made(Store(tmp_path / "state.sqlite"))
    for name in ("one", "two"):
        resource = {
            "PhysicalResourceId": name,
            "ResourceType": "AWS::CodeBuild::Project",
            "Properties": {},
            "Attributes": {},
        }
        made.note("111111111111", "eu-west-1", "s-Builds-1a-2b", name.title(), resource)
    made.forget("111111111111", "eu-west-1", "AWS::CodeBuild::Project", "two")
    parent, child = stack("s", "CREATE_IN_PROGRESS"), stack("s-Builds-1a-2b", "CREATE_IN_PROGRESS", "s")
    done = stack("t", "CREATE_COMPLETE")
    interrupted.fail([parent, child, done], made)
    assert (parent["StackStatus"], child["StackStatus"]) == ("CREATE_FAILED", "CREATE_FAILED")
    assert done["StackStatus"] == "CREATE_COMPLETE"
    assert parent["_resources"]["Builds"]["PhysicalResourceId"] == child["StackId"]
    assert [item["PhysicalResourceId"] for item in child["_resources"].values()] == ["one"]


def test_what_a_forgotten_nested_stack_had_made_is_its_parents(tmp_path: Path) -> None:
    """Protects the next deployment where a nested stack was not saved yet; what was retained before stays alone."""
    made = interrupted.Made(Store(tmp_path / "state.sqlite"))
    resource = {"ResourceType": "AWS::SSM::Parameter", "Properties": {}, "Attributes": {}}
    place = ("111111111111", "eu-west-1")
    made.note(*place, "s-Builds-1a-2b", "Project", {**resource, "PhysicalResourceId": "/new"})
    old = datetime(2026, 1, 1, tzinfo=UTC)
    made.note(*place, "s-Lake-3c-4d", "Bucket", {**resource, "PhysicalResourceId": "/retained", "time": old})
    made.note(*place, "other-5e", "Thing", {**resource, "PhysicalResourceId": "/other"})
    parent = stack("s", "CREATE_IN_PROGRESS")
    interrupted.fail([parent], made)
    assert {name: item["PhysicalResourceId"] for name, item in parent["_resources"].items()} == {
        "BuildsProject": "/new"
    }
    assert made.of(*place, "s-Builds-1a-2b") == []
    again = stack("s", "CREATE_IN_PROGRESS")
    interrupted.fail([again], made)
    assert set(again["_resources"]) == {"BuildsProject"}, "it is known until it is deleted"


@pytest.mark.parametrize(
    ("value", "missing"),
    [
        ({"Ref": "Nothing"}, "Nothing"),
        ({"Fn::GetAtt": ["Nothing", "Arn"]}, "Nothing"),
        ({"Fn::GetAtt": "Nothing.Arn"}, "Nothing"),
        ({"Fn::Sub": "a-${Nothing}-${!Literal}-${AWS::Region}"}, "Nothing"),
        ({"Fn::Sub": ["${Own}-${Given.Arn}", {"Own": {"Ref": "AWS::AccountId"}}]}, ""),
        ({"Fn::Join": ["", [{"Ref": "Given"}, {"Ref": "AWS::StackName"}]]}, ""),
    ],
)
def test_a_name_that_a_template_does_not_have_is_refused(value: Any, missing: str) -> None:
    """Protects against templates that deploy here and are refused by AWS."""
    template = {"Resources": {"Given": {"Type": "A::B::C", "Properties": {"Value": value}}}}
    if not missing:
        references.check(template)
        return
    with pytest.raises(ValueError, match=rf"Unresolved resource dependencies \[{missing}\] in the Resources block"):
        references.check(template)
