"""Git's smart HTTP protocol at /v1/repos/{name}: `git http-backend` as a CGI child, streamed both ways."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import tempfile
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote

from localcloud.core import now
from localcloud.core.recorder import Recorded
from localcloud.services.codecommit import access
from localcloud.services.codecommit.base import Change
from localcloud.services.codecommit.git import PUSHED_REFS, environment

if TYPE_CHECKING:
    from localcloud.services.codecommit.service import CodeCommit

log = logging.getLogger(__name__)

PREFIX = "/v1/repos/"
_CHUNK = 1 << 16
_SERVICES = {"git-upload-pack": "GitPull", "git-receive-pack": "GitPush"}

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


@dataclass(frozen=True)
class Target:
    """The repository that a request is about, and what is asked of it."""

    account: str
    region: str
    name: str
    inner: str
    action: str
    principal: str
    session_tags: dict[str, str]

    @property
    def arn(self) -> str:
        return f"arn:aws:codecommit:{self.region}:{self.account}:{self.name}"


class Answer(Exception):
    """The request ends with this plain answer."""

    def __init__(self, status: int, text: str, **headers: str) -> None:
        super().__init__(text)
        self.status, self.text, self.headers = status, text, headers


class SmartHttp:
    """An ASGI application. The caller's account says whose repository is meant, the signature which region's."""

    def __init__(self, service: CodeCommit) -> None:
        self.service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one of git's requests."""
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        loop = asyncio.get_running_loop()
        try:
            target = await loop.run_in_executor(None, self._target, scope, headers)
        except Answer as answer:
            await _plain(send, answer)
            return
        with tempfile.TemporaryDirectory(prefix="push-") as scratch:
            note = Path(scratch) / "references"
            status, pushed = await self._backend(scope, headers, receive, send, target, note)
        self._record(target, status, pushed)

    # -- who and what -------------------------------------------------------------------------------------------

    def _target(self, scope: Scope, headers: dict[str, str]) -> Target:
        name, _, inner = scope["path"].removeprefix(PREFIX).partition("/")
        query = parse_qs(scope["query_string"].decode("latin-1"))
        action = _SERVICES.get(query.get("service", [inner])[0] if inner == "info/refs" else inner)
        if action is None or scope["method"] != ("GET" if inner == "info/refs" else "POST"):
            raise Answer(404, f"{scope['method']} {scope['path']} is nothing that git's smart HTTP protocol asks for")
        self.service.recovered.wait(10)
        try:
            basic = access.parse(headers.get("authorization", ""))
            caller = self._caller(basic)
            regions = self._regions(caller.account, name)
            region = access.check(
                basic, caller, regions=regions, path=unquote(f"{PREFIX}{name}"), host=_host(headers.get("host", ""))
            )
        except access.Refused as refused:
            raise Answer(401, str(refused), **{"www-authenticate": 'Basic realm="AWS CodeCommit"'}) from None
        base = self.service.cloud.base
        tags = base.identities.session_tags(basic.access_key) if base else {}
        target = Target(caller.account, region or regions[0], name, inner, action, caller.principal, tags)
        if self.service.repositories.get(target.account, target.region, name) is None:
            self._record(target, 404)
            raise Answer(404, f"The repository {name} does not exist in account {target.account}, {target.region}")
        return target

    def _caller(self, basic: access.Basic) -> access.Caller:
        base = self.service.cloud.base
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

    def _regions(self, account: str, name: str) -> list[str]:
        """Where the account has a repository of that name; the default region first, and always."""
        has = {region for owner, region, key, _ in self.service.repositories.all() if (owner, key) == (account, name)}
        default = self.service.cloud.region
        return sorted(has, key=lambda region: (region != default, region)) + ([default] if default not in has else [])

    def _record(self, target: Target, status: int, pushed: Sequence[str] = ()) -> None:
        """As IAM is asked: once for each reference of a push, and without one where git only asks what there is."""
        recorder = self.service.cloud.recorder
        if recorder is None:
            return
        action = f"codecommit:{target.action}"
        common: dict[str, Any] = {"session_tags": target.session_tags} if target.session_tags else {}
        for reference in pushed or ("",):
            context = common | ({"keys": {"codecommit:References": reference}} if reference else {})
            recorder.add(Recorded(
                target.account, target.region, target.principal, action, target.arn, status, context=context
            ))  # fmt: skip

    # -- git http-backend ---------------------------------------------------------------------------------------

    async def _backend(
        self, scope: Scope, headers: dict[str, str], receive: Receive, send: Send, target: Target, note: Path
    ) -> tuple[int, list[str]]:
        """The answer's status, and the references that a push changed."""
        directory = self.service.directory(target.account, target.region, target.name)
        child = await asyncio.create_subprocess_exec(
            "git",
            "http-backend",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=_cgi(scope, headers, target, directory, note),
            cwd=directory,
            limit=1 << 20,
            start_new_session=True,
        )
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        feeding = asyncio.create_task(_feed(receive, child.stdin))
        complaints = asyncio.create_task(child.stderr.read())
        status, pushed = 500, list[str]()
        try:
            status, listed = await _head(child.stdout)
            await send({"type": "http.response.start", "status": status, "headers": listed})
            while chunk := await child.stdout.read(_CHUNK):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await child.wait()
            # The person's `git push` ends when this answer does: by then the push has been told of.
            pushed = await asyncio.get_running_loop().run_in_executor(None, self._announce, target, note)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            feeding.cancel()
            if child.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
                await child.wait()
                # The client went away, but what it pushed before that may stand.
                await asyncio.get_running_loop().run_in_executor(None, self._announce, target, note)
            said = (await complaints).decode(errors="replace").strip()
            if said:
                log.info("git http-backend, %s: %s", target.arn, said)
        return status, pushed

    def _announce(self, target: Target, note: Path) -> list[str]:
        """Tell of what a push changed. Returns the references."""
        if not note.exists():
            return []
        changes = []
        for line in note.read_text(encoding="utf-8").splitlines():
            old, new, reference = line.split(" ", 2)
            changes.append(Change(reference, old, new))
        note.unlink()
        self.service.announce(target.account, target.region, target.name, changes, target.principal)
        return [change.reference for change in changes]


def _cgi(scope: Scope, headers: dict[str, str], target: Target, directory: Path, note: Path) -> dict[str, str]:
    """The variables of RFC 3875 that git-http-backend(1) reads."""
    variables = {
        **environment(),
        "GIT_PROJECT_ROOT": str(directory),
        "GIT_HTTP_EXPORT_ALL": "1",
        "GATEWAY_INTERFACE": "CGI/1.1",
        "REQUEST_METHOD": scope["method"],
        "PATH_INFO": f"/{target.inner}",
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_USER": target.principal,
        "REMOTE_ADDR": "127.0.0.1",
        PUSHED_REFS: str(note),
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


async def _plain(send: Send, answer: Answer) -> None:
    body = (answer.text + os.linesep).encode()
    listed = [(name.encode(), value.encode()) for name, value in answer.headers.items()]
    listed += [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": answer.status, "headers": listed})
    await send({"type": "http.response.body", "body": body})


def _host(header: str) -> str:
    return header.rsplit(":", 1)[0] if ":" in header else header
