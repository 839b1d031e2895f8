"""The ASGI application: our services answer their requests, ministack all others, on one port."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sqlite3
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs, parse_qsl

from localcloud.core import authorization, census, forms, refusals, tags, unserved
from localcloud.core.base import mails
from localcloud.core.cloud import Cloud
from localcloud.core.errors import Fault
from localcloud.core.ids import uuid
from localcloud.core.model import Wire
from localcloud.core.recorder import Recorded, Recorder
from localcloud.core.service import Call, Route, Service
from localcloud.core.store import is_full
from localcloud.core.trail import DATA_PLANE, Trail

logger = logging.getLogger("localcloud")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

_CREDENTIAL = re.compile(r"Credential=([^/]+)/\d{8}/([^/]+)/([^/]+)/aws4_request")
_READ_ONLY = re.compile(
    r"^(Get|Describe|List|Head|BatchGet|BatchDescribe|Search|Query|Scan|Filter|Select|Lookup|Simulate|Validate|"
    r"Decrypt|Encrypt|GenerateDataKey|Test|Estimate|Detect|Preview)"
)
# What makes room, ends what runs or asks what serves goes on when the disk is full.
_ALWAYS = re.compile(
    rf"{_READ_ONLY.pattern}|^(Delete|Stop|Terminate|Abort|Cancel|Remove|Untag|Deregister|Assume|Invoke)"
)
# Log events come by the thousand: they are saved with the next periodic save, not one by one.
_SAVED_LATER = frozenset({"cloudwatch_logs", "cloudwatch"})
_SAVE_SECONDS = 1.0
_WHOLE_SECONDS = 5.0  # between periodic saves that look at stacks that stand still, too
_SAVE_SHARE = 20  # of its time at most a twentieth goes into periodic saves, however much there is


class Server:
    """Dispatches requests."""

    def __init__(self, cloud: Cloud, services: list[Service], readers: tuple[type[Service], ...] = ()) -> None:
        self.cloud = cloud
        self.recorder = cloud.recorder = Recorder(cloud.store)
        self._trail = Trail(cloud)
        self._executor = ThreadPoolExecutor(max_workers=96, thread_name_prefix="localcloud")
        self._wires: dict[str, list[tuple[Wire, Service]]] = {}
        self._handlers: dict[str, dict[str, Callable[[Call], Mapping[str, Any] | None]]] = {}
        self._routes: list[Route] = []
        self._unserved = unserved.Unserved(cloud, readers)
        self._changed = threading.Event()
        self._settled: frozenset[tuple[str, str]] = frozenset()
        for service in services:
            wire = Wire(service.name)
            self._wires.setdefault(wire.signing_name, []).append((wire, service))
            self._handlers[service.name] = service.handlers()
            unknown = set(self._handlers[service.name]) - set(wire.names)
            if unknown:
                raise TypeError(f"{service.name} has handlers for operations that do not exist: {sorted(unknown)}")
            self._routes += service.routes()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry point."""
        if scope["type"] != "http":
            assert self.cloud.base is not None
            await self.cloud.base.app(scope, receive, send)
            return
        path = scope["path"]
        if path == "/_localcloud/health":
            await _answer(send, 200, {"Content-Type": "application/json"}, json.dumps({"status": "ok"}).encode())
            return
        if path == "/_localcloud/resources":
            await self._list_resources(scope, send)
            return
        headers = _headers(scope)
        query = scope.get("query_string", b"").decode()
        access_key, region, signing_name = _signature(headers, query)
        for route in self._routes:
            if path.startswith(route.prefix) and not (route.unsigned and signing_name):
                await route.app(scope, receive, send)
                return
        body = await _body(receive)
        if signing_name in self._wires or self._unserved.concerns(signing_name, scope["method"], path, headers, query):
            await self._ours(scope, send, headers, query, body, access_key, region, signing_name)
        else:
            await self._theirs(scope, send, headers, query, body, access_key, region, signing_name)

    async def _list_resources(self, scope: Scope, send: Send) -> None:
        """What is held, for `localcloud resources`: no AWS API, and for this machine alone."""
        if (scope.get("client") or ("",))[0] not in ("127.0.0.1", "::1"):
            await _answer(send, 403, {"Content-Type": "application/json"}, b'{"message": "for this machine alone"}')
            return
        found = await asyncio.get_running_loop().run_in_executor(self._executor, census.resources, self.cloud)
        await _answer(send, 200, {"Content-Type": "application/json"}, json.dumps({"resources": found}).encode())

    # ------------------------------------------------------------------ our services

    async def _ours(
        self, scope: Scope, send: Send, headers: dict[str, str], query: str, body: bytes, access_key: str, region: str,
        signing_name: str,
    ) -> None:  # fmt: skip
        loop = asyncio.get_running_loop()
        status, answer, content = await loop.run_in_executor(
            self._executor, self._serve, scope, headers, query, body, access_key, region, signing_name
        )
        await _answer(send, status, answer, content)

    def _serve(
        self, scope: Scope, headers: dict[str, str], query: str, body: bytes, access_key: str, region: str,
        signing_name: str,
    ) -> tuple[int, dict[str, str], bytes]:  # fmt: skip
        request_id = uuid()
        fault: Fault | None = None
        tags.note_caller(headers.get(tags.HEADER, ""))
        if signing_name not in self._wires:
            late = self._unserved.find(signing_name)
            if late is None:
                fault = unserved.refusal(signing_name, scope["method"], scope["path"], body)
                return refusals.refusal(signing_name, headers, fault)
            self._handlers[late[1].name] = late[1].handlers()
            self._wires[signing_name] = [late]
        candidates = self._wires[signing_name]
        target = headers.get("x-amz-target", "")
        raw_path = scope.get("raw_path", b"").decode("latin-1").split("?")[0] or scope["path"]
        wire, service, operation, parameters = candidates[0][0], candidates[0][1], None, {}
        for candidate, owner in candidates:
            found = candidate.match(scope["method"], scope["path"], target)
            if found:
                wire, service, operation, parameters = candidate, owner, *found
                break
        account, principal, action, resource = "", "anonymous", f"{signing_name}:Unknown", "*"
        status, content = 500, b""
        answer: dict[str, str] = {}
        members: dict[str, Any] = {}
        output: Mapping[str, Any] | None = None
        call: Call | None = None
        try:
            if operation is None:
                named = target or f"{scope['method']} {raw_path}"
                raise Fault("UnknownOperationException", f"{signing_name} has no operation for '{named}'.", 404)
            action = f"{signing_name}:{operation.name}"
            account, principal = self._identify(access_key)
            members = wire.read(
                operation, body=body, headers=headers, query=parse_qsl(query, keep_blank_values=True), path=raw_path,
                parameters=parameters,
            )  # fmt: skip
            handler = self._handlers[service.name].get(operation.name)
            if handler is None:
                title = wire.model.metadata.get("serviceId", service.name)
                raise Fault("NotImplemented", f"{title} {operation.name} is not served by the local cloud.", 501)
            if not _ALWAYS.match(operation.name):
                self.cloud.room.check(len(body))
            call = Call(operation.name, members, account, region, principal, access_key, headers, body, request_id)
            output = handler(call)
            status, answer, content = wire.write(operation, output)
        except Fault as error:
            fault = error
        except Exception as error:
            if not self.cloud.stopping.is_set():
                logger.exception("%s failed", action)
            fault = Fault(
                "InternalFailure", f"{action} failed in the local cloud: {type(error).__name__}: {error}", 500
            )
        if fault is not None:
            status, answer, content = wire.write_error(operation, fault)
        answer["x-amzn-RequestId"] = request_id
        if call is not None and service.name not in DATA_PLANE and not _READ_ONLY.match(call.operation):
            self._trail.tell(signing_name, call, output, fault)
        told: dict[str, Any] = {}
        if operation is not None:
            try:
                given = {**service.about(call), **members} if call is not None else members
                asked = authorization.describe(signing_name, operation.name, given, output or {}, account, region)
                resource, told = asked.resources[0], asked.context()
            except Exception:  # what is noted of a call must not change its answer
                logger.exception("%s cannot be described", action)
        self._record(access_key, account, region, principal, action, resource, status, fault, told)
        return status, answer, content

    def _identify(self, access_key: str) -> tuple[str, str]:
        assert self.cloud.base is not None
        if not access_key:
            raise Fault("MissingAuthenticationTokenException", "Request is missing Authentication Token", 403)
        found = self.cloud.base.identity(access_key)
        if found is None:
            raise Fault("UnrecognizedClientException", "The security token included in the request is invalid.", 400)
        return found

    def _record(
        self, access_key: str, account: str, region: str, principal: str, action: str, resource: str, status: int,
        fault: Fault | None, context: dict[str, Any],
    ) -> None:  # fmt: skip
        tags = self.cloud.base.identities.session_tags(access_key) if self.cloud.base else {}
        if tags:
            context = {**context, "session_tags": tags}
        error = fault.code if fault else ""
        self.recorder.add(Recorded(account, region, principal, action, resource, status, error, context))

    # ------------------------------------------------------------------ ministack's services

    async def _theirs(
        self, scope: Scope, send: Send, headers: dict[str, str], query: str, body: bytes, access_key: str, region: str,
        signing_name: str,
    ) -> None:  # fmt: skip
        base = self.cloud.base
        assert base is not None
        tags.note_caller(headers.get(tags.HEADER, ""))
        identity = base.identity(access_key) if access_key else None
        if access_key and identity is None:
            await _answer(send, *refusals.unknown_key(signing_name, headers))
            return
        account, principal = identity or ("", "anonymous")
        link = not signing_name and mails.followed(scope["method"], scope["path"], query)
        module = _module("sns" if link else signing_name)
        changes = link or (signing_name and not _reads(scope["method"], headers, query, body))
        if changes and module not in _SAVED_LATER and not _reads(scope["method"], headers, query, body, _ALWAYS):
            try:
                self.cloud.room.check(len(body))
            except Fault as fault:
                await _answer(send, *refusals.refusal(signing_name, headers, fault))
                action = f"{signing_name}:Unknown"
                self._record(access_key, account, region, principal, action, "*", fault.status, fault, {})
                return
        if module == "cloudformation" and not base.stacks.ready.is_set():
            await asyncio.get_running_loop().run_in_executor(self._executor, base.stacks.ready.wait)
        started: list[Any] = []

        async def hold(message: Any) -> None:
            """The answer leaves when what it acknowledges is on disk."""
            if message["type"] == "http.response.start":
                if module == "cloudformation" and not changes:
                    # A stack ends long after the call that began it: who is told so may rely on it.
                    settled = base.stacks.settled()
                    if settled != self._settled:
                        await asyncio.get_running_loop().run_in_executor(self._executor, base.state.save)
                        self._settled = settled
                if changes and message["status"] < 400 and module not in _SAVED_LATER:
                    only = None if module == "cloudformation" else module
                    if module != "s3" or scope["path"].count("/") < 2 or "?" in query or query:
                        await asyncio.get_running_loop().run_in_executor(self._executor, base.state.save, only)
                if changes:
                    self._changed.set()
                started.append(message["status"])
            await send(message)

        consumed = False

        async def replay() -> Any:
            nonlocal consumed
            if consumed:
                await asyncio.sleep(3600)
                return {"type": "http.disconnect"}
            consumed = True
            return {"type": "http.request", "body": body, "more_body": False}

        try:
            await base.app(scope, replay, hold)
        except Exception as error:
            if started:
                raise  # the answer has begun: all that can be done is to end the connection
            if isinstance(error, sqlite3.OperationalError) and is_full(error):
                told = self.cloud.room.fault()
            else:
                logger.exception("%s failed", signing_name or "a request")
                what = f"{signing_name or 'The request'} failed in the local cloud"
                told = Fault("InternalFailure", f"{what}: {type(error).__name__}: {error}", 500)
            await _answer(send, *refusals.refusal(signing_name, headers, told))
        if identity and signing_name:
            small = body if len(body) < 100_000 else b""
            action, resource, context = base.describe(
                _service_name(signing_name), scope["method"], scope["path"], headers, small,
                parse_qs(query, keep_blank_values=True), account, region,
            )  # fmt: skip
            status = started[0] if started else 500
            self._record(access_key, account, region, principal, action, resource, status, None, context)

    # ------------------------------------------------------------------ periodic saving

    def keep_saving(self) -> None:
        """Save the base's state while something changes; CloudFormation works on after its answer."""
        base = self.cloud.base
        assert base is not None
        looked, passed_over = 0.0, False
        while not self.cloud.stopping.is_set():
            busy = base.stacks.in_progress()
            began = time.monotonic()
            due = began - looked > _WHOLE_SECONDS
            if self._changed.is_set() or busy or (passed_over and due):
                self._changed.clear()
                passed_over = True
                try:
                    base.state.save(whole=due)
                    if due:
                        looked, passed_over = began, False
                except sqlite3.OperationalError as error:
                    self._changed.set()  # and again, until it succeeds
                    logger.warning("the state of the base services cannot be saved: %s", error)
            took = time.monotonic() - began
            self.cloud.stopping.wait(max(_SAVE_SECONDS / 2 if busy else _SAVE_SECONDS, _SAVE_SHARE * took))

    def close(self) -> None:
        """Write what waits."""
        self.recorder.close()
        if self.cloud.base is not None:
            try:
                self.cloud.base.state.save(whole=True)
            except sqlite3.OperationalError:
                logger.exception("the state of the base services could not be saved at the end")
        self._executor.shutdown(wait=False, cancel_futures=True)


