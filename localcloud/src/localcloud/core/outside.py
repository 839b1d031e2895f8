"""What happens on AWS without an API call, and is caused here by a command on this machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse

from localcloud.core.service import Route


def route(
    path: str, needed: Sequence[str], act: Callable[[dict[str, Any]], tuple[int, str]], optional: Sequence[str] = ()
) -> Route:
    """A path that takes a JSON object by POST, from this machine alone, and answers {"message"}.

    Args:
        needed: members that the object must have.
        act: called with it on a thread; returns status and message.
        optional: members that it may have.
    """

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
        except ValueError:
            given = None
        if not isinstance(given, dict) or not set(needed) <= set(given):
            also = f", and may have {_named(optional)}" if optional else ""
            return 400, f"the body must be a JSON object with {_named(needed)}{also}"
        return await run_in_threadpool(act, given)

    return Route(path, app)


def _named(members: Sequence[str]) -> str:
    return " and ".join(f'"{name}"' for name in members)
