"""The registry's own protocol (`/v2/`), which a Docker engine speaks: refused by name.

Images of the local cloud lie in the runtime's store, and the `docker` command of a build puts them there without a
registry between. A push that ended anywhere else would succeed and be seen by nobody.
"""

from __future__ import annotations

import json
from typing import Any

_MESSAGE = (
    "the registry protocol is not served by the local cloud: images are pushed and pulled by the docker command "
    "within a build, and looked at by the API of ECR"
)


async def refuse(scope: Any, receive: Any, send: Any) -> None:
    """Answer as a registry does that lacks an operation."""
    body = json.dumps({"errors": [{"code": "UNSUPPORTED", "message": _MESSAGE}]}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"docker-distribution-api-version", b"registry/2.0"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": 501, "headers": headers})
    await send({"type": "http.response.body", "body": body})
