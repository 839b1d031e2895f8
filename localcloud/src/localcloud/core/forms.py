"""Members of a form, read without reading the form: that of CloudFormation may hold a template of a megabyte."""

from __future__ import annotations

import re
from urllib.parse import unquote_plus


def member(body: bytes, name: str) -> str | None:
    """The first value of a member of an `application/x-www-form-urlencoded` body; None where it has none.

    Args:
        name: of ASCII letters and digits, which no client encodes.
    """
    found = re.search(rb"(?:^|&)" + name.encode() + rb"=([^&]*)", body)
    return unquote_plus(found.group(1).decode("ascii", "replace")) if found and found.group(1) else None
