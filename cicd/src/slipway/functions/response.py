"""The answer of a CloudFormation custom resource (AWS documentation, "Custom resource response objects")."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

# CloudFormation refuses an answer of more than 4,096 bytes; the rest of it needs less than 1,000.
REASON_LENGTH = 3000


def answer(
    event: Mapping[str, Any], status: str, physical_id: str, data: Mapping[str, str] | None = None, reason: str = ""
) -> dict[str, Any]:
    """The body of the answer. `status` is SUCCESS or FAILED; a failure needs a reason."""
    body: dict[str, Any] = {
        "Status": status,
        "PhysicalResourceId": physical_id,
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
        "Data": dict(data or {}),
    }
    if reason:
        body["Reason"] = reason.encode()[:REASON_LENGTH].decode(errors="ignore")
    return body


def send(event: Mapping[str, Any], body: Mapping[str, Any], *, attempts: int = 3) -> None:
    """PUT the answer to the address that CloudFormation gave: without it the stack waits for an hour."""
    content = json.dumps(body).encode()
    for attempt in range(1, attempts + 1):
        # The address is signed for an empty content type.
        request = urllib.request.Request(  # noqa: S310 - CloudFormation's own address
            event["ResponseURL"], data=content, method="PUT", headers={"Content-Type": ""}
        )
        try:
            with urllib.request.urlopen(request, timeout=30):  # noqa: S310
                return
        except urllib.error.URLError:
            if attempt == attempts:
                raise
            time.sleep(attempt)
