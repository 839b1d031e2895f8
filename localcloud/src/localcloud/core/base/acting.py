"""As whom CloudFormation makes resources: the role that a stack was given, else whoever asked for the stack."""

from __future__ import annotations

import re
import threading
import time
from typing import Any

from localcloud.core import forms
from localcloud.core.cloud import Cloud, Credentials

_CREDENTIAL = re.compile(r"Credential=([^/]+)/")
_CHANGES = frozenset({"CreateStack", "UpdateStack", "CreateChangeSet"})
_SECONDS = 3000.0  # of a role's session that is used again; it lives for 3600


def _name(stack: str) -> str:
    """A stack's name, which requests may also give as its ARN."""
    return stack.split("/")[1] if stack.startswith("arn:") else stack


class Acting:
    """Remembers it by stack, and hands out the credentials."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self._by_stack: dict[tuple[str, str, str], str] = {}
        self._sessions: dict[str, tuple[float, Credentials]] = {}
        self._lock = threading.Lock()

    def install(self) -> None:
        """See the requests that make or change a stack."""
        from ministack.core.responses import get_account_id, get_region
        from ministack.services import cloudformation
        from ministack.services.cloudformation import helpers

        original = cloudformation.handle_request

        async def handle(method: str, path: str, headers: dict[str, str], body: bytes, query: Any) -> Any:
            action, name = forms.member(body, "Action"), _name(forms.member(body, "StackName") or "")
            if action in _CHANGES and name:
                found = _CREDENTIAL.search(headers.get("authorization", ""))
                who = forms.member(body, "RoleARN") or (found.group(1) if found else "")
                self._by_stack[get_account_id(), get_region(), name] = who
            elif action == "DeleteStack" and name:  # without a role, as whoever the stack was last changed
                key = (get_account_id(), get_region(), name)
                who = self._by_stack[key] = forms.member(body, "RoleARN") or self._by_stack.get(key, "")
                if who.startswith("arn:") and not self._exists(who):
                    return helpers._error("ValidationError", f"Role {who} is invalid or cannot be assumed")
            return await original(method, path, headers, body, query)

        cloudformation.handle_request = handle

    def _exists(self, role: str) -> bool:
        assert self.cloud.base is not None
        return self.cloud.base.identities.has_role(role)

    def credentials(self, account: str, region: str, stack_name: str) -> Credentials | None:
        """Of the stack, or of the stack that it is nested in; None for the account's root.

        Raises:
            Fault: the role does not trust CloudFormation.
        """
        from ministack.services.cloudformation import _stacks

        name, stack_id = stack_name, ""
        while name:
            stack = _stacks.get(name) or {}
            stack_id = str(stack.get("StackId") or stack_id)
            who = self._by_stack.get((account, region, name))
            if who:
                return self._role(who, region, stack_id) if who.startswith("arn:") else self._session(who, region)
            name = str(stack.get("_parent_stack_name") or "")
        return None

    def _role(self, role: str, region: str, stack_id: str) -> Credentials:
        with self._lock:
            until, credentials = self._sessions.get(role, (0.0, None))
            if credentials is None or time.monotonic() > until:
                credentials = self.cloud.assume(
                    role, "AWSCloudFormation", region=region, service_principal="cloudformation.amazonaws.com",
                    source_arn=stack_id,
                )  # fmt: skip
                self._sessions[role] = (time.monotonic() + _SECONDS, credentials)
            return credentials

    def _session(self, access_key: str, region: str) -> Credentials | None:
        """The caller's own session, which CloudFormation uses on."""
        assert self.cloud.base is not None
        known = self.cloud.base.identities.secret(access_key)
        if known is None or access_key in self.cloud.accounts:
            return None
        return Credentials(access_key, known[0], known[1], self.cloud.endpoint, region)
