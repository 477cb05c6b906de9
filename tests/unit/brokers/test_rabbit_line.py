"""How the event loop wakes the thread of a connection."""

from __future__ import annotations

import asyncio
import select
from collections.abc import Sequence

from celeriac.brokers.rabbitmq.line import Delivered, Line
from celeriac.config import Settings
from celeriac.exceptions import CeleriacError
from celeriac.storage.rabbitmq.reading import read_location


class Deaf:
    """Hears of nothing."""

    def on_arrivals(self, line: Line, arrivals: Sequence[Delivered]) -> None:
        """See `LineEvents`."""

    def on_cancelled(self, line: Line, feed: str, tag: str) -> None:
        """See `LineEvents`."""

    def on_lost(self, line: Line, error: CeleriacError) -> None:
        """See `LineEvents`."""


def test_a_ring_whose_byte_is_late_does_not_keep_the_thread_awake() -> None:
    location = read_location("amqp://localhost", {}, setting="broker_url", settings=Settings())

    async def scenario() -> None:
        line = Line(location, 0.0, "w", Deaf())
        with line._ear as ear, line._bell as bell:  # it is never started: its thread would close them
            line._rung = True  # noted by the loop, which has not sent the byte yet
            line._hush()
            bell.send(b"\0")
            line._hush()
            assert not select.select([ear], [], [], 0)[0]

    asyncio.run(scenario())
