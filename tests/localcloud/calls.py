"""Reading the record of calls."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from typing import Any

from tests.localcloud.conftest import LocalCloud


def record(cloud: LocalCloud, **where: str) -> list[dict[str, Any]]:
    """The recorded calls with these columns."""
    names = ("principal", "action", "resource", "status", "context")
    clause = " AND ".join(f"{name}=?" for name in where) or "1"
    database = sqlite3.connect(f"file:{cloud.home / 'localcloud.sqlite'}?mode=ro", uri=True)
    rows = database.execute(f"SELECT {', '.join(names)} FROM call WHERE {clause} ORDER BY seq", tuple(where.values()))
    return [{**dict(zip(names, row, strict=True)), "context": json.loads(row[-1])} for row in rows]


def awaited(find: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """What is found, once there is something: the record is written a moment after the answer."""
    for _ in range(200):
        found = find()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("nothing was recorded")
