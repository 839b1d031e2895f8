"""Bucket policies that grant to a role of another account.

ministack asks another account's bucket policy about the caller's account root only. AWS asks about the caller, so a
grant to a role's ARN, or with a condition on aws:PrincipalArn, is asked here about the role behind the request.
"""

from __future__ import annotations

from typing import Any

from localcloud.core.base.identity import Identities


def install(identities: Identities) -> None:
    """Extend ministack's answer to "may this foreign caller have the object?"."""
    from ministack.core.iam_actions import _s3_action
    from ministack.core.responses import get_region
    from ministack.services import s3

    original = s3._foreign_bucket_allows

    def allows(
        owner: str, bucket: str, key: str, method: str, query: dict[str, Any], caller: str, headers: Any = None
    ) -> bool:
        if original(owner, bucket, key, method, query, caller, headers):
            return True
        policy = s3._bucket_policies.get_scoped(owner, None, bucket)
        found = identities.identity(s3._request_access_key(method, key, headers or {}, query, b"")) if policy else None
        if found is None or found[1].endswith(":root"):
            return False
        path = f"/{bucket}/{key}" if key else f"/{bucket}"
        action = _s3_action(method, path, query) or ("GetObject" if method in ("GET", "HEAD") else "PutObject")
        return identities.resource_policy_allows(
            policy, principal=identities.session_role(found[1]), account=found[0], region=get_region(),
            action=f"s3:{action}", resource=f"arn:aws:s3::{path.replace('/', ':', 1)}",
        )  # fmt: skip

    s3._foreign_bucket_allows = allows
