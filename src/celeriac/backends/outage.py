"""How long those who wait for results put up with a store that is away. Knows nothing of results."""

from __future__ import annotations

import random
import time
from typing import Final

from celeriac.exceptions import OperationalError

#: Seconds between attempts: the first pause, and the longest.
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0


class Outage:
    """Counts the time since the store was last there.

    Args:
        patience: seconds that it may be away.

    Attributes:
        error: what went wrong last; None while all is well.
    """

    def __init__(self, patience: float) -> None:
        self.error: OperationalError | None = None
        self._patience = patience
        self._since = 0.0
        self._pause = _FIRST_PAUSE

    def goes_on(self, error: OperationalError) -> bool:
        """Note a failed attempt. Returns whether it is too long already."""
        now = time.monotonic()
        if self.error is None:
            self._since = now
        self.error = error
        return now - self._since >= self._patience

    def is_over(self) -> None:
        """The store has answered."""
        self.error = None
        self._pause = _FIRST_PAUSE

    def next_pause(self) -> float:
        """Seconds until the next attempt: growing, and not the same for all who wait."""
        pause = self._pause
        self._pause = min(2 * pause, _LONGEST_PAUSE)
        return pause * random.uniform(0.5, 1.0)  # noqa: S311 - spread, not secrecy
