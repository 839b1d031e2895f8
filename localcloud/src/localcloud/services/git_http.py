"""Git's smart HTTP protocol: who asks, and `git http-backend` as a CGI child, streamed both ways."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs

from localcloud.core import Cloud, now
from localcloud.services.codecommit import access
from localcloud.services.codecommit.git import environment

log = logging.getLogger(__name__)

# What git asks AWS's own hosts for, builds ask for below this path: /_git/{host}/…
HOSTED = "/_git/"
_CHUNK = 1 << 16
_ACTIONS = {"git-upload-pack": "GitPull", "git-receive-pack": "GitPush"}

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
T = TypeVar("T")


class Answer(Exception):
    """The request ends with this plain answer."""

    def __init__(self, status: int, text: str, **headers: str) -> None:
        super().__init__(text)
        self.status, self.text, self.headers = status, text, headers


@dataclass(frozen=True)
class Work:
    """One request to one repository.

    Args:
        directory: of the bare repository.
        inner: what follows the repository's address, e.g. "info/refs".
        principal: who asks.
        about: the resource, for the log.
        variables: more of the child's environment.
    """

    directory: Path
    inner: str
    principal: str
    about: str
    variables: Mapping[str, str] = field(default_factory=dict)


def headers_of(scope: Scope) -> dict[str, str]:
    """The request's headers, names in lower case."""
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


def host_of(headers: Mapping[str, str]) -> str:
    """The host that was asked, without its port."""
    header = headers.get("host", "")
    return header.rsplit(":", 1)[0] if ":" in header else header


def action_of(scope: Scope, inner: str) -> str:
    """ "GitPull" or "GitPush".

    Raises:
        Answer: git asks no such thing.
    """
    query = parse_qs(scope["query_string"].decode("latin-1"))
    action = _ACTIONS.get(query.get("service", [inner])[0] if inner == "info/refs" else inner)
    if action is None or scope["method"] != ("GET" if inner == "info/refs" else "POST"):
        raise Answer(404, f"{scope['method']} {scope['path']} is nothing that git's smart HTTP protocol asks for")
    return action


def caller(cloud: Cloud, basic: access.Basic) -> access.Caller:
    """Who has these credentials.

    Raises:
        Refused: nobody, or not any more.
    """
    base = cloud.base
    assert base is not None
    found = base.identity(basic.access_key)
    if found is None:
        raise access.Refused(f"The access key {basic.access_key} is not known")
    secret, token, expiry = base.identities.secret(basic.access_key) or (None, None, None)
    if secret is None and basic.access_key != found[0]:
        raise access.Refused(f"The access key {basic.access_key} is not active")
    if expiry is not None and expiry < now().timestamp():
        raise access.Refused(f"The session of the access key {basic.access_key} has expired: sign in again")
    if secret is not None and token != basic.session_token:
        raise access.Refused(f"The session token does not belong to the access key {basic.access_key}")
    return access.Caller(found[0], found[1], basic.access_key, secret)


async def serve(
    scope: Scope, headers: Mapping[str, str], receive: Receive, send: Send, work: Work, after: Callable[[], T]
) -> tuple[int, T]:
    """Answer a request. Returns the answer's status and what `after` said.

    `after` is called on a thread when git is done and before the person's git ends; once more where the client went
    away, since what it pushed before that may stand.
    """
    child = await asyncio.create_subprocess_exec(
        "git",
        "http-backend",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=_cgi(scope, headers, work),
        cwd=work.directory,
        limit=1 << 20,
        start_new_session=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stderr is not None
    feeding = asyncio.create_task(_feed(receive, child.stdin))
    complaints = asyncio.create_task(child.stderr.read())
    try:
        status, listed = await _head(child.stdout)
        await send({"type": "http.response.start", "status": status, "headers": listed})
        while chunk := await child.stdout.read(_CHUNK):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await child.wait()
        said = await asyncio.get_running_loop().run_in_executor(None, after)
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    finally:
        feeding.cancel()
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            await child.wait()
            await asyncio.get_running_loop().run_in_executor(None, after)
        complained = (await complaints).decode(errors="replace").strip()
        if complained:
            log.info("git http-backend, %s: %s", work.about, complained)
    return status, said


async def plain(send: Send, answer: Answer) -> None:
    """Send a plain answer; git shows its text."""
    body = (answer.text + os.linesep).encode()
    listed = [(name.encode(), value.encode()) for name, value in answer.headers.items()]
    listed += [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": answer.status, "headers": listed})
    await send({"type": "http.response.body", "body": body})


def _cgi(scope: Scope, headers: Mapping[str, str], work: Work) -> dict[str, str]:
    """The variables of RFC 3875 that git-http-backend(1) reads."""
    variables = {
        **environment(),
        "GIT_PROJECT_ROOT": str(work.directory),
        "GIT_HTTP_EXPORT_ALL": "1",
        "GATEWAY_INTERFACE": "CGI/1.1",
        "REQUEST_METHOD": scope["method"],
        "PATH_INFO": f"/{work.inner}",
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_USER": work.principal,
        "REMOTE_ADDR": "127.0.0.1",
        **work.variables,
    }
    for header, variable in (
        ("content-type", "CONTENT_TYPE"),
        ("content-length", "CONTENT_LENGTH"),
        ("content-encoding", "HTTP_CONTENT_ENCODING"),
        ("git-protocol", "GIT_PROTOCOL"),
    ):
        if header in headers:
            variables[variable] = headers[header]
    return variables


async def _feed(receive: Receive, stdin: asyncio.StreamWriter) -> None:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                break
            stdin.write(message.get("body", b""))
            await stdin.drain()
            if not message.get("more_body"):
                break
    with contextlib.suppress(OSError):
        stdin.close()


async def _head(stdout: asyncio.StreamReader) -> tuple[int, list[tuple[bytes, bytes]]]:
    status, listed = 200, []
    while line := (await stdout.readline()).strip():
        name, _, value = line.partition(b":")
        if name.lower() == b"status":
            status = int(value.split()[0])
        else:
            listed.append((name.strip().lower(), value.strip()))
    if not listed:
        status = 500
    return status, listed
