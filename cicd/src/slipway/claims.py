"""Which builds are making which versions: no two builds make the same one, and none that fails uses one up.

A version is claimed by writing `versions/{tag}/{version}.json` to the project's bucket on condition that nobody else
has (S3: If-None-Match, If-Match). A claim counts as long as its execution runs; once the model is registered, the
registry says the same for ever. The claim of a build whose execution failed, or that never started one, is taken over.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from botocore.exceptions import ClientError

from slipway.errors import SlipwayError
from slipway.pipeline.run import State
from slipway.versions import Cause, Version, following

# From the claim to the start of the execution it takes a minute: the SDK is imported in between.
STARTING = datetime.timedelta(minutes=15)
_TRIES = 50
_LOST = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}


@dataclass(frozen=True)
class Claim:
    """A version that a build makes. `etag` is the state of its object that this process has seen."""

    version: Version
    build: str
    since: str
    etag: str = ""


@dataclass(frozen=True)
class Claims:
    """The claims of a project; `state` says what became of a claim's execution."""

    s3: Any
    bucket: str
    key_arn: str
    state: Callable[[Claim], State]
    now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC)

    def take(self, tag: int, registered: Callable[[], Iterable[Version]], cause: Cause, build: str) -> Claim:
        """Claim the next version of a tag. The same build gets the version again that it has claimed already."""
        for _ in range(_TRIES):
            # In this order: what has ended by now and is not in the registry afterwards, failed.
            found = self.all(tag)
            alive = {item.version for item in found if self._alive(item)}
            known = set(registered())
            newest = max(known, default=Version(tag, -1, 0))
            own = next((item for item in found if item.build == build and item.version > newest), None)
            if own is not None:
                return own
            version = following(tag, known | alive, cause)
            dead = next((item for item in found if item.version == version), None)
            taken = self._put(Claim(version, build, "", dead.etag if dead else ""))
            if taken is not None:
                return taken
        raise SlipwayError(
            f"no version of tag {tag} could be claimed in {_TRIES} tries: too many builds at once; retry"
        )

    def preview(self, tag: int, registered: Callable[[], Iterable[Version]], cause: Cause) -> Version:
        """The version that the next claim would get."""
        alive = {item.version for item in self.all(tag) if self._alive(item)}
        return following(tag, alive | set(registered()), cause)

    def renew(self, claim: Claim) -> Claim:
        """Say that the execution is started now. Raises SlipwayError if another build has taken the claim over."""
        renewed = self._put(claim)
        if renewed is None:
            raise SlipwayError(f"another build took over {claim.version} while this one was starting: start it again")
        return renewed

    def all(self, tag: int) -> list[Claim]:
        """The claims of a tag, in no order."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=f"versions/{tag}/")
        keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
        return [self._get(key) for key in keys]

    def _get(self, key: str) -> Claim:
        answer = self.s3.get_object(Bucket=self.bucket, Key=key)
        content = json.loads(answer["Body"].read())
        return Claim(Version.parse(content["version"]), content["build"], content["since"], answer["ETag"])

    def _put(self, claim: Claim) -> Claim | None:
        """Write a claim if its object is as this process has seen it; None if it is not."""
        since = self.now().isoformat(timespec="seconds")
        content = {"version": str(claim.version), "build": claim.build, "since": since}
        condition = {"IfMatch": claim.etag} if claim.etag else {"IfNoneMatch": "*"}
        try:
            answer = self.s3.put_object(
                Bucket=self.bucket,
                Key=f"versions/{claim.version.tag}/{claim.version}.json",
                Body=json.dumps(content).encode(),
                ServerSideEncryption="aws:kms",
                SSEKMSKeyId=self.key_arn,
                **condition,
            )
        except ClientError as error:
            if error.response["Error"]["Code"] in _LOST:
                return None
            raise
        return replace(claim, since=since, etag=answer["ETag"])

    def _alive(self, claim: Claim) -> bool:
        state = self.state(claim)
        young = self.now() - datetime.datetime.fromisoformat(claim.since) < STARTING
        return state == "running" or (state == "not started" and young)
