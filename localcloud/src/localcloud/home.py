"""The folder and the port that a local cloud has to itself."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import sqlite3
import time
from pathlib import Path
from typing import IO

NO_ROOM = "Make room there, or choose another folder by LOCALCLOUD_HOME; nothing that was acknowledged is lost."
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)
_ATTEMPTS = 10


class PortInUse(Exception):
    """The port cannot be had."""


class HomeInUse(Exception):
    """Another local cloud works on the same state: two would destroy it."""

    def __init__(self, home: Path, port: int | None) -> None:
        super().__init__(
            f"the state in {home} is in use by a local cloud on port {port or 'unknown'}. Go on with that one by "
            f"LOCALCLOUD_PORT={port or '…'}, stop it by make down, or choose another folder by LOCALCLOUD_HOME."
        )


def check_port(port: int) -> None:
    """Refuse a port that is taken, before anything is touched.

    Raises:
        PortInUse: with the mend.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            problem = "is in use by another program" if taken else f"cannot be opened: {error.strerror}"
            mend = "Stop that program, or choose" if taken else "Choose"
            free = port + 1 if 1024 <= port < 65535 else 4566
            message = f"port {port} on 127.0.0.1 {problem}. {mend} another port by LOCALCLOUD_PORT={free}"
            raise PortInUse(message) from error


def hold(home: Path, port: int) -> IO[str]:
    """Take the home for this process; the system gives it free when the process ends, however it ends.

    Raises:
        HomeInUse: another process has it.
    """
    home.mkdir(parents=True, exist_ok=True)
    lock = (home / "lock").open("a+")
    for attempt in range(_ATTEMPTS):  # `held` takes the lock for a moment, too
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError as error:
            if attempt == _ATTEMPTS - 1:
                lock.close()
                raise HomeInUse(home, _port(home)) from error
            time.sleep(0.05)
    lock.truncate(0)
    lock.write(f"{port}\n")
    lock.flush()
    (home / "pid").write_text(str(os.getpid()))
    return lock


def held(home: Path) -> int | None:
    """The port of the local cloud that has this home (0 while it is not known yet), or None."""
    try:
        with (home / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except BlockingIOError:
        return _port(home) or 0
    return None


def _port(home: Path) -> int | None:
    try:
        return int((home / "lock").read_text())
    except (OSError, ValueError):
        return None


def lacks_room(error: BaseException) -> bool:
    """Whether the folder cannot take what is written to it: a full disk, a quota, no permission."""
    if isinstance(error, sqlite3.Error):
        return any(text in str(error) for text in ("full", "readonly", "unable to open", "disk I/O"))
    return isinstance(error, OSError) and error.errno in _NO_ROOM


def reason_of(error: BaseException) -> str:
    """The system's words, without the exception's name."""
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
