"""Lambda functions work as their own role. ministack gives them the account's root, unless it enforces policies."""

from __future__ import annotations

import hashlib
import logging
from typing import Any

from localcloud.core.base.identity import Identities
from localcloud.core.cloud import Cloud
from localcloud.core.errors import Fault

logger = logging.getLogger("localcloud.base")

_PRINCIPAL = "lambda.amazonaws.com"


def install(cloud: Cloud, identities: Identities) -> None:
    """Hand out sessions of the function's role, made in-process: an invocation must not wait for its own server."""
    from ministack.core import lambda_runtime
    from ministack.services import lambda_svc, sts

    original = lambda_runtime.execution_credentials

    def credentials(config: dict[str, Any]) -> dict[str, str]:
        function, role = str(config.get("FunctionArn", "")), str(config.get("Role", ""))
        try:
            identities.check_trust(role, principal=None, service=_PRINCIPAL)
        except (Fault, IndexError):
            # AWS refuses such a function when it is made; ministack has made it.
            logger.warning("%s runs as the account's root: Lambda cannot take its role %s", function, role)
            return dict(original(config))
        name = str(config.get("FunctionName", "lambda"))[:64]
        account, role_name = role.split(":")[4], role.rsplit("/", 1)[-1]
        digest = hashlib.sha256(f"{function}:{role}".encode()).hexdigest()
        key, secret = f"ASIA{digest[:16].upper()}", hashlib.sha256(f"secret:{digest}".encode()).hexdigest()
        token = hashlib.sha256(f"token:{digest}".encode()).hexdigest()
        if key not in sts._sessions and cloud.recorder is not None:
            cloud.recorder.assumed(role, _PRINCIPAL, function, cloud.region)
        sts.register_session(key, {
            "Arn": f"arn:aws:sts::{account}:assumed-role/{role_name}/{name}",
            "UserId": f"{role_name}:{name}", "SecretAccessKey": secret, "SessionToken": token,
        })  # fmt: skip
        return {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": token}

    lambda_runtime.execution_credentials = lambda_svc.execution_credentials = credentials
