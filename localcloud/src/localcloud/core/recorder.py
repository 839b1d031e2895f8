"""Every API call, kept: who did what on what, and how it ended. Tests replay the record against the policies."""

from __future__ import annotations

import json
import logging
import queue
import sqlite3
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from localcloud.core.ids import now
from localcloud.core.store import Store

logger = logging.getLogger("localcloud")

_MOST_WAITING = 10_000  # calls; some 10 MB
_SECONDS_BETWEEN_TRIES = 1.0


@dataclass(frozen=True)
class Recorded:
    """One call.

    Args:
        account, region: where it was served.
        principal: ARN of who called; the name of an AWS service, e.g. "events.amazonaws.com", where that acted.
        action: as IAM names it.
        resource: ARN, the first where there are several; "*" where the action takes none.
        status: of the answer, as HTTP has it.
        error: AWS's code.
        context: `authorization.Authorized.context`, and `session_tags` of the principal.
    """

    account: str
    region: str
    principal: str
    action: str
    resource: str
    status: int
    error: str = ""
    context: dict[str, Any] = field(default_factory=dict)


class Recorder:
    """Writes calls in batches on a thread of its own, so that recording costs a request nothing."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._queue: queue.Queue[tuple[str, Recorded] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._write, name="recorder", daemon=True)
        self._thread.start()

    def add(self, call: Recorded) -> None:
        """Keep a call."""
        self._queue.put((now().isoformat(), call))

    def assumed(self, role: str, service: str, source: str, region: str) -> None:
        """Keep that an AWS service took a role, and what its trust policy is told: whose account, which resource."""
        account = role.split(":")[4]
        keys = {"aws:SourceAccount": source.split(":")[4] or account if source else account}
        if source:
            keys["aws:SourceArn"] = source
        self.add(Recorded(account, region, service, "sts:AssumeRole", role, 200, "", {"keys": keys}))

    def close(self) -> None:
        """Write what waits."""
        self._queue.put(None)
        self._thread.join(5)

    def _write(self) -> None:
        ended = False
        waiting: list[tuple[str, Recorded]] = []
        while not ended:
            batch = [self._queue.get()]
            while not self._queue.empty():
                batch.append(self._queue.get_nowait())
            ended = None in batch
            held = bool(waiting)
            waiting += [item for item in batch if item is not None]
            try:
                self._keep(waiting)
            except sqlite3.OperationalError as error:
                # The disk is full, which must not end what is asked: the calls wait for room, and for the next call.
                if not held:
                    logger.warning("calls cannot be recorded, and wait: %s", error)
                del waiting[_MOST_WAITING:]
                if not ended:
                    time.sleep(_SECONDS_BETWEEN_TRIES)
            else:
                waiting.clear()

    def _keep(self, items: list[tuple[str, Recorded]]) -> None:
        with self._store.transaction():
            for moment, call in items:
                self._store.execute(
                    "INSERT INTO call (time, account, region, principal, action, resource, status, error, context) "
                    "VALUES (?,?,?,?,?,?,?,?,?)",
                    (
                        moment, call.account, call.region, call.principal, call.action, call.resource, call.status,
                        call.error, json.dumps(call.context),
                    ),
                )  # fmt: skip


def calls(store: Store) -> list[dict[str, Any]]:
    """All recorded calls, oldest first."""
    names = ("time", "account", "region", "principal", "action", "resource", "status", "error", "context")
    rows = store.execute(f"SELECT {', '.join(names)} FROM call ORDER BY seq")  # noqa: S608 - constant names
    return [{**dict(zip(names, row, strict=True)), "context": json.loads(row[-1])} for row in rows]
