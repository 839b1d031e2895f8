"""Errors that the server itself answers for a service of ministack, as (status, headers, body) of its protocol."""

from __future__ import annotations

import json
from collections.abc import Mapping
from xml.sax.saxutils import escape

from localcloud.core.errors import Fault
from localcloud.core.ids import uuid


def unknown_key(signing_name: str, headers: Mapping[str, str]) -> tuple[int, dict[str, str], bytes]:
    """An access key that nobody has, as the service says it."""
    message = "The security token included in the request is invalid."
    if speaks_json(headers):
        return refusal(signing_name, headers, Fault("UnrecognizedClientException", message, 400))
    code = "InvalidAccessKeyId" if signing_name == "s3" else "InvalidClientTokenId"
    return refusal(signing_name, headers, Fault(code, message, 403))


def speaks_json(headers: Mapping[str, str]) -> bool:
    """Whether a request is of a JSON protocol, by its headers in lower case."""
    return bool(headers.get("x-amz-target")) or headers.get("content-type", "").startswith("application/json")


def refusal(signing_name: str, headers: Mapping[str, str], fault: Fault) -> tuple[int, dict[str, str], bytes]:
    """An error as the service's protocol writes it."""
    if speaks_json(headers):
        body = json.dumps({"__type": fault.code, "message": fault.message}).encode()
        return fault.status, {"Content-Type": "application/x-amz-json-1.1"}, body
    inner = f"<Code>{fault.code}</Code><Message>{escape(fault.message)}</Message>"
    text = f"<Error>{inner}</Error>" if signing_name == "s3" else (
        f"<ErrorResponse><Error><Type>Sender</Type>{inner}</Error><RequestId>{uuid()}</RequestId></ErrorResponse>"
    )  # fmt: skip
    return fault.status, {"Content-Type": "text/xml"}, text.encode()
