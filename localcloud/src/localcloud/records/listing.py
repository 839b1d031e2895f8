"""List: the filters, the order and the pages that the request's model offers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from localcloud.core import paginate
from localcloud.records.kind import Derived
from localcloud.records.shaping import look, project, renamed
from localcloud.records.types import Record

_CONTROL = ("NextToken", "MaxResults", "SortBy", "SortOrder", "CrossAccountFilterOption")
# The lists' pages have ten entries where the request does not say; some operations document another number.
_PAGE = 10


def answer(derived: Derived, request: Mapping[str, Any], records: list[Record]) -> dict[str, Any]:
    """The List answer for a request over all records of an account and region, oldest first."""
    shapes = derived.members("List")
    chosen = [record for record in records if _passes(derived, request, record)]
    chosen = _sorted(derived, request, chosen)
    documented = re.search(r"default[^.]*?(\d+)|(\d+) by default", _documentation(shapes.get("MaxResults")))
    size = int(next(filter(None, documented.groups()))) if documented else _PAGE
    page, token = paginate(chosen, request, token="NextToken", limit="MaxResults", default=size)  # noqa: S106
    member, shape = derived.list_member
    result: dict[str, Any] = {member: [project(renamed(record, derived.kind.summary), shape) for record in page]}
    if token:
        result["NextToken"] = token
    return result


def _passes(derived: Derived, request: Mapping[str, Any], record: Record) -> bool:
    for name, wanted in request.items():
        if name in _CONTROL or wanted is None:
            continue
        if not _test(derived, name, wanted, record):
            return False
    return True


def _test(derived: Derived, name: str, wanted: Any, record: Record) -> bool:
    if name in derived.kind.filters:
        return _equal(look(record, derived.kind.filters[name]), wanted)
    if time := re.fullmatch(r"(\w*?)(After|Before)", name):
        recorded = record.get(_time_member(derived, time[1]))
        if recorded is None:
            return False
        return _utc(recorded) >= _utc(wanted) if time[2] == "After" else _utc(recorded) <= _utc(wanted)
    if part := re.fullmatch(r"(\w*?)(Contains|Prefix|Equals)", name):
        value = record.get(_member(derived, part[1]))
        if part[2] == "Equals":
            return _equal(value, wanted)
        text, sought = str(value or "").lower(), str(wanted).lower()
        return sought in text if part[2] == "Contains" else text.startswith(sought)
    return _equal(record.get(_member(derived, name)), wanted)


def _member(derived: Derived, name: str) -> str:
    """The record's member that a filter or a sort key means: `Name`, `STATUS`, `LastModifiedTime`."""
    plain = name.replace("_", "").lower()
    if plain in ("name", derived.kind.name.lower() + "name"):
        return derived.name_member
    if plain in ("status", derived.kind.name.lower() + "status"):
        return derived.status_member or name
    if plain in ("creationtime", "createdtime", "createdate", "created"):
        return derived.created_member
    if plain in ("lastmodifiedtime", "lastmodified", "modified", "modifiedtime"):
        return derived.modified_member
    known = {**derived.members("Create"), **(derived.described.members if derived.described else {})}
    return next((member for member in known if member.lower() == plain), name)


def _time_member(derived: Derived, stem: str) -> str:
    return _member(derived, stem or "CreationTime")


def _equal(recorded: Any, wanted: Any) -> bool:
    if recorded == wanted:
        return True
    # A filter that takes a name takes the ARN of the same thing too.
    return isinstance(wanted, str) and wanted.startswith("arn:") and recorded == wanted.partition("/")[2]


def _sorted(derived: Derived, request: Mapping[str, Any], records: list[Record]) -> list[Record]:
    shapes = derived.members("List")
    by = str(request.get("SortBy") or _default(shapes.get("SortBy")) or "CreationTime")
    order = str(request.get("SortOrder") or _default(shapes.get("SortOrder")) or "Descending")
    member = _member(derived, by)
    # Python's sort is stable, so that records of the same moment stay in the order of their creation.
    return sorted(records, key=_key(member), reverse=order.lower().startswith("desc"))


def _key(member: str) -> Callable[[Record], tuple[bool, Any]]:
    def key(record: Record) -> tuple[bool, Any]:
        value = record.get(member)
        if isinstance(value, datetime):
            return True, _utc(value).timestamp()
        if isinstance(value, int | float):
            return True, value
        return value is not None, str(value or "")

    return key


def _default(shape: Any) -> str:
    """What the model's documentation says is taken when the request does not say."""
    values = "|".join(re.escape(value) for value in getattr(shape, "enum", None) or ["-"])
    found = re.search(rf"default[^.]*?<code>({values})</code>", _documentation(shape), re.IGNORECASE)
    return found[1] if found else ""


def _documentation(shape: Any) -> str:
    return str(getattr(shape, "documentation", "") or "")


def _utc(value: Any) -> datetime:
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC)
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    moment: datetime = value
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
