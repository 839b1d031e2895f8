"""What our own services hold, read from the store, and all together for `GET /_localcloud/resources`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

from localcloud.inventory import HISTORY, PRESENT, Resource

if TYPE_CHECKING:
    from localcloud.core.cloud import Cloud

# The local cloud's own notes, and what a resource consists of: they are no resources.
_INNER = re.compile(
    r"core\..*|cloudformation\.made|codebuild\.(number|token)|codecommit\.(announced|review)|codeartifact\.(token|tags)|"
    r"codepipeline\.(version|job|token|webhook)|servicecatalog\.token"
)
# What is kept of the past: AWS has no deletion of most of these.
_PAST = re.compile(
    r"codebuild\.(build|report|report-cases)|codepipeline\.(execution|action|rule):.*|servicecatalog\.record|"
    r"sagemaker\.\w*(Job|JobV2|Execution|Step)"
)


def resources(cloud: Cloud) -> list[dict[str, str]]:
    """Every resource of every account, region and service."""
    assert cloud.base is not None
    every = (_ours(cloud), _calls(cloud), cloud.base.resources())
    return [asdict(resource) for found in every for resource in found]


def _calls(cloud: Cloud) -> Iterator[Resource]:
    counted = "SELECT account, region, count(*) FROM call WHERE account != '' GROUP BY account, region"
    for account, region, number in cloud.store.execute(counted):
        yield Resource(account, region, "cloudtrail", "events", f"({number})", HISTORY)


def _ours(cloud: Cloud) -> Iterator[Resource]:
    # What SageMaker notes of jobs and packages by itself is of the past, as they are.
    every = "SELECT kind, account, region, key, instr(document, '\"_Auto\":true') FROM record"
    for kind, account, region, key, noted in cloud.store.execute(every):
        service, _, name = kind.partition(".")
        if service == "kept":
            service = name.split("::")[1].lower()
        if not _INNER.fullmatch(kind):
            state = HISTORY if noted or _PAST.fullmatch(kind) else PRESENT
            yield Resource(account, region, service, name.partition(":")[0] if state == HISTORY else name, key, state)