def _headers(scope: Scope) -> dict[str, str]:
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope.get("headers", []):
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _signature(headers: Mapping[str, str], query: str) -> tuple[str, str, str]:
    """(access key, region, signing name), empty where the request is not signed."""
    found = _CREDENTIAL.search(headers.get("authorization", ""))
    if found:
        return found.group(1), found.group(2), found.group(3)
    if "X-Amz-Credential=" in query:
        scope = parse_qs(query)["X-Amz-Credential"][0].split("/")
        if len(scope) == 5:
            return scope[0], scope[2], scope[3]
    return "", "", ""


async def _body(receive: Receive) -> bytes:
    chunks = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        chunks.append(message.get("body", b""))
        if not message.get("more_body"):
            break
    return b"".join(chunks)


async def _answer(send: Send, status: int, headers: Mapping[str, str], body: bytes) -> None:
    listed = [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
    listed.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": listed})
    await send({"type": "http.response.body", "body": body})


def _reads(
    method: str, headers: Mapping[str, str], query: str, body: bytes, names: re.Pattern[str] = _READ_ONLY
) -> bool:
    """Whether the operation is one of `names`; of REST services, whether the method reads (or deletes, with others)."""
    target = headers.get("x-amz-target", "")
    if target:
        return bool(names.match(target.rpartition(".")[2]))
    if headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return bool(names.match(forms.member(body, "Action") or ""))
    if names is _ALWAYS and (method == "DELETE" or (method == "POST" and query.split("=")[0] == "delete")):
        return True
    return method in ("GET", "HEAD", "OPTIONS")


def _service_name(signing_name: str) -> str:
    from ministack import app

    return str(app.SERVICE_NAME_ALIASES.get(signing_name, signing_name))


def _module(signing_name: str) -> str:
    from ministack import app

    entry = app.SERVICE_REGISTRY.get(_service_name(signing_name))
    return str(entry["module"]) if entry else signing_name


def wait_until_stopped(cloud: Cloud, seconds: float) -> None:
    """Sleep that an orderly stop ends."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not cloud.stopping.is_set():
        cloud.stopping.wait(min(0.5, max(0.0, deadline - time.monotonic())))
