"""Pushes that start pipelines: each once, also when the server ends between the start and the note of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from localcloud.core.errors import Fault
from localcloud.core.store import Store
from localcloud.services.codecommit.git import GitRepository
from localcloud.services.codeconnections import provider
from localcloud.services.codepipeline.records import Place, Records
from localcloud.services.codepipeline.webhooks import Webhooks

PLACE = Place("111111111111", "eu-west-1", "build")
SOURCE = {
    "name": "Source",
    "actionTypeId": {"provider": "CodeStarSourceConnection"},
    "configuration": {"ConnectionArn": "arn:hub", "FullRepositoryId": "acme/delays", "BranchName": "main"},
}
DECLARATION = {"name": "build", "pipelineType": "V2", "stages": [{"name": "Source", "actions": [SOURCE]}]}


class Engine:
    """Notes what is started: (token, commit)."""

    def __init__(self, cloud: Any, records: Records) -> None:
        self.cloud, self.records = cloud, records
        self.started: list[tuple[str, str]] = []

    def start(self, place: Place, trigger: Any, *, overrides: list[dict[str, str]], token: str) -> None:
        self.started.append((token, overrides[0]["revisionValue"]))


class Bench:
    """One pipeline, one repository; `available` is the connection's state."""

    def __init__(self, folder: Path) -> None:
        self.store, self.git, self.available = Store(folder / "state"), GitRepository.create(folder / "bare"), True
        cloud = SimpleNamespace(store=self.store, service=lambda _: self)
        self.engine = Engine(cloud, Records(cloud))  # type: ignore[arg-type]
        self.engine.records.pipelines.put(*PLACE, {"declaration": DECLARATION})
        self.webhooks = Webhooks(self.engine)  # type: ignore[arg-type]

    def find(self, arn: str) -> dict[str, str]:
        return {"ConnectionArn": arn}

    def repository(self, record: dict[str, str], name: str) -> GitRepository:
        if not self.available:
            raise Fault("ResourceUnavailableException", "pending")
        return self.git

    def push(self, text: str) -> str:
        tree = self.git.write_tree({"a": ("100644", self.git.add_blob(text.encode()))}, None)
        commit = self.git.add_commit(tree, [], "Ada", "ada@example.com", text)
        self.git.run("update-ref", "refs/heads/main", commit)
        return commit

    def look(self) -> list[tuple[str, str]]:
        """What one look starts."""
        before = len(self.engine.started)
        for account, region, key, row in self.webhooks.table.all():
            self.webhooks._look(account, region, key, row, whole=True)
        return self.engine.started[before:]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.store.close()


def test_each_push_is_delivered_once(bench: Bench) -> None:
    """Protects from runs for nothing: what was there before, and what has been told of, starts none."""
    first = bench.push("first")
    bench.webhooks.install(PLACE, DECLARATION)
    assert bench.look() == []
    second = bench.push("second")
    (delivered,) = bench.look()
    assert delivered[1] == second
    assert bench.look() == []
    bench.git.run("update-ref", "refs/heads/main", first)
    (back,) = bench.look()
    bench.git.run("update-ref", "refs/heads/main", second)
    (again,) = bench.look()
    assert (back[1], again[1]) == (first, second)
    assert len({delivered[0], back[0], again[0]}) == 3, "a forced push to and fro is two pushes"


def test_a_server_that_ends_between_start_and_note_starts_no_second_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects from two runs of one push: the second delivery bears the same token, with which a start is the same."""
    bench.webhooks.install(PLACE, DECLARATION)
    bench.push("one")
    with monkeypatch.context() as patched:
        patched.setattr(bench.webhooks, "_keep", lambda *_: None)
        (first,) = bench.look()
    assert bench.look() == [first]
    assert bench.look() == []


def test_a_connection_that_becomes_available_starts_nothing_for_what_is_there(bench: Bench) -> None:
    """Protects who completes the handshake late: the history is not news, what is pushed from then on is."""
    bench.push("history")
    bench.available = False
    bench.webhooks.install(PLACE, DECLARATION)
    assert bench.look() == []
    bench.available = True
    assert bench.look() == []
    news = bench.push("news")
    assert [commit for _, commit in bench.look()] == [news]


def test_an_update_to_another_repository_begins_anew(bench: Bench) -> None:
    """Protects a pipeline that is pointed elsewhere: that repository's branches are no pushes; deletion ends it all."""
    bench.webhooks.install(PLACE, DECLARATION)
    bench.push("elsewhere")
    other = {**SOURCE, "configuration": {**SOURCE["configuration"], "FullRepositoryId": "acme/other"}}  # type: ignore[dict-item]
    bench.webhooks.install(PLACE, {**DECLARATION, "stages": [{"name": "Source", "actions": [other]}]})
    assert bench.look() == []
    without = {**SOURCE, "actionTypeId": {"provider": "CodeCommit"}}
    bench.webhooks.install(PLACE, {**DECLARATION, "stages": [{"name": "Source", "actions": [without]}]})
    assert not bench.webhooks.table.all()


def test_a_repository_that_stands_still_is_known_by_its_folders(bench: Bench) -> None:
    """Protects the watch from missing what it does not read: every way in which git moves a reference shows."""
    commit, seen = bench.push("one"), set()
    for command in (
        ("update-ref", "refs/heads/a/b", commit),
        ("pack-refs", "--all"),
        ("update-ref", "refs/heads/main", bench.push("two")),
        ("update-ref", "-d", "refs/heads/a/b"),
        ("tag", "v1", commit),
    ):
        time.sleep(0.02)  # longer than a tick of the file system's clock
        bench.git.run(*command)
        found = provider.fingerprint(bench.git)
        assert found == provider.fingerprint(bench.git)
        assert found not in seen, command
        seen.add(found)
