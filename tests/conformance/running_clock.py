"""A clock that goes on by itself, for stores that keep a time of their own: tests can turn it, and it never stands."""

from __future__ import annotations

import time

from celeriac.testing import VirtualClock


class RunningClock(VirtualClock):
    """The system's time, and whatever was added to it."""

    def __init__(self) -> None:
        super().__init__(wall=0.0, monotonic=0.0)

    def time(self) -> float:
        """Unix time."""
        return time.time() + super().time()

    def monotonic(self) -> float:
        """The monotonic reading."""
        return time.monotonic() + super().monotonic()
