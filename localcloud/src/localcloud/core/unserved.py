"""Services that are asked for seldom or not served at all: nothing of them is loaded before the first request.

What nobody answers is refused by name. A service of which resources are kept as records answers what reads them.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from botocore.exceptions import UnknownServiceError

from localcloud.core import model
from localcloud.core.errors import Fault
from localcloud.core.service import Service

if TYPE_CHECKING:
    from localcloud.core.cloud import Cloud

# Signing name → botocore's name of the service, where they differ.
_NAMES = {"access-analyzer": "accessanalyzer"}


class Unserved:
    """Finds the model of a service when it is first asked for.

    Args:
        cloud: the cloud.
        readers: services that answer some operations from records.
    """

    def __init__(self, cloud: Cloud, readers: tuple[type[Service], ...]) -> None:
        self._cloud = cloud
        self._readers = {reader.name: reader for reader in readers}
        self._found: dict[str, tuple[model.Wire, Service] | None] = {}
        self._lock = threading.Lock()

    def concerns(self, signing_name: str, method: str, path: str, headers: dict[str, str], query: str) -> bool:
        """Whether nobody else answers a signed request."""
        base = self._cloud.base
        if not signing_name or base is None or base.is_service(signing_name):
            return False
        return not base.serves(method, path, headers, parse_qs(query, keep_blank_values=True))

    def find(self, signing_name: str) -> tuple[model.Wire, Service] | None:
        """The service; None where botocore has none of that name, or where it does not speak JSON."""
        with self._lock:
            if signing_name not in self._found:
                self._found[signing_name] = self._load(_NAMES.get(signing_name, signing_name))
            return self._found[signing_name]

    def _load(self, name: str) -> tuple[model.Wire, Service] | None:
        try:
            protocol = model.load(name).metadata["protocol"]
        except UnknownServiceError:
            return None
        if protocol not in ("json", "rest-json"):
            return None
        kind = self._readers.get(name) or type("Unread", (Service,), {"name": name})
        return model.Wire(name), kind(self._cloud)


def refusal(signing_name: str, method: str, path: str, body: bytes) -> Fault:
    """What is answered where the model is not known: the Query protocol names the operation in its body."""
    action = parse_qs(body.decode(errors="replace")).get("Action", [""])[0] if b"Action=" in body else ""
    return Fault(
        "NotImplemented", f"{signing_name} {action or f'{method} {path}'} is not served by the local cloud.", 501
    )
