"""The few words that every module of the engine uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from localcloud.core import Call

Record = dict[str, Any]
Answer = Mapping[str, Any] | None
Handler = Callable[[Call], Answer]
HOOKS = (
    "identify",
    "before_create",
    "after_create",
    "describe",
    "before_update",
    "after_update",
    "before_delete",
    "after_delete",
    "shared",
    "status_of",
)
