"""What ministack acknowledges is on disk; and where that fails, the caller is told in the service's own protocol."""

from __future__ import annotations

import asyncio
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from localcloud.app import create
from localcloud.core.base import groups, snapshot, state


def test_a_busy_module_is_copied_all_the_same() -> None:
    """Protects calls under load: a dictionary that changes while it is copied is copied again, not given up."""
    attempts = 0

    def get_state() -> dict[str, int]:
        nonlocal attempts
        attempts += 1
        if attempts < 60:
            raise RuntimeError("dictionary changed size during iteration")
        return {"attempts": attempts}

    started = time.monotonic()
    assert state.patiently(get_state) == {"attempts": 60}
    assert time.monotonic() - started < state._PATIENCE_SECONDS


def test_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects against a call that hangs for ever."""
    monkeypatch.setattr(state, "_PATIENCE_SECONDS", 0.2)

    def get_state() -> dict[str, int]:
        raise RuntimeError("dictionary changed size during iteration")

    with pytest.raises(RuntimeError, match="dictionary changed"):
        state.patiently(get_state)


def test_a_real_module_that_changes_all_the_time() -> None:
    """Protects the assumption that an attempt succeeds sooner or later."""
    from ministack.services import iam

    stop = threading.Event()

    def fingerprint(_: snapshot.Place, entry: Any) -> int:
        return snapshot.fingerprint(entry)

    look = partial(groups.changed, before={}, whole=False, fingerprint=fingerprint)

    def change() -> None:
        number = 0
        while not stop.is_set():
            iam._roles._data[("111111111111", f"role-{number % 50}")] = {"RoleName": str(number)}
            iam._roles._data.pop(("111111111111", f"role-{(number + 25) % 50}"), None)
            number += 1

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(20):
            assert state._read(iam.get_state, look)
    finally:
        stop.set()
        thread.join()
        for key in [key for key in iam._roles._data if key[0] == "111111111111" and str(key[1]).startswith("role-")]:
            del iam._roles._data[key]


def test_a_failure_is_told_in_the_protocol_of_the_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects SDKs: an error code and a message that name what failed, never a bare "Internal Server Error"."""
    cloud, server = create(tmp_path, 4999)

    def broken(*_: Any) -> None:
        raise RuntimeError("dictionary changed size during iteration")

    assert cloud.base is not None
    monkeypatch.setattr(cloud.base.state, "save", broken)
    credential = "AWS4-HMAC-SHA256 Credential=111111111111/20260101/eu-west-1/iam/aws4_request, SignedHeaders=host"

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(server)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:4999") as client:
            return await client.post(
                "/", data={"Action": "CreateGroup", "GroupName": "x", "Version": "2010-05-08"},
                headers={"Authorization": credential},
            )  # fmt: skip

    try:
        answer = asyncio.run(ask())
    finally:
        monkeypatch.undo()
        cloud.stopping.set()
        server.close()
        cloud.close()
    assert answer.status_code == 500
    assert "<Code>InternalFailure</Code>" in answer.text
    assert "iam failed in the local cloud: RuntimeError" in answer.text
