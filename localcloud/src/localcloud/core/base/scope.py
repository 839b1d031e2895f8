"""ministack knows account and region of a request from context variables."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def scope(account: str, region: str) -> Iterator[None]:
    """Run in-process calls of ministack as that account and region."""
    from ministack.core import responses

    account_token = responses._request_account_id.set(account)
    region_token = responses._request_region.set(region)
    try:
        yield
    finally:
        responses._request_account_id.reset(account_token)
        responses._request_region.reset(region_token)
