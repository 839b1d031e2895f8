"""What is done to connections on AWS without an API, and is caused from outside here: the handshake."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse

from localcloud.core import Fault, Route

if TYPE_CHECKING:
    from localcloud.services.codeconnections.connections import Connections

PATH = "/_localcloud/codeconnections/connect"


def handshakes(service: Connections) -> Route:
    """`POST /_localcloud/codeconnections/connect` {"ConnectionArn", "Directory"}, for this machine alone."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        status, message = await _answer(Request(scope, receive))
        await JSONResponse({"message": message}, status)(scope, receive, send)

    async def _answer(request: Request) -> tuple[int, str]:
        if request.client is None or request.client.host not in ("127.0.0.1", "::1"):
            return 403, "for this machine alone"
        if request.method != "POST":
            return 405, f"{request.method} is not allowed here; allowed is POST"
        try:
            given = json.loads(await request.body() or b"{}")
            arn, directory = str(given["ConnectionArn"]), Path(str(given["Directory"]))
        except (ValueError, KeyError, TypeError):
            return 400, 'the body must be a JSON object with "ConnectionArn" and "Directory"'
        try:
            name = await run_in_threadpool(service.connect, arn, directory)
        except Fault as fault:
            return fault.status, fault.message
        return 200, f"connection {name} is available: its provider is {directory}"

    return Route(PATH, app)
