"""State in one SQLite file: JSON documents by (kind, account, region, key).

WAL with synchronous=NORMAL: what was committed survives the death of the process at any moment.
"""

from __future__ import annotations

import base64
import json
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from localcloud.core.errors import Conflict

Document = dict[str, Any]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS record (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL, account TEXT NOT NULL, region TEXT NOT NULL, key TEXT NOT NULL, document TEXT NOT NULL,
    UNIQUE (kind, account, region, key)
);
CREATE TABLE IF NOT EXISTS base_entry (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    module TEXT NOT NULL, name TEXT NOT NULL, key TEXT NOT NULL, document TEXT NOT NULL,
    UNIQUE (module, name, key)
);
CREATE TABLE IF NOT EXISTS call (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    time TEXT NOT NULL, account TEXT NOT NULL, region TEXT NOT NULL, principal TEXT NOT NULL, action TEXT NOT NULL,
    resource TEXT NOT NULL, status INTEGER NOT NULL, error TEXT NOT NULL, context TEXT NOT NULL
);
"""

_ROOM = 4 << 20  # bytes; a transaction writes less


def _encode(value: Any) -> Any:
    if isinstance(value, datetime):
        return {"$time": value.isoformat()}
    if isinstance(value, bytes | bytearray):
        return {"$bytes": base64.b64encode(bytes(value)).decode()}
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be kept in the store: {value!r}")


def _decode(value: Document) -> Any:
    if len(value) == 1:
        if "$time" in value:
            return datetime.fromisoformat(value["$time"])
        if "$bytes" in value:
            return base64.b64decode(value["$bytes"])
    return value


_ENCODER = json.JSONEncoder(default=_encode, separators=(",", ":"))  # to make one takes as long as a small document
_DECODER = json.JSONDecoder(object_hook=_decode)


def dumps(document: Any) -> str:
    """JSON with datetimes and bytes tagged."""
    return _ENCODER.encode(document)


def loads(text: str) -> Any:
    """The inverse of `dumps`."""
    return _DECODER.decode(text)


def is_full(error: BaseException) -> bool:
    """Whether SQLite could not write for want of room."""
    return isinstance(error, sqlite3.OperationalError) and ("full" in str(error) or "disk I/O" in str(error))


class Store:
    """One SQLite database shared by all threads."""

    def __init__(self, path: Path, make_room: Callable[[], bool] = lambda: False) -> None:
        """Open or create. `make_room` is called when the disk is full; where it finds some, the write goes on."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._folder = path.parent
        self._make_room = make_room
        self._lock = threading.RLock()
        self._depth = 0
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=30)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.executescript(_SCHEMA)

    def table(self, kind: str) -> Table:
        """The documents of one kind, e.g. "codebuild.build"."""
        return Table(self, kind)

    def kinds(self) -> list[tuple[str, int]]:
        """Every kind that has documents, with their number."""
        rows = self.execute("SELECT kind, COUNT(*) FROM record GROUP BY kind ORDER BY kind")
        return [(str(kind), int(count)) for kind, count in rows]

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All writes inside happen together or not at all; threads take turns. May be nested."""
        with self._lock:
            if self._depth == 0:
                # A disk that fills at the end of a transaction loses it as a whole: room is made before it begins.
                if shutil.disk_usage(self._folder).free < _ROOM:
                    self._make_room()
                self._write("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield
                if self._depth == 1:
                    self._write("COMMIT")
            except BaseException:
                if self._depth == 1 and self._connection.in_transaction:  # SQLite may have rolled back by itself
                    self._connection.execute("ROLLBACK")
                raise
            finally:
                self._depth -= 1

    def execute(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows."""
        with self._lock:
            return self._write(sql, parameters).fetchall()

    def _write(self, sql: str, parameters: tuple[Any, ...] = ()) -> sqlite3.Cursor:
        open_before = self._connection.in_transaction
        try:
            return self._connection.execute(sql, parameters)
        except sqlite3.OperationalError as error:
            # Where SQLite gave up the whole transaction, one statement of it must not be tried again.
            lost = open_before and not self._connection.in_transaction
            made = is_full(error) and self._make_room()  # who tries the transaction again shall have it
            if lost or not made:
                raise
            return self._connection.execute(sql, parameters)

    def close(self) -> None:
        """Close the file; further use is an error."""
        with self._lock:
            self._connection.close()


class Table:
    """The documents of one kind. Documents are copies: change them by `put` or `update`."""

    def __init__(self, store: Store, kind: str) -> None:
        self.store = store
        self.kind = kind

    def get(self, account: str, region: str, key: str) -> Document | None:
        """The document, or None."""
        rows = self.store.execute(
            "SELECT document FROM record WHERE kind=? AND account=? AND region=? AND key=?",
            (self.kind, account, region, key),
        )
        return loads(rows[0][0]) if rows else None

    def put(self, account: str, region: str, key: str, document: Document) -> None:
        """Create or replace; a replaced document keeps its place in the order."""
        self.store.execute(
            "INSERT INTO record (kind, account, region, key, document) VALUES (?,?,?,?,?) "
            "ON CONFLICT (kind, account, region, key) DO UPDATE SET document=excluded.document",
            (self.kind, account, region, key, dumps(document)),
        )

    def insert(self, account: str, region: str, key: str, document: Document) -> None:
        """Create.

        Raises:
            Conflict: the key exists.
        """
        try:
            self.store.execute(
                "INSERT INTO record (kind, account, region, key, document) VALUES (?,?,?,?,?)",
                (self.kind, account, region, key, dumps(document)),
            )
        except sqlite3.IntegrityError:
            raise Conflict(key) from None

    def update(
        self, account: str, region: str, key: str, change: Callable[[Document], Document | None]
    ) -> Document | None:
        """Read, change and write as one step. Returns the new document, or None when there is none."""
        with self.store.transaction():
            document = self.get(account, region, key)
            if document is None:
                return None
            changed = change(document)
            result = document if changed is None else changed
            self.put(account, region, key, result)
            return result

    def delete(self, account: str, region: str, key: str) -> bool:
        """Whether there was such a document."""
        with self.store.transaction():
            found = self.get(account, region, key) is not None
            self.store.execute(
                "DELETE FROM record WHERE kind=? AND account=? AND region=? AND key=?",
                (self.kind, account, region, key),
            )
            return found

    def list(self, account: str, region: str) -> list[Document]:
        """All documents of an account and region, oldest first."""
        rows = self.store.execute(
            "SELECT document FROM record WHERE kind=? AND account=? AND region=? ORDER BY seq",
            (self.kind, account, region),
        )
        return [loads(row[0]) for row in rows]

    def all(self) -> Sequence[tuple[str, str, str, Document]]:
        """(account, region, key, document) of every document, oldest first."""
        rows = self.store.execute(
            "SELECT account, region, key, document FROM record WHERE kind=? ORDER BY seq", (self.kind,)
        )
        return [(row[0], row[1], row[2], loads(row[3])) for row in rows]
