"""What the AMQP clients are measured with: one message as Celery sends it, and how confirms are counted.

Standard library only.
"""

from __future__ import annotations

from typing import Final

QUEUE: Final = "clients"
#: Deliveries that may be unsettled; every hundredth acknowledges a hundred.
PREFETCH: Final = 1_000
ACK_EVERY: Final = 100
#: Messages that may be unconfirmed in bulk; when so many are, publishing waits until half of them are confirmed.
WINDOW: Final = 1_000

_ID: Final = "0b8dff6c-94a3-4f0e-9a52-8fb8b6fd24e1"
CONTENT_TYPE: Final = "application/json"
BODY: Final = b'[[], {}, {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]'
HEADERS: Final[dict[str, str | int | None]] = {
    "lang": "py",
    "task": "bench.noop",
    "id": _ID,
    "shadow": None,
    "eta": None,
    "expires": None,
    "group": None,
    "retries": 0,
    "root_id": _ID,
    "parent_id": None,
    "argsrepr": "()",
    "kwargsrepr": "{}",
    "origin": "gen1@bench",
}


class Unconfirmed:
    """Messages of one channel that the server has not yet confirmed, by number."""

    def __init__(self) -> None:
        self._numbers: dict[int, None] = {}  # in the order of publishing
        self._last = 0

    def __len__(self) -> int:
        return len(self._numbers)

    def add(self) -> None:
        """One more was published."""
        self._last += 1
        self._numbers[self._last] = None

    def confirm(self, number: int, multiple: bool) -> None:
        """That one is confirmed; with `multiple` all before it too."""
        if not multiple:
            del self._numbers[number]
            return
        while self._numbers and (first := next(iter(self._numbers))) <= number:
            del self._numbers[first]


class Count:
    """Messages taken in, of `wanted`: which of them acknowledges, and which is the last."""

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._taken = 0

    def take(self, headers: dict[str, object]) -> bool:
        """One more, whose headers have been decoded; whether it is one that acknowledges."""
        if headers["id"] != _ID:
            raise RuntimeError(f"a message of somebody else: {headers}")
        self._taken += 1
        return self._taken % ACK_EVERY == 0 or self.complete

    @property
    def complete(self) -> bool:
        """Whether all are there."""
        return self._taken >= self._wanted
