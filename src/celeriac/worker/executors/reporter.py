"""Sends the ends of attempts to the supervisor: at once, or a few together while they come fast.

A message for each end costs more than a short task itself. Holding one back must not make it late, though: the next
task may run for an hour. So ends are only held while the executor's I/O thread looks after them every
`HOLD_SECONDS`, which it does as long as they come fast.
"""

from __future__ import annotations

import threading
from typing import Final

from celeriac.worker.ipc import BlockingChannel, Done, Finished, ToExecutor

#: The longest time for which an end is held back.
HOLD_SECONDS: Final = 0.002
#: Ends in one message.
_MOST_HELD: Final = 32
#: Looks without finding anything, after which the I/O thread stops looking.
_IDLE_LOOKS: Final = 5


class Reporter:
    """Thread-safe.

    Args:
        channel: to the supervisor.

    Attributes:
        holding: ends may be held; the I/O thread must call `tick` every `HOLD_SECONDS`.
    """

    def __init__(self, channel: BlockingChannel[ToExecutor]) -> None:
        self.holding = False
        self._channel = channel
        self._lock = threading.Lock()
        self._held: list[Finished] = []
        self._idle_looks = 0

    def put(self, finished: Finished, *, pressed: bool) -> None:
        """Report an end. `pressed`: another one is likely to follow soon."""
        with self._lock:
            self._held.append(finished)
            if pressed and self.holding and len(self._held) < _MOST_HELD:
                return
            self._send()

    def hold(self) -> None:
        """Ends may be held from now on. I/O thread."""
        with self._lock:
            self.holding = True
            self._idle_looks = 0

    def tick(self) -> None:
        """Send what is held. I/O thread."""
        with self._lock:
            if self._held:
                self._idle_looks = 0
                self._send()
            else:
                self._idle_looks += 1
                self.holding = self._idle_looks < _IDLE_LOOKS

    def stop_holding(self) -> None:
        """Send what is held, and every end at once from now on."""
        with self._lock:
            self.holding = False
            self._send()

    def flush(self) -> None:
        """Send what is held."""
        with self._lock:
            self._send()

    def _send(self) -> None:
        if self._held:
            held, self._held = self._held, []
            self._channel.send(Done(tuple(held)))
