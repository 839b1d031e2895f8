"""IAM's policy simulation with the context that the caller gives: ministack evaluates without it.

A policy with a condition is undecidable without a context; then every such permission would be denied.
"""

from __future__ import annotations

import contextvars
from typing import Any

_CONTEXT: contextvars.ContextVar[dict[str, Any] | None] = contextvars.ContextVar("simulated", default=None)


def install() -> None:
    """Wrap both simulations."""
    from ministack.core import iam_evaluator
    from ministack.services import iam

    original: Any = iam_evaluator.EvalContext

    class Context(original):  # type: ignore[misc]  # ministack is not typed
        """What is evaluated, with what the simulation's caller gave."""

        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            self.service_context.update(_CONTEXT.get() or {})

    iam_evaluator.EvalContext = Context
    for name in ("SimulatePrincipalPolicy", "SimulateCustomPolicy"):
        iam._IAM_HANDLERS[name] = _with_context(iam._IAM_HANDLERS[name])


def _with_context(original: Any) -> Any:
    def simulate(request: dict[str, Any]) -> Any:
        token = _CONTEXT.set(_entries(request))
        try:
            return original(request)
        finally:
            _CONTEXT.reset(token)

    return simulate


def _entries(request: dict[str, Any]) -> dict[str, Any]:
    """`ContextEntries.member.N.…` as key → value, or values where there are several."""
    found: dict[str, Any] = {}
    number = 1
    while key := _text(request, f"ContextEntries.member.{number}.ContextKeyName"):
        values: list[str] = []
        while (value := request.get(f"{_prefix(number)}.{len(values) + 1}")) is not None:
            values.append(str(value[0] if isinstance(value, list) else value))
        found[key.lower()] = values[0] if len(values) == 1 else values
        number += 1
    return found


def _prefix(number: int) -> str:
    return f"ContextEntries.member.{number}.ContextKeyValues.member"


def _text(request: dict[str, Any], key: str) -> str:
    value = request.get(key) or [""]
    return str(value[0] if isinstance(value, list) else value)
