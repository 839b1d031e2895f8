"""What there is to remove, and how to tell whose it is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from botocore.config import Config
from botocore.exceptions import ClientError

from slipway.progress import Progress

# Codes by which services say that something is gone already, or that an account has no such thing.
GONE = {
    "404", "NoSuchBucket", "NoSuchEntity", "NoSuchTagSet", "NoSuchUpload", "NotFound", "NotFoundException",
    "RepositoryDoesNotExistException", "RepositoryNotFoundException", "ResourceNotFound", "ResourceNotFoundException",
    "FileSystemNotFound", "InvalidGroup.NotFound", "InvalidNetworkInterfaceID.NotFound", "MountTargetNotFound",
}  # fmt: skip


@dataclass(frozen=True)
class Item:
    """Something to remove.

    Args:
        kind: what it is, in words.
        name: its name in AWS.
        remove: removes it and waits until it is gone; nothing happens if it is gone already.
        detail: how much of it there is.
        data: whether removing it loses what cannot be made again.
    """

    kind: str
    name: str
    remove: Callable[[], None]
    detail: str = ""
    data: bool = False


@dataclass
class Place:
    """The account and region that a platform is removed from.

    Args:
        key_days: how long a key waits for its deletion, 7 to 30 days.
        audit: whether the audit goes too; it outlives what it watches, and goes by a step of its own.
        others: namespaces of the account's other platforms.
        held: names of what the stacks hold that stay for the audit.
        unknown: what AWS did not let the caller look for, with the reason.
    """

    session: Any
    namespace: str
    progress: Progress
    sleep: Callable[[float], None]
    key_days: int = 30
    keep_data: bool = False
    audit: bool = False
    others: frozenset[str] = frozenset()
    held: frozenset[str] = frozenset()
    unknown: dict[str, str] = field(default_factory=dict)
    _clients: dict[str, Any] = field(default_factory=dict)
    _identity: dict[str, str] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        """The service's client; the same for every caller."""
        if service not in self._clients:
            # Removing much at once meets request rates.
            config = Config(retries={"mode": "adaptive", "max_attempts": 8})
            self._clients[service] = self.session.client(service, config=config)
        return self._clients[service]

    @property
    def account(self) -> str:
        """The account's id."""
        if not self._identity:
            self._identity = dict(self.client("sts").get_caller_identity())
        return str(self._identity["Account"])

    @property
    def region(self) -> str:
        """The region's name."""
        return str(self.session.region_name)

    def owns(self, name: str, tags: Mapping[str, str] | None = None) -> bool:
        """Whether this platform made it: by its tag, or, where it has none, by a name that no other platform's is.

        `ml` and `ml-two` may share an account: `ml-two-lake` is not of `ml`, though its name begins so.
        """
        if tags and "Namespace" in tags:
            return tags["Namespace"] == self.namespace
        words = _words(name)
        longer = [other for other in self.others if len(other) > len(self.namespace)]
        if any(_begins(word, other) for word in words for other in longer):
            return False
        return any(_begins(word, self.namespace) for word in words)

    def looked(self, what: str, found: Callable[[], list[Item]]) -> list[Item]:
        """A list of items; where AWS does not let the caller look, that is noted and told at the end."""
        try:
            items = found()
        except ClientError as error:
            detail = error.response["Error"]
            self.unknown[what] = f"{detail.get('Code', 'Unknown')}: {detail.get('Message', '')}".strip(": ")
            return []
        self.unknown.pop(what, None)
        return items


def _words(name: str) -> list[str]:
    """`/aws/lambda/slipway-x` → `slipway-x`: the parts of a name that a namespace may begin."""
    return [word for word in name.split("/") if word]


def _begins(word: str, namespace: str) -> bool:
    return word == namespace or re.match(rf"{re.escape(namespace)}[-_]", word) is not None


def pages(client: Any, operation: str, key: str, **arguments: Any) -> Iterator[Any]:
    """The items of all pages of a listing."""
    if client.can_paginate(operation):
        for page in client.get_paginator(operation).paginate(**arguments):
            yield from page.get(key) or []
        return
    yield from getattr(client, operation)(**arguments).get(key) or []


def tags_of(pairs: Sequence[Mapping[str, str]] | Mapping[str, str] | None) -> dict[str, str]:
    """Tags in any of AWS's three forms as a dictionary."""
    if not pairs:
        return {}
    if isinstance(pairs, Mapping):
        return dict(pairs)
    return {
        pair.get("Key") or pair.get("key") or pair.get("TagKey") or "": pair.get("Value")
        or pair.get("value")
        or pair.get("TagValue")
        or ""
        for pair in pairs
    }


def gone(call: Callable[[], Any]) -> Any:
    """What the call returns; None if what it asks for is gone."""
    try:
        return call()
    except ClientError as error:
        code = str(error.response["Error"].get("Code", ""))
        message = str(error.response["Error"].get("Message", ""))
        if code in GONE or "does not exist" in message or "not found" in message.lower():
            return None
        raise


def many(count: int, word: str, *, more: bool = False) -> str:
    """1 object, 2 objects, more than 1,000 objects."""
    return f"{'more than ' if more else ''}{count:,} {word}{'' if count == 1 else 's'}"
