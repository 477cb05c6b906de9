"""How long to wait before trying again what just failed."""

from __future__ import annotations

import random
from typing import Final

_FIRST_SECONDS: Final = 0.05
#: A worker is to take tasks again within 5 s of its broker's return: this, and the trips that follow, must fit in.
_MOST_SECONDS: Final = 3.0


class Backoff:
    """Doubling waits with jitter, between half and the whole of the step, so that workers do not come back in step."""

    def __init__(self, first: float = _FIRST_SECONDS, most: float = _MOST_SECONDS) -> None:
        self._first = first
        self._most = most
        self._failures = 0

    @property
    def failing(self) -> bool:
        """The last try has failed."""
        return self._failures > 0

    def next(self) -> float:
        """Count a failure and return the seconds to wait."""
        step = min(self._most, self._first * 2.0 ** min(self._failures, 32))
        self._failures += 1
        return step * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret

    def reset(self) -> None:
        """Note a success."""
        self._failures = 0
