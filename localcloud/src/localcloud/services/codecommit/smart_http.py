"""Git's smart HTTP protocol at /v1/repos/{name}."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from localcloud.core.recorder import Recorded
from localcloud.services import git_http
from localcloud.services.codecommit import access
from localcloud.services.codecommit.base import Change
from localcloud.services.codecommit.git import PUSHED_REFS
from localcloud.services.git_http import Answer, Receive, Scope, Send, Work

if TYPE_CHECKING:
    from localcloud.services.codecommit.service import CodeCommit

PREFIX = "/v1/repos/"


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


class SmartHttp:
    """An ASGI application. The caller's account says whose repository is meant, the signature which region's."""

    def __init__(self, service: CodeCommit) -> None:
        self.service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one of git's requests."""
        headers = git_http.headers_of(scope)
        try:
            target = await asyncio.get_running_loop().run_in_executor(None, self._target, scope, headers)
        except Answer as answer:
            await git_http.plain(send, answer)
            return
        with tempfile.TemporaryDirectory(prefix="push-") as scratch:
            note = Path(scratch) / "references"
            directory = self.service.directory(target.account, target.region, target.name)
            work = Work(directory, target.inner, target.principal, target.arn, {PUSHED_REFS: str(note)})
            status, pushed = await git_http.serve(
                scope, headers, receive, send, work, lambda: self._announce(target, note)
            )
        self._record(target, status, pushed)

    # -- who and what -------------------------------------------------------------------------------------------

    def _target(self, scope: Scope, headers: dict[str, str]) -> Target:
        name, _, inner = scope["path"].removeprefix(PREFIX).partition("/")
        action = git_http.action_of(scope, inner)
        self.service.recovered.wait(10)
        try:
            basic = access.parse(headers.get("authorization", ""))
            caller = git_http.caller(self.service.cloud, basic)
            regions = self._regions(caller.account, name)
            region = access.check(
                basic, caller, regions=regions, path=unquote(f"{PREFIX}{name}"), host=git_http.host_of(headers)
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
