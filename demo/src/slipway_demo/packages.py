"""Whether builds can install packages, asked before they are begun."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

from slipway_demo.console import Stop


def need(endpoint: str) -> None:
    """Refuse at once what would fail after a while: builds install packages from this machine's index.

    Raises:
        Stop: the local cloud at `endpoint` cannot reach the index.
    """
    try:
        with urllib.request.urlopen(f"{endpoint}/_localcloud/packages", timeout=60) as answer:  # noqa: S310 - http
            found = json.load(answer)
    except (urllib.error.URLError, OSError, ValueError):
        return  # the first call of AWS says more
    if not found["reachable"]:
        raise Stop(f"builds could not install packages: {found['problem']} Everything done so far is kept.")
