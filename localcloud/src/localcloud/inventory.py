"""What a running local cloud holds: every resource of every account, region and service (`localcloud resources`).

from localcloud.inventory import resources
assert resources(".localcloud") == []          # or resources("http://127.0.0.1:4566")
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path

from localcloud.home import held

PRESENT, DEFAULT, HISTORY = "present", "default", "history"
GLOBAL = "aws-global"
_SECONDS = 120


class NotRunning(Exception):
    """No local cloud answers there."""


@dataclass(frozen=True, order=True)
class Resource:
    """One resource.

    Args:
        account: twelve digits; "" where it belongs to none.
        region: "aws-global" where the service has none.
        service: as in ARNs and botocore, e.g. "codecommit".
        kind: the service's word: "repository", "vpcs"; the CloudFormation type of one that is kept as a record.
        id: what identifies it among its kind.
        state: "present"; "default" where an account holds it without having been asked to (the default network,
            default parameter groups); "history" where AWS keeps it after its subject is gone (ended jobs and
            executions, deleted stacks, keys that wait for their deletion, events, sessions).
    """

    account: str
    region: str
    service: str
    kind: str
    id: str
    state: str = PRESENT


def resources(where: str | Path, *, everything: bool = False) -> list[Resource]:
    """The resources of a running local cloud, sorted; nothing where all was deleted.

    Args:
        where: its home, or its endpoint ("http://127.0.0.1:4566").
        everything: also those of state "default" and "history".

    Raises:
        NotRunning: no local cloud answers there.
    """
    endpoint = str(where)
    if not endpoint.startswith("http"):
        port = held(Path(where))
        if not port:
            raise NotRunning(f"no local cloud runs in {where}: start it with make up")
        endpoint = f"http://127.0.0.1:{port}"
    try:
        url = f"{endpoint.rstrip('/')}/_localcloud/resources"
        with urllib.request.urlopen(url, timeout=_SECONDS) as answer:  # noqa: S310 - begins with http
            rows = json.load(answer)["resources"]
    except (urllib.error.URLError, OSError) as error:
        raise NotRunning(f"no local cloud answers on {endpoint}: {error}") from error
    found = sorted(Resource(**row) for row in rows)
    return found if everything else [one for one in found if one.state == PRESENT]


def as_json(found: Sequence[Resource]) -> str:
    """A JSON list of objects with the members of `Resource`."""
    return json.dumps([asdict(one) for one in found], indent=2)


def as_table(found: Sequence[Resource]) -> str:
    """Aligned columns with a header line."""
    rows = [tuple(field.name.upper() for field in fields(Resource)), *(astuple(one) for one in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)
