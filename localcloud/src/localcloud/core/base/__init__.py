"""The one package that touches ministack's internals: everything that the local cloud adds to it from outside.

ministack has no plug-in API, so its dictionaries are filled and a few of its functions wrapped. `internals.EXPECTED`
names each of them; `check_internals` fails by name when one has moved, and a test calls it, so that an upgrade cannot
break the local cloud silently.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from typing import Any

from localcloud.core import service_models
from localcloud.core.base import buckets, census, endpoint_services, functions, requests, simulation
from localcloud.core.base.events import Events, Target
from localcloud.core.base.identity import Identities
from localcloud.core.base.internals import check_internals, prepare_environment
from localcloud.core.base.mails import Mails
from localcloud.core.base.scope import scope
from localcloud.core.base.stacks import Stacks
from localcloud.core.base.state import State
from localcloud.core.base.trails import Trails
from localcloud.core.cfn import ResourceType
from localcloud.core.cloud import Cloud
from localcloud.inventory import Resource

__all__ = ["Base", "Target", "check_internals", "prepare_environment", "scope"]

logger = logging.getLogger("localcloud.base")


class Base:
    """ministack, extended."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.identities = Identities(cloud)
        service_models.install()
        buckets.install(self.identities)
        Mails(cloud.home, cloud.endpoint).install()
        self.events = Events(cloud)
        self.stacks = Stacks(cloud)
        self.trails = Trails()
        self.state = State(cloud.store)

    @property
    def app(self) -> Any:
        """ministack's ASGI application."""
        from ministack import app

        return app.app

    def identity(self, access_key: str) -> tuple[str, str] | None:
        """(account, principal ARN) of an access key, or None when it is unknown."""
        return self.identities.identity(access_key)

    def scope(self, account: str, region: str) -> contextlib.AbstractContextManager[None]:
        """Run in-process calls of ministack as that account and region."""
        return scope(account, region)

    def load(self) -> None:
        """Restore the saved state of everything but CloudFormation."""
        self.state.load(lambda name: name != "cloudformation")

    def load_stacks(self, resources: Sequence[ResourceType]) -> None:
        """Restore CloudFormation and teach it our types.

        It takes ministack a second or more to import CloudFormation, which has every other service behind it. This runs
        while the server already answers; requests to CloudFormation wait for `stacks.ready`.
        """
        missing = check_internals()
        if missing:
            logger.error("ministack has changed: %s not found; pin the version that has them", ", ".join(missing))
        self.stacks.install()
        functions.install(self.cloud, self.identities)
        endpoint_services.install()
        simulation.install()
        self.stacks.add_resource_types(resources)
        self.state.load(lambda name: name == "cloudformation")
        self.stacks.fail_interrupted()
        self.stacks.ready.set()

    def resources(self) -> Iterator[Resource]:
        """What ministack's services hold; waits until CloudFormation's state is there."""
        self.stacks.ready.wait()
        return census.resources(self.state)

    def is_service(self, signing_name: str) -> bool:
        """Whether ministack has a service of that very name."""
        from ministack import app

        return signing_name in app.SERVICE_HANDLERS

    def serves(self, method: str, path: str, headers: dict[str, str], query: dict[str, list[str]]) -> bool:
        """Whether one of ministack's services answers a request."""
        from ministack import app
        from ministack.core import router

        return router.detect_service(method, path, headers, query) in app.SERVICE_HANDLERS

    def describe(
        self, service: str, method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, list[str]],
        account: str, region: str,
    ) -> tuple[str, str, dict[str, Any]]:  # fmt: skip
        """(IAM action, resource ARN, what else the record keeps) of a request to one of ministack's services."""
        return requests.describe(service, method, path, headers, body, query, account, region)
