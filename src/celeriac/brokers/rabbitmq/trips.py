"""Trips with what settlements send, and what was written of one that failed half-way.

One settlement that the server does not take must not hold up the others, nor have them sent twice. So what may be
refused for good, which closes the channel over what comes before it, goes by itself; and of what is refused singly it
is known which it was. Knows nothing of acknowledgements: it tells of each settlement that was written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from amqp.exceptions import AccessRefused, AMQPError, NotFound

from celeriac.brokers.batches import PartlySettled, WrittenParts
from celeriac.brokers.rabbitmq.delays import ENTRANCES
from celeriac.brokers.rabbitmq.naming import DEAD
from celeriac.exceptions import CeleriacError, OperationalError, StoreRefused
from celeriac.storage.rabbitmq.errors import closes_channel
from celeriac.storage.rabbitmq.links import Parcel, SomeRefused

if TYPE_CHECKING:
    from celeriac.brokers.rabbitmq.holdings import Held
    from celeriac.brokers.rabbitmq.publishing import Publisher
    from celeriac.brokers.rabbitmq.settling import SettlementWriter
    from celeriac.outcome import Settlement

Chosen = tuple["Settlement", "Held | None"]
_Packed = tuple["Settlement", "Held | None", list[Parcel]]

#: Exchanges that are there: they belong to the server, or are declared before use.
_OWN: Final = frozenset({"", DEAD, *ENTRANCES})
#: Bytes from which on a message may be too large for a server (which takes 16 MiB as shipped, or less if so told).
_LARGE: Final = 256 * 1024
#: Exchanges that are known to be there.
_MOST_TRUSTED: Final = 1000


class _Trip:
    """What has become of one.

    Attributes:
        written: all of these is stored.
        left: not of these, for now.
        never: why others can never be.
    """

    def __init__(self) -> None:
        self.written: list[Settlement] = []
        self.left: list[tuple[Settlement, OperationalError]] = []
        self.never: list[Exception] = []

    def check(self) -> None:
        """Raise the reason why not all is stored."""
        if self.never:
            raise self.never[0]
        if self.left:
            reason = self.left[0][1]
            raise PartlySettled(str(reason), [one for one, _ in self.left]) from reason


class Trips:
    """Sends what settlements say.

    Args:
        publisher: sends parcels.
        writer: makes them.
        on_written: called in the event loop for settlements of which all is stored.

    Attributes:
        written: what was, by trips of which another part failed.
    """

    def __init__(
        self, publisher: Publisher, writer: SettlementWriter, on_written: Callable[[Sequence[Chosen]], None]
    ) -> None:
        self.written = WrittenParts()
        self._publisher = publisher
        self._writer = writer
        self._on_written = on_written
        self._trusted: set[str] = set()
        self._under_way: set[asyncio.Task[None]] = set()

    async def make(self, chosen: Sequence[Chosen]) -> None:
        """Send all. Cancelled, it goes on to its end: nobody can say what the server has by then.

        Raises:
            OperationalError: the server is away; `PartlySettled` if it is there, and can not take some.
            StoreRefused, EncodeError: some can never be sent. The others were written.
        """
        trip = asyncio.get_running_loop().create_task(self._make(chosen))
        self._under_way.add(trip)
        trip.add_done_callback(self._under_way.discard)
        await asyncio.shield(trip)

    async def finished(self, seconds: float) -> None:
        """Wait, for `seconds` at most, until none is under way."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=seconds)

    async def _make(self, chosen: Sequence[Chosen]) -> None:
        trip = _Trip()
        try:
            await self._send_all(trip, chosen)
            trip.check()
        except BaseException:
            self.written.keep(trip.written)
            raise
        finally:
            for _, held in chosen:
                if held is not None:
                    held.writing = False

    async def _send_all(self, trip: _Trip, chosen: Sequence[Chosen]) -> None:
        together: list[_Packed] = []
        alone: list[_Packed] = []
        for one, held in chosen:
            try:
                packed = (one, held, self._packed(one, held))
            except Exception as error:  # noqa: BLE001 - of one of them: raised when the others were written
                trip.never.append(error)
            else:
                (alone if len(chosen) > 1 and self._is_risky(packed[2]) else together).append(packed)
        if together:
            alone += await self._send(trip, together)
        for packed in alone:
            await self._send(trip, [packed])

    def _packed(self, one: Settlement, held: Held | None) -> list[Parcel]:
        """What is left to send for a settlement; the same parcels whenever it is given again."""
        if held is None:
            return self._writer.parcels(one, one.delivery.queue)
        if held.unsent is None or held.unsent[0] is not one.action or held.unsent[1] is not one.follow_ups:
            held.unsent = (one.action, one.follow_ups, self._writer.parcels(one, held.feed.name))
        return held.unsent[2]

    async def _send(self, trip: _Trip, group: list[_Packed]) -> list[_Packed]:
        """Send these, and tell of those that were written.

        Returns:
            Those that are to be sent one by one.

        Raises:
            OperationalError: the server is away.
        """
        parcels = [parcel for _, _, some in group for parcel in some]
        try:
            if parcels:
                await self._publish(parcels, is_alone=len(group) == 1)
        except SomeRefused as error:
            self._note_refused(trip, group, error)
            return []
        except CeleriacError as error:
            return self._note_failed(trip, group, error)
        if len(self._trusted) < _MOST_TRUSTED:
            self._trusted.update(parcel.exchange for parcel in parcels if parcel.exchange not in _OWN)
        self._note_written(trip, group)
        return []

    async def _publish(self, parcels: Sequence[Parcel], *, is_alone: bool) -> None:
        try:
            await asyncio.to_thread(self._publisher.send, parcels)
        except OperationalError as error:
            if not (is_alone and isinstance(error.__cause__, NotFound)):
                raise
            await asyncio.to_thread(self._publisher.send, parcels)  # what is missing may have been declared by now

    def _note_written(self, trip: _Trip, group: Sequence[_Packed]) -> None:
        trip.written += [one for one, _, _ in group]
        self._on_written([(one, held) for one, held, _ in group])

    def _note_failed(self, trip: _Trip, group: list[_Packed], error: CeleriacError) -> list[_Packed]:
        """The server is there, but for what is raised here. Returns what is to be sent one by one."""
        cause = error.__cause__
        if isinstance(error, OperationalError) and not (isinstance(cause, AMQPError) and closes_channel(cause)):
            raise error
        self._trusted.clear()
        if len(group) > 1:
            return group
        if not isinstance(error, OperationalError):
            trip.never.append(error)
        elif isinstance(cause, AMQPError) and _is_final(cause):
            trip.never.append(StoreRefused(str(error)))
        else:
            trip.left.append((group[0][0], error))
        return []

    def _note_refused(self, trip: _Trip, group: list[_Packed], error: SomeRefused) -> None:
        """Of some, not all was taken. What was is not sent again."""
        written: list[_Packed] = []
        for packed in group:
            one, held, parcels = packed
            unsent = [
                parcel for parcel in parcels if any(it is parcel or it.is_same_as(parcel) for it in error.parcels)
            ]
            if not unsent:
                written.append(packed)
                continue
            trip.left.append((one, error))
            if held is not None:
                held.unsent = (one.action, one.follow_ups, unsent)
        self._note_written(trip, written)

    def _is_risky(self, parcels: Sequence[Parcel]) -> bool:
        """The server may refuse one of these for good."""
        return any(
            (parcel.exchange not in _OWN and (parcel.mandatory or parcel.exchange not in self._trusted))
            or len(parcel.content.body) >= _LARGE
            or "user_id" in parcel.content.properties
            or "expiration" in parcel.content.properties
            for parcel in parcels
        )


def _is_final(cause: AMQPError) -> bool:
    """The same thing gets the same answer, as long as nobody changes something at the server.

    RabbitMQ says 404 as well for what it can not find at the moment, of queues on a node that is down.
    """
    return isinstance(cause, AccessRefused) or (isinstance(cause, NotFound) and "NOT_FOUND - no " in str(cause))
