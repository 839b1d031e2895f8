"""Everything that the loop did must have been allowed: the record of calls against the deployed policies.

The local cloud records every call with its principal. For each role that acted, the action (and the resource, where the
record knows it) must be allowed by a statement of the role's own policies and of its permission boundary, and denied by
none that denies without a condition. A missing permission costs a user on AWS a day; here it fails by name.
"""

from __future__ import annotations

import fnmatch
import json
import sqlite3
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import pytest
from moto.iam.aws_managed_policies import aws_managed_policies_data

from tests.loop.conftest import Loop

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("loop")]

# AWS authorizes these under another name than the operation's, or not at all.
ALIASES = {
    "s3:HeadObject": "s3:GetObject",
    "s3:HeadBucket": "s3:ListBucket",
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:ListObjects": "s3:ListBucket",
    "s3:CreateMultipartUpload": "s3:PutObject",
    "s3:UploadPart": "s3:PutObject",
    "s3:CompleteMultipartUpload": "s3:PutObject",
    "s3:CopyObject": "s3:PutObject",
}
NEEDS_NONE = {"sts:GetCallerIdentity", "sts:GetSessionToken"}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


class Policies:
    """The policies of roles, as deployed."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.known: dict[tuple[str, str], tuple[list[dict[str, Any]], list[dict[str, Any]] | None]] = {}

    def of(self, account: str, name: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]] | None]:
        """(statements of the role, statements of its boundary)."""
        if (account, name) not in self.known:
            self.known[account, name] = self._read(account, name)
        return self.known[account, name]

    def _read(self, account: str, name: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]] | None]:
        iam = self.loop.admin(account).client("iam")
        role = iam.get_role(RoleName=name)["Role"]
        statements: list[dict[str, Any]] = []
        for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
            statements += self._statements(iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"])
        for policy in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
            statements += self._managed(iam, policy["PolicyArn"])
        boundary = role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn")
        return statements, self._managed(iam, boundary) if boundary else None

    def _managed(self, iam: Any, arn: str) -> list[dict[str, Any]]:
        if arn.startswith("arn:aws:iam::aws:policy/"):  # AWS's own, which moto ships as data
            return self._statements(json.loads(aws_managed_policies_data)[arn.rsplit("/", 1)[-1]]["Document"])
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        return self._statements(iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"])

    def _statements(self, document: Any) -> list[dict[str, Any]]:
        parsed = json.loads(unquote(document)) if isinstance(document, str) else document
        return [dict(statement) for statement in _listed(parsed["Statement"])]


def _matches(statement: dict[str, Any], action: str, resource: str, tags: dict[str, str]) -> bool:
    if "NotAction" in statement:
        named = not any(fnmatch.fnmatchcase(action.lower(), p.lower()) for p in _listed(statement["NotAction"]))
    else:
        named = any(fnmatch.fnmatchcase(action.lower(), p.lower()) for p in _listed(statement["Action"]))
    if not named or resource == "*":
        return named
    for pattern in _listed(statement.get("Resource", "*")):
        for key, value in tags.items():
            pattern = pattern.replace(f"${{aws:PrincipalTag/{key}}}", value)
        if fnmatch.fnmatchcase(resource, pattern) or fnmatch.fnmatchcase(resource.split("*")[0], pattern):
            return True
    return "NotResource" in statement


def allowed(
    policies: tuple[list[dict[str, Any]], list[dict[str, Any]] | None], action: str, resource: str
) -> str | None:
    """None if allowed, else why not."""
    tags = {"Project": "flight-delays"}
    statements, boundary = policies
    for statement in [*statements, *(boundary or [])]:
        if (
            statement["Effect"] == "Deny"
            and "Condition" not in statement
            and _matches(statement, action, resource, tags)
        ):
            return f"denied by {statement.get('Sid', 'a statement')}"
    for layer, name in ((statements, "role"), (boundary, "permission boundary")):
        if layer is not None and not any(
            statement["Effect"] == "Allow" and _matches(statement, action, resource, tags) for statement in layer
        ):
            return f"no statement of the {name} allows it"
    return None


def recorded(loop: Loop) -> Iterator[tuple[str, str, str, str]]:
    """(account of the role, role, action, resource) of every successful call by a role, once each."""
    database = sqlite3.connect(f"file:{loop.cloud.home / 'localcloud.sqlite'}?mode=ro", uri=True)
    rows = database.execute("SELECT DISTINCT principal, action, resource FROM call WHERE status < 400").fetchall()
    for principal, action, resource in rows:
        if ":assumed-role/" in principal and " " not in action and action not in NEEDS_NONE:
            account, role = principal.split(":")[4], principal.split("/")[1]
            if action.startswith("logs:") and ":log-group:" in resource and ":log-stream:" not in resource:
                resource += ":log-stream:"  # as AWS evaluates calls on a group's streams
            yield account, role, ALIASES.get(action, action), resource


def test_everything_the_loop_did_is_allowed_by_the_deployed_policies(loop: Loop) -> None:
    """Protects deployments to AWS: a role that lacks an action which it used here is named."""
    policies, missing, judged = Policies(loop), set(), 0
    for account, role, action, resource in recorded(loop):
        judged += 1
        reason = allowed(policies.of(account, role), action, resource)
        if reason:
            missing.add(f"{role} ({account}) {action} on {resource}: {reason}")
    assert judged > 100, "too few calls by roles were recorded to say anything"
    assert not missing, "\n".join(sorted(missing))


def test_a_missing_action_is_found() -> None:
    """Shows that the judgement above can fail: nothing allowed, only another resource allowed, denied."""
    allow = {"Effect": "Allow", "Action": ["s3:Get*"], "Resource": "arn:aws:s3:::one/*"}
    deny = {"Effect": "Deny", "Action": "s3:*", "Resource": "*", "Sid": "Never"}
    assert allowed(([allow], None), "s3:GetObject", "arn:aws:s3:::one/key") is None
    assert allowed(([allow], None), "s3:PutObject", "arn:aws:s3:::one/key")
    assert allowed(([allow], None), "s3:GetObject", "arn:aws:s3:::two/key")
    assert allowed(([allow, deny], None), "s3:GetObject", "arn:aws:s3:::one/key") == "denied by Never"
    assert allowed(([allow], [deny]), "s3:GetObject", "arn:aws:s3:::one/key")
