"""Pagination with opaque tokens."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from localcloud.core.errors import Fault

Item = TypeVar("Item")


def paginate(
    items: Sequence[Item],
    request: Mapping[str, Any],
    *,
    token: str = "nextToken",  # noqa: S107 - a member name, not a secret
    limit: str = "maxResults",
    default: int = 100,
    error: str = "ValidationException",
) -> tuple[list[Item], str | None]:
    """One page of `items` and the token of the next, or None after the last.

    Raises:
        Fault: with code `error` when the token was not made here.
    """
    start = 0
    given = request.get(token)
    if given:
        try:
            start = int(base64.urlsafe_b64decode(str(given).encode()).decode().removeprefix("page:"))
        except (ValueError, binascii.Error):
            raise Fault(error, f"{token} '{given}' was not returned by an earlier call.") from None
    size = int(request.get(limit) or default)
    page = list(items[start : start + size])
    end = start + size
    return page, base64.urlsafe_b64encode(f"page:{end}".encode()).decode() if end < len(items) else None
