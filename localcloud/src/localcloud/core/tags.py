"""Tags whose keys begin with aws: are AWS's own: its services set them, callers may not."""

from __future__ import annotations

import contextvars
import secrets

HEADER = "x-localcloud-service"
# Known to this process alone: what bears it was asked for by one of AWS's services, CloudFormation for example.
TOKEN = secrets.token_hex(16)
_BY_SERVICE: contextvars.ContextVar[bool] = contextvars.ContextVar("by-service", default=False)


def note_caller(token: str) -> None:
    """Remember for the current call whether a service makes it."""
    _BY_SERVICE.set(secrets.compare_digest(token, TOKEN))


def is_reserved(key: str) -> bool:
    """Whether the caller may not set a tag of this key."""
    return key.lower().startswith("aws:") and not _BY_SERVICE.get()
