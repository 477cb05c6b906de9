"""A clock whose hands a test turns."""

from __future__ import annotations

import threading


class VirtualClock:
    """Stands still until it is told otherwise. Thread-safe.

    Args:
        wall: Unix time to start with, in seconds.
        monotonic: the monotonic reading to start with, in seconds.

    Example:
        >>> clock = VirtualClock(wall=100.0, monotonic=5.0)
        >>> clock.advance(2.5)
        >>> clock.time(), clock.monotonic()
        (102.5, 7.5)
    """

    def __init__(self, wall: float = 1_700_000_000.0, monotonic: float = 1000.0) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._lock = threading.Lock()

    def time(self) -> float:
        """Unix time."""
        return self._wall

    def monotonic(self) -> float:
        """The monotonic reading."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass on both clocks.

        Raises:
            ValueError: `seconds` is negative; only the wall clock can go back.
        """
        if seconds < 0:
            raise ValueError(f"time does not go back by {-seconds} s; use jump() for the wall clock")
        with self._lock:
            self._wall += seconds
            self._monotonic += seconds

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward or back by `seconds`, as NTP or a person may; the monotonic one goes on."""
        with self._lock:
            self._wall += seconds

    def set_wall(self, timestamp: float) -> None:
        """Set the wall clock to a Unix time."""
        with self._lock:
            self._wall = timestamp

    def reboot(self) -> None:
        """Start the monotonic clock anew at zero, as a restart of the machine does."""
        with self._lock:
            self._monotonic = 0.0
