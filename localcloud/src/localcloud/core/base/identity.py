"""Who is behind an access key, and whom a role trusts."""

from __future__ import annotations

import contextlib
import datetime as dt
import fnmatch
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from localcloud.core.base.scope import scope
from localcloud.core.cloud import Cloud
from localcloud.core.errors import Fault


class Identities:
    """Access keys and roles of IAM and STS."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud

    def identity(self, access_key: str) -> tuple[str, str] | None:
        """(account, principal ARN) of an access key, or None when it is unknown."""
        if access_key in self.cloud.accounts:
            return access_key, f"arn:aws:iam::{access_key}:root"
        from ministack.core.iam_evaluator import resolve_caller_identity
        from ministack.services import sts

        session = sts._sessions.get(access_key)
        if session:
            arn = str(session.get("Arn", ""))
            return arn.split(":")[4], arn
        with contextlib.suppress(Exception):
            found = resolve_caller_identity(access_key)
            if found and found.get("userArn"):
                arn = str(found["userArn"])
                return arn.split(":")[4], arn
        return None

    def secret(self, access_key: str) -> tuple[str, str | None, float | None] | None:
        """(secret, session token, expiry as epoch seconds) of a key made by STS or IAM; None for any other key."""
        from ministack.services import iam, sts

        session = sts._sessions.get(access_key)
        if session:
            return str(session.get("SecretAccessKey")), session.get("SessionToken"), session.get("Expiration")
        found = self.identity(access_key)
        if found is None:
            return None
        with scope(found[0], self.cloud.region):
            key = iam._access_keys.get(access_key)
        return (str(key["SecretAccessKey"]), None, None) if key and key.get("Status") == "Active" else None

    def user_identity(self, access_key: str, principal: str) -> dict[str, Any]:
        """Who called, as CloudTrail writes it (User Guide, "CloudTrail userIdentity element")."""
        from ministack.services import sts

        account, name = principal.split(":")[4], principal.rpartition("/")[2]
        known = {"arn": principal, "accountId": account, "accessKeyId": access_key}
        if principal.endswith(":root"):
            return {"type": "Root", "principalId": account, **known}
        if ":assumed-role/" not in principal:
            return {"type": "IAMUser", "principalId": access_key, **known, "userName": name}
        role_name = principal.split("/")[1]
        role = self._role(account, role_name) or {}
        issued = float((sts._sessions.get(access_key) or {}).get("IssuedAt") or 0)
        created = dt.datetime.fromtimestamp(issued, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {
            "type": "AssumedRole",
            "principalId": f"{role.get('RoleId', '')}:{name}",
            **known,
            "sessionContext": {
                "sessionIssuer": {
                    "type": "Role",
                    "principalId": role.get("RoleId", ""),
                    "arn": self.session_role(principal),
                    "accountId": account,
                    "userName": role_name,
                },
                "attributes": {"creationDate": created, "mfaAuthenticated": "false"},
            },
        }

    def session_role(self, principal: str) -> str:
        """The ARN of the role behind an assumed-role ARN, with its path; other ARNs as they are."""
        if ":assumed-role/" not in principal:
            return principal
        account, name = principal.split(":")[4], principal.split("/")[1]
        role = self._role(account, name)
        return str(role["Arn"]) if role else f"arn:aws:iam::{account}:role/{name}"

    def session_tags(self, access_key: str) -> dict[str, str]:
        """The tags with which a session was begun; they are tags of the principal, as those of its role are."""
        from ministack.services import sts

        tags = (sts._sessions.get(access_key) or {}).get("SessionTags") or []
        return {str(tag["Key"]): str(tag["Value"]) for tag in tags}

    def _role(self, account: str, name: str) -> dict[str, Any] | None:
        from ministack.services import iam

        with scope(account, self.cloud.region):
            found: dict[str, Any] | None = iam._roles.get(name)
            return found

    def has_role(self, role_arn: str) -> bool:
        """Whether there is such a role."""
        return self._role(role_arn.split(":")[4], role_arn.rsplit("/", 1)[-1]) is not None

    def check_trust(self, role_arn: str, *, principal: str | None, service: str | None) -> None:
        """Refuse an assumption that the role's trust policy does not admit.

        Raises:
            Fault: AccessDenied.
        """
        account, name = role_arn.split(":")[4], role_arn.rsplit("/", 1)[-1]
        who = principal or service or f"arn:aws:iam::{account}:root"
        denied = Fault(
            "AccessDenied",
            f"User: {who} is not authorized to perform: sts:AssumeRole on resource: {role_arn}",
            403,
        )
        role = self._role(account, name)
        if role is None:
            raise denied
        document = role.get("AssumeRolePolicyDocument") or {}
        if isinstance(document, str):
            document = json.loads(unquote(document))
        if principal is None and service is None:
            return
        statements = document.get("Statement", [])
        for statement in statements if isinstance(statements, list) else [statements]:
            if statement.get("Effect") == "Allow" and _trusts(statement.get("Principal", {}), principal, service):
                return
        raise denied

    def resource_policy_allows(
        self, policy: str, *, principal: str, account: str, region: str, action: str, resource: str
    ) -> bool:
        """Whether a resource's own policy lets a principal (of another account) do something."""
        from ministack.core.iam_evaluator import EvalContext, evaluate_resource_policy

        kind = "AssumedRole" if ":assumed-role/" in principal else "Root" if principal.endswith(":root") else "User"
        # Policies name roles, and aws:PrincipalArn of a role's session is the role.
        principal = self.session_role(principal)
        # The endpoint on this machine stands for AWS's, which speaks TLS alone.
        context = EvalContext(principal, kind, account, action, resource, region, secure_transport=True)
        return bool(evaluate_resource_policy(policy, context).decision == "Allow")

    def allows(
        self, principal: str, *, region: str, action: str, resource: str, keys: Mapping[str, Any],
        session_tags: Mapping[str, str] | None = None,
    ) -> bool:  # fmt: skip
        """Whether a principal's own policies, within its boundary, allow an action. An account's root may all.

        Args:
            keys: condition keys of the request and of the resource, e.g. aws:ResourceTag/Project.
        """
        from ministack.core import iam_evaluator as evaluator
        from ministack.services import iam

        account, name = principal.split(":")[4], principal.split("/")[-1]
        if principal.endswith(":root"):
            return True
        with scope(account, region):
            if ":assumed-role/" in principal:
                kind, name = "AssumedRole", principal.split("/")[1]
                policies = evaluator._gather_role_policies(name, account)
                limits = evaluator._permissions_boundary(iam._roles, name, account)
                tags = (self._role(account, name) or {}).get("Tags") or []
            else:
                kind, tags = "User", []
                policies = evaluator._gather_user_policies(name, account)
                limits = evaluator._permissions_boundary(iam._users, name, account)
            known = {str(tag["Key"]): str(tag["Value"]) for tag in tags} | dict(session_tags or {})
            context = evaluator.EvalContext(
                self.session_role(principal), kind, account, action, resource, region, secure_transport=True,
                service_context={key.lower(): value for key, value in keys.items()},
                principal_keys={f"aws:principaltag/{key.lower()}": value for key, value in known.items()},
            )  # fmt: skip
            return bool(evaluator.evaluate(context, policies, *limits).decision == "Allow")


def _trusts(principal: Any, arn: str | None, service: str | None) -> bool:
    if principal == "*":
        return True
    if not isinstance(principal, Mapping):
        return False
    if service is not None:
        services = principal.get("Service", [])
        return service in (services if isinstance(services, list) else [services])
    named = principal.get("AWS", [])
    assert arn is not None
    account = arn.split(":")[4]
    for candidate in named if isinstance(named, list) else [named]:
        if candidate in ("*", account, f"arn:aws:iam::{account}:root") or fnmatch.fnmatchcase(arn, str(candidate)):
            return True
    return False
