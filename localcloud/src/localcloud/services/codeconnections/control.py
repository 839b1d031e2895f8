"""What is done to connections on AWS without an API, and is caused from outside here: the handshake."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from localcloud.core import Fault, Route, outside

if TYPE_CHECKING:
    from localcloud.services.codeconnections.connections import Connections

PATH = "/_localcloud/codeconnections/connect"


def handshakes(service: Connections) -> Route:
    """`POST /_localcloud/codeconnections/connect` {"ConnectionArn", "Directory"}, for this machine alone."""

    def connect(given: dict[str, Any]) -> tuple[int, str]:
        arn, directory = str(given["ConnectionArn"]), Path(str(given["Directory"]))
        try:
            name = service.connect(arn, directory)
        except Fault as fault:
            return fault.status, fault.message
        return 200, f"connection {name} is available: its provider is {directory}"

    return outside.route(PATH, ("ConnectionArn", "Directory"), connect)
