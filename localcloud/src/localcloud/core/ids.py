"""Identifiers and the clock."""

from __future__ import annotations

import secrets
import string
import uuid as _uuid
from datetime import UTC, datetime

_ALPHABET = string.ascii_lowercase + string.digits


def uuid() -> str:
    """A random UUID in AWS's lower-case form."""
    return str(_uuid.uuid4())


def short_id(length: int = 13) -> str:
    """A random id of lower-case letters and digits, as in `prod-abcdefghijklm`."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def now() -> datetime:
    """The current time in UTC, to the millisecond, which is what AWS answers with."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
