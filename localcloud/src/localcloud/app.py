"""Puts the local cloud together and serves it."""

from __future__ import annotations

import gc
import logging
import signal
import sqlite3
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from localcloud.core import ResourceType, Service
from localcloud.core.base import Base, prepare_environment
from localcloud.core.cloud import ACCOUNTS, REGION, Cloud
from localcloud.core.server import Server
from localcloud.home import NO_ROOM, HomeInUse, PortInUse, check_port, hold, lacks_room, reason_of
from localcloud.services import account_types, ec2_types, kept_types, load_services
from localcloud.services.kept_readers import READERS

logger = logging.getLogger("localcloud")

# Objects made before the young are looked at, and how often the older: requests make many that live a moment.
_COLLECT = (10_000, 20, 20)


def create(home: Path, port: int, region: str = REGION) -> tuple[Cloud, Server]:
    """The local cloud, with its state restored, before it listens."""
    home.mkdir(parents=True, exist_ok=True)
    prepare_environment(home, port, region, ACCOUNTS[0])
    cloud = Cloud(home, f"http://127.0.0.1:{port}", region)
    cloud.room.take()
    cloud.base = Base(cloud)
    services = [service(cloud) for service in load_services()]
    cloud.services = {service.name: service for service in services}
    for service in services:
        targets = getattr(service, "event_target", None)
        if targets is not None:
            cloud.base.events.add_target(service.name, targets)
    cloud.base.load()
    return cloud, Server(cloud, services, READERS)


def declared_types(services: Sequence[Service]) -> list[ResourceType]:
    """The CloudFormation types that the services declare, and those that ministack's own services lack."""
    declared = [
        resource if resource.service else replace(resource, service=service.name)
        for service in services
        for resource in service.resources
    ]
    return [*declared, *ec2_types.RESOURCES, *account_types.RESOURCES, *kept_types.RESOURCES]


def serve(home: Path, port: int, region: str = REGION) -> int:
    """Serve until SIGTERM or SIGINT.

    Raises:
        PortInUse: the port is taken.
        HomeInUse: another local cloud has this state.
    """
    check_port(port)
    lock = hold(home, port)
    # What is read at the start stays to the end: the collector need not walk through it, now or later.
    gc.disable()
    import uvicorn

    cloud, server = create(home, port, region)
    assert cloud.base is not None
    cloud.processes.end_orphans()
    config = uvicorn.Config(
        server, host="127.0.0.1", port=port, log_level="warning", access_log=False, lifespan="on",
        timeout_keep_alive=75, timeout_graceful_shutdown=2, h11_max_incomplete_event_size=1 << 20,
    )  # fmt: skip
    http = uvicorn.Server(config)

    def stop(*_: Any) -> None:
        cloud.stopping.set()
        http.should_exit = True

    def recover() -> None:
        while not http.started and not cloud.stopping.is_set():
            threading.Event().wait(0.01)
        for service in cloud.services.values():
            try:
                service.recover()
            except Exception:
                logger.exception("%s could not recover", service.name)

    def load_stacks() -> None:
        assert cloud.base is not None
        try:
            cloud.base.load_stacks(declared_types(list(cloud.services.values())))
        finally:
            gc.freeze()
            gc.set_threshold(*_COLLECT)
            gc.enable()

    # uvicorn sets its own handlers while it runs; ours also tell the background tasks.
    http.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    http.capture_signals = _no_signals  # type: ignore[method-assign]
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    cloud.task("stacks", load_stacks)
    cloud.task("recover", recover)
    cloud.task("save", server.keep_saving)
    try:
        http.run()
    finally:
        cloud.stopping.set()
        server.close()
        cloud.close()
        lock.close()
    return 0 if http.started else 1


class _NoSignals:
    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


def _no_signals() -> Any:
    return _NoSignals()


def main_serve(home: Path, port: int, region: str) -> int:
    """`localcloud serve`, with one clear message for what a user can mend."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("localcloud").setLevel(logging.INFO)
    try:
        return serve(home, port, region)
    except (PortInUse, HomeInUse) as error:
        print(f"localcloud: {error}", file=sys.stderr)
        return 1
    except (OSError, sqlite3.Error) as error:
        if not lacks_room(error):
            raise
        print(f"localcloud: {home} cannot be written: {reason_of(error)}. {NO_ROOM}", file=sys.stderr)
        return 1
