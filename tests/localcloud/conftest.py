"""One local cloud for the session, on a free port, with a home of its own."""

from __future__ import annotations

import fcntl
import functools
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import boto3
import pytest
from botocore.config import Config

REGION = "eu-west-1"
TOOLING, STAGING, PRODUCTION = "111111111111", "222222222222", "333333333333"


@dataclass
class LocalCloud:
    """A running local cloud."""

    home: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        from localcloud.cli import healthy

        self.home.mkdir(parents=True, exist_ok=True)
        with (self.home / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "localcloud", "--home", str(self.home), "--port", str(self.port), "serve"],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, env={**os.environ, **self.extra},
            )  # fmt: skip
        deadline = time.monotonic() + 60
        while not healthy(self.port):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the local cloud did not start:\n" + (self.home / "log").read_text()[-4000:])
            time.sleep(0.05)

    def kill(self) -> None:
        """kill -9, as a power cut."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        assert self.process is not None
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()

    def client(self, service: str, account: str = TOOLING, **credentials: str) -> Any:
        """A boto3 client as the account's root, or with given credentials."""
        return boto3.client(
            service, endpoint_url=self.endpoint, region_name=REGION,
            aws_access_key_id=credentials.get("access_key", account),
            aws_secret_access_key=credentials.get("secret_key", "test"),
            aws_session_token=credentials.get("token"),
            config=Config(retries={"max_attempts": 1}, read_timeout=120, s3={"addressing_style": "path"}),
        )  # fmt: skip

    def environment(self, account: str = TOOLING) -> dict[str, str]:
        """The environment of the `aws` command as the account's root."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
        return {
            **kept,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": account,
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_PAGER": "",
        }


_FIRST_PORT, _PORTS, _RANGES = 14600, 50, 40


@functools.cache
def _ports() -> tuple[range, IO[str]]:
    """The ports that are this process's own, and the lock that keeps them so until it ends.

    Without it, test runs beside each other would find the same port free, and one would talk to the other's cloud.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    for number in range(worker, worker + _RANGES):
        lock = (Path(tempfile.gettempdir()) / f"localcloud-test-ports-{number}").open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        first = _FIRST_PORT + _PORTS * number
        return range(first, first + _PORTS), lock
    raise RuntimeError(f"{_RANGES} test runs have taken all the ports")


def free_port() -> int:
    """The lowest free port of this process's own: few, because package clients keep what they fetch by its address.

    With any free port, every local cloud of every test run would leave one more copy of all its packages in uv's cache.
    """
    ports, _ = _ports()
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError(f"none of the ports {ports.start} to {ports.stop - 1} is free")


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """Shared by the tests of a worker: use names of your own."""
    running = LocalCloud(tmp_path_factory.mktemp("cloud") / "home", free_port())
    running.start()
    yield running
    running.stop()


@pytest.fixture
def own_cloud(tmp_path: Path) -> Iterator[LocalCloud]:
    """One's own, to kill and start again."""
    running = LocalCloud(tmp_path / "home", free_port())
    running.start()
    yield running
    running.stop()
