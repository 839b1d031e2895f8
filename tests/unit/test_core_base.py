"""The seam to ministack."""

from __future__ import annotations

from localcloud.core.base.internals import EXPECTED, check_internals


def test_everything_that_the_adapter_touches_exists() -> None:
    """Protects an upgrade of ministack: what has moved is named here, not found out in a demo."""
    assert check_internals() == []


def test_a_moved_internal_is_named() -> None:
    """Shows that the check above can fail."""
    EXPECTED["ministack.app"] = (*EXPECTED["ministack.app"], "no_such_thing")
    EXPECTED["ministack.no_such_module"] = ("x",)
    try:
        assert check_internals() == ["ministack.app.no_such_thing", "ministack.no_such_module"]
    finally:
        EXPECTED["ministack.app"] = EXPECTED["ministack.app"][:-1]
        del EXPECTED["ministack.no_such_module"]
