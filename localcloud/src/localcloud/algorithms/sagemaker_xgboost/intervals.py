"""Ranges of numbers, written as the container writes them: [0, 1], (0, 1], [1, +inf)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Interval:
    """A range; a bound that is None is infinite."""

    low: float | None = None
    high: float | None = None
    low_open: bool = False
    high_open: bool = False

    def __contains__(self, value: Any) -> bool:
        below = self.low is not None and (value <= self.low if self.low_open else value < self.low)
        above = self.high is not None and (value >= self.high if self.high_open else value > self.high)
        return not (below or above)

    def __str__(self) -> str:
        low = "(-inf" if self.low is None else f"{'(' if self.low_open else '['}{self.low}"
        high = "+inf)" if self.high is None else f"{self.high}{')' if self.high_open else ']'}"
        return f"{low}, {high}"


def at_least(low: float) -> Interval:
    """[low, +inf)"""
    return Interval(low)


def above(low: float) -> Interval:
    """(low, +inf)"""
    return Interval(low, low_open=True)


def between(low: float, high: float) -> Interval:
    """[low, high]"""
    return Interval(low, high)


def share() -> Interval:
    """(0, 1]"""
    return Interval(0, 1, low_open=True)
