"""How long to wait before looking again: not long where little time has passed, and seldom where much has."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

SHORTEST_SECONDS = 0.3
LONGEST_SECONDS = 10.0
# What waiting may add to what is waited for.
_SHARE = 0.03


def pauses(clock: Callable[[], float] = time.monotonic) -> Iterator[float]:
    """Seconds to sleep, one after the other: three hundredths of the time since the first, within bounds.

    A job of seconds is seen to end at once, and one of hours does not use up an API's request rate.
    """
    began = clock()
    while True:
        yield min(max(_SHARE * (clock() - began), SHORTEST_SECONDS), LONGEST_SECONDS)
