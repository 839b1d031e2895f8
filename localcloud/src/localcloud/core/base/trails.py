"""The trails of ministack's CloudTrail: whether one of them logs what an account does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from localcloud.core.base.scope import scope


class Trails:
    """Reads CloudTrail's state."""

    def log_writes(self, account: str, region: str) -> bool:
        """Whether a trail of the account, of this region or of all, logs management events that write."""
        from ministack.services import cloudtrail

        with scope(account, region):
            for home, name, trail in list(cloudtrail._visible_trail_items()):
                if trail.get("IsLogging"):
                    default = cloudtrail._DEFAULT_EVENT_SELECTORS
                    selectors = cloudtrail._event_selectors.get_scoped(account, home, name, default)
                    if any(map(_writes, selectors)):
                        return True
        return False


def _writes(selector: Mapping[str, Any]) -> bool:
    """Whether a selector, basic or advanced, takes management events that write."""
    fields = selector.get("FieldSelectors")
    if fields is None:
        return (
            bool(selector.get("IncludeManagementEvents", True)) and selector.get("ReadWriteType", "All") != "ReadOnly"
        )
    return "Management" in _equals(fields, "eventCategory") and "true" not in _equals(fields, "readOnly")


def _equals(fields: Iterable[Mapping[str, Any]], name: str) -> list[str]:
    return [value for field in fields if field.get("Field") == name for value in field.get("Equals") or ()]
