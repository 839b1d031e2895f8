"""Waiting: short at first, a small share of what has passed later, and never longer than a limit."""

from slipway.polling import LONGEST_SECONDS, SHORTEST_SECONDS, pauses


def test_pauses_grow_with_the_time_that_has_passed() -> None:
    now = 0.0
    waiting = pauses(lambda: now)
    assert next(waiting) == SHORTEST_SECONDS
    now = 100.0
    assert next(waiting) == 3.0
    now = 100_000.0
    assert next(waiting) == LONGEST_SECONDS
