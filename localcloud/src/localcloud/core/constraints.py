"""Constraints that botocore's own validator leaves to the server: enums, patterns, lengths."""

from __future__ import annotations

from typing import Any

from botocore.model import Shape


def check(shape: Shape, value: Any) -> list[str]:
    """Problems in AWS's wording; an empty list where there are none."""
    return []
