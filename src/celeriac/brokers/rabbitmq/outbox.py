"""What coroutines publish at the same time goes in one trip.

RabbitMQ confirms a message when it is on disk; a trip with a hundred waits for that once. Owns the hop to a thread,
where publishing waits without stopping the event loop.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from celeriac.exceptions import OperationalError

if TYPE_CHECKING:
    from celeriac.storage.rabbitmq.links import Parcel

#: Calls whose messages share a trip.
_MOST_CALLS: Final = 256
#: Bytes of a message that shares none: it would gain little, and the server may find it too large. Then it closes the
#: channel, and of what was sent before nobody knows what is stored.
_LARGE: Final = 256 * 1024

_Waiting = tuple[Sequence["Parcel"], "asyncio.Future[None]"]


class _Turn:
    """The calls of one event loop."""

    def __init__(self) -> None:
        self.waiting: list[_Waiting] = []
        self.task: asyncio.Task[None] | None = None


class Outbox:
    """Publishes for coroutines, of any event loop.

    Args:
        send: publishes, waits, and raises what went wrong; called in a thread.
    """

    def __init__(self, send: Callable[[Sequence[Parcel]], None]) -> None:
        self._send = send
        self._turns: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Turn] = weakref.WeakKeyDictionary()

    async def send(self, parcels: Sequence[Parcel]) -> None:
        """Publish; return when the server has confirmed. Cancelled, they may be sent all the same.

        Raises:
            OperationalError: what went wrong with the trip that they were on.
            StoreRefused: one of these is not taken, whatever becomes of others.
        """
        loop = asyncio.get_running_loop()
        turn = self._turns.setdefault(loop, _Turn())
        done: asyncio.Future[None] = loop.create_future()
        turn.waiting.append((parcels, done))
        if turn.task is None:
            turn.task = loop.create_task(self._work(turn))
        await done

    async def _work(self, turn: _Turn) -> None:
        try:
            while turn.waiting:
                count = _sharing(turn.waiting)
                calls, turn.waiting = turn.waiting[:count], turn.waiting[count:]
                await self._make_trip(calls)
        finally:
            turn.task = None
            for _, done in turn.waiting:  # the loop is being ended
                done.cancel()

    async def _make_trip(self, calls: Sequence[_Waiting]) -> None:
        try:
            await asyncio.to_thread(self._send, [parcel for parcels, _ in calls for parcel in parcels])
        except Exception as error:  # noqa: BLE001 - it belongs to the callers, whatever it is
            if len(calls) > 1 and not isinstance(error, OperationalError):
                for call in calls:  # it is one's own: the others are to be sent, rather twice than not at all
                    await self._make_trip([call])
                return
            for _, done in calls:
                if not done.done():
                    done.set_exception(error)
            return
        for _, done in calls:
            if not done.done():
                done.set_result(None)


def _sharing(calls: Sequence[_Waiting]) -> int:
    """How many calls, from the first on, go in one trip."""
    for count, (parcels, _) in enumerate(calls[:_MOST_CALLS]):
        if any(len(parcel.content.body) > _LARGE for parcel in parcels):
            return max(count, 1)
    return min(len(calls), _MOST_CALLS)
