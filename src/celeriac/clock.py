"""Time as a dependency: the wall clock for what people schedule, the monotonic clock for leases and deadlines.

Nothing here may sleep. Everything that compares times takes a `Clock`, so that tests can turn the hands themselves
(`celeriac.testing.VirtualClock`).
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Two readings of time, both in seconds."""

    def time(self) -> float:
        """Wall time as a Unix timestamp. It may jump: use it only for times that people wrote (eta, expires)."""
        ...

    def monotonic(self) -> float:
        """A reading that never goes back. On one machine it is the same for all processes, so leases may use it."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


SYSTEM_CLOCK: Clock = SystemClock()
