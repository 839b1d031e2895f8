"""The git endpoint of connections: /git-http/{account}/{region}/{connection id}/{owner}/{name}.git.

It signs in as CodeCommit's does: AWS's credential helper makes the same of it. What git asks AWS's own host for, builds
ask at /_git/{host}/git-http/…: what is signed is the address at AWS.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from localcloud.core import Fault
from localcloud.services import git_http
from localcloud.services.codecommit import access
from localcloud.services.git_http import HOSTED, Answer, Receive, Scope, Send, Work

if TYPE_CHECKING:
    from localcloud.services.codeconnections.connections import Connections

PREFIX = "/git-http/"
# A repository at a provider may be configured to take no pushes by HTTP; who may push is for the endpoint to say.
_RECEIVES = {"GIT_CONFIG_COUNT": "2", "GIT_CONFIG_KEY_1": "http.receivepack", "GIT_CONFIG_VALUE_1": "true"}


class GitEndpoint:
    """An ASGI application."""

    def __init__(self, service: Connections) -> None:
        self.service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one of git's requests."""
        headers = git_http.headers_of(scope)
        try:
            work = await asyncio.get_running_loop().run_in_executor(None, self._work, scope, headers)
        except Answer as answer:
            await git_http.plain(send, answer)
            return
        await git_http.serve(scope, headers, receive, send, work, lambda: None)

    def _work(self, scope: Scope, headers: dict[str, str]) -> Work:
        host, path = git_http.host_of(headers), scope["path"]
        if path.startswith(HOSTED):
            host, _, path = path.removeprefix(HOSTED).partition("/")
            path = f"/{path}"
        address, found, inner = path.partition(".git/")
        parts = address.removeprefix(PREFIX).split("/")
        if not found or not path.startswith(PREFIX) or len(parts) < 5:
            raise Answer(
                404, f"{path} is no address of a repository; the form is {PREFIX}account/region/id/owner/name.git"
            )
        account, region, identifier = parts[:3]
        full_name = "/".join(parts[3:])
        action = git_http.action_of(scope, inner)
        try:
            basic = access.parse(headers.get("authorization", ""))
            caller = git_http.caller(self.service.cloud, basic)
            access.check(basic, caller, regions=[region], path=unquote(f"{address}.git"), host=host)
        except access.Refused as refused:
            raise Answer(401, str(refused), **{"www-authenticate": 'Basic realm="AWS CodeConnections"'}) from None
        record = self.service.by_id(account, region, identifier)
        if record is None:
            raise Answer(404, f"There is no connection {identifier} in account {account}, {region}")
        arn = record["ConnectionArn"]
        if not self.service.may_use(record, caller.principal, action, full_name, session_tags=self._tags(basic)):
            raise Answer(
                403, f"{caller.principal} is not authorized to use connection {arn} for {action} of {full_name}"
            )
        try:
            git = self.service.repository(record, full_name)
        except Fault as fault:
            raise Answer(403, fault.message) from None
        if git is None:
            raise Answer(404, f"The app of connection {arn} was given no repository {full_name}")
        return Work(git.path, inner, caller.principal, f"{arn} {full_name}", _RECEIVES)

    def _tags(self, basic: access.Basic) -> dict[str, Any]:
        base = self.service.cloud.base
        return base.identities.session_tags(basic.access_key) if base else {}
