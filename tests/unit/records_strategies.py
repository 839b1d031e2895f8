"""Requests made from a service model's shapes: what hypothesis needs to know about them."""

from __future__ import annotations

import re
from datetime import UTC
from functools import cache
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape
from hypothesis import strategies as st

_DEPTH = 3
_NARROWED = {
    r"\uD800\uDC00-\uDBFF\uDFFF": "", ".*": "[a-z]*", ".+": "[a-z]+", r"[\S\s]": "[a-z]", r"[\s\S]": "[a-z]",
    r"[\S]": "[a-z]", r"\S": "[a-z]",
}  # fmt: skip
_PROPERTIES = {"L": "a-zA-Z", "M": "", "Z": " ", "S": "+$", "N": "0-9", "P": "_.:/", "IsL": "a-z", "Alnum": "a-z0-9"}


@cache
def request(shape: Shape, depth: int = 0) -> st.SearchStrategy[Any]:
    """Values that keep every constraint of a shape. Structures below a depth have their required members only."""
    if isinstance(shape, StructureShape):
        required = {name: request(shape.members[name], depth + 1) for name in shape.required_members}
        if getattr(shape, "is_tagged_union", False):
            return st.one_of(
                *(st.fixed_dictionaries({name: request(member, depth + 1)}) for name, member in shape.members.items())
            )
        optional = {
            name: request(member, depth + 1)
            for name, member in shape.members.items()
            if name not in required and depth < _DEPTH
        }
        return st.fixed_dictionaries(required, optional=optional)
    low, high = shape.metadata.get("min") or 0, shape.metadata.get("max")
    if isinstance(shape, ListShape):
        most = max(low, min(high if high is not None else 2, 2))
        return st.lists(request(shape.member, depth + 1), min_size=low, max_size=most)
    if isinstance(shape, MapShape):
        keys, values = request(shape.key, depth + 1), request(shape.value, depth + 1)
        return st.dictionaries(keys, values, min_size=low, max_size=max(low, 2))
    return _plain(shape, low, high)


def _plain(shape: Shape, low: int, high: int | None) -> st.SearchStrategy[Any]:
    kind = shape.type_name
    if kind == "string":
        if getattr(shape, "enum", None):
            return st.sampled_from(shape.enum)
        return _text(shape.metadata.get("pattern") or "[a-z]*", low, high)
    if kind in ("integer", "long"):
        return st.integers(low, high if high is not None else low + 1000)
    if kind in ("float", "double"):
        return st.floats(low, high if high is not None else low + 1000, allow_nan=False)
    if kind == "boolean":
        return st.booleans()
    if kind == "timestamp":
        return st.datetimes(timezones=st.just(UTC)).map(lambda t: t.replace(microsecond=0))
    return st.binary(min_size=low, max_size=max(low, 8))


def _text(pattern: str, low: int, high: int | None) -> st.SearchStrategy[str]:
    """Texts of a pattern, in plain letters: what Java's dialect has and Python's has not is narrowed first."""
    plain = re.sub(r"\\p\{(\w+)\}", lambda found: _PROPERTIES[found[1]], pattern)
    for wide, narrow in _NARROWED.items():
        plain = plain.replace(wide, narrow)
    texts = st.from_regex(re.compile(plain, re.ASCII), fullmatch=True)
    longest = high if high is not None else 10_000

    def fit(text: str) -> str:
        """Long enough by repeating the last character, which the patterns here allow or the filter drops."""
        return text + (text[-1:] or "a") * (low - len(text)) if len(text) < low else text

    checked = re.compile(plain, re.ASCII)
    return texts.map(fit).filter(lambda text: low <= len(text) <= longest and checked.fullmatch(text) is not None)
