"""The RabbitMQ broker's face: `Broker`, in its order.

Owns what publishes: a pool of connections for threads, with confirms. The worker's side is `Session`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from celeriac.brokers.base import Capabilities
from celeriac.brokers.rabbitmq import delays
from celeriac.brokers.rabbitmq.dead_letters import DeadLetters
from celeriac.brokers.rabbitmq.declaring import Declarer
from celeriac.brokers.rabbitmq.naming import presence_of, suspects_of
from celeriac.brokers.rabbitmq.outbox import Outbox
from celeriac.brokers.rabbitmq.publishing import Publisher
from celeriac.brokers.rabbitmq.session import Session
from celeriac.brokers.rabbitmq.settling import SettlementWriter
from celeriac.clock import SYSTEM_CLOCK, Clock
from celeriac.exceptions import ImproperlyConfigured, NotSupported, OperationalError
from celeriac.storage.rabbitmq.links import Links

if TYPE_CHECKING:
    from celeriac.backends.base import Backend, ChordStore
    from celeriac.chords import ChordStart
    from celeriac.message import DeadLetter, Delivery, Publication
    from celeriac.outcome import Settlement
    from celeriac.storage.rabbitmq.location import RabbitLocation
    from celeriac.topology import Topology


class RabbitBroker:
    """A broker on RabbitMQ, 3.10 or newer; Celery's workers and producers may use the same queues.

    Args:
        location: which server.
        topology: which queues there are, and what they are like.
        clock: for due times.
        delay_queue_type: type of the queues for delayed delivery, `quorum` or `classic`.

    Example:
        >>> from celeriac.brokers import open_broker
        >>> open_broker("amqp://guest:secret@localhost:5672//").address
        'amqp://guest@localhost:5672//'
    """

    def __init__(
        self,
        location: RabbitLocation,
        *,
        topology: Topology,
        clock: Clock = SYSTEM_CLOCK,
        delay_queue_type: str = "quorum",
    ) -> None:
        self.capabilities = Capabilities(
            priorities=1,
            exchanges=True,
            timed_leases=False,
            returns_to_front=False,
            sees_future_work=False,
            longest_name=delays.LONGEST_NAME,
            all_properties=False,
        )
        self.location = location
        self.address = location.address
        self.chords: ChordStore | None = None
        self._clock = clock
        self._links = Links(location.for_publishing)
        self._declarer = Declarer(self._links, topology, delay_queue_type)
        self._publisher = Publisher(self._links, self._declarer, topology, clock)
        self._outbox = Outbox(self._publisher.send)
        self._writer = SettlementWriter(self._publisher, clock)
        self._dead_links = Links(location.for_publishing, "dead letters")
        self._dead = DeadLetters(self._dead_links, self._declarer, self._publisher)
        self._session: Session | None = None

    # -- producing ------------------------------------------------------------------------------------------------

    def publish(self, publications: Sequence[Publication], starts: Sequence[ChordStart] = ()) -> None:
        """See `Broker.publish`. Should the connection be lost, some of several may have been stored."""
        _refuse_chords(starts)
        if publications:
            self._publisher.send(self._publisher.parcels(publications))

    async def apublish(self, publications: Sequence[Publication], starts: Sequence[ChordStart] = ()) -> None:
        """See `Broker.apublish`."""
        _refuse_chords(starts)
        if publications:
            parcels = self._publisher.parcels(publications)
            if any(one.exchange is not None for one in publications):  # its error must not be that of others
                await asyncio.to_thread(self._publisher.send, parcels)
            else:
                await self._outbox.send(parcels)

    # -- the worker's side ----------------------------------------------------------------------------------------

    async def open(self, owner: str, *, lease_seconds: float) -> None:
        """See `Broker.open`."""
        if self._session is not None:
            raise OperationalError(
                f"this broker is open already, as {self._session.owner!r}; close it first, or use another one"
            )
        heartbeat = self.location.heartbeat_within(lease_seconds)
        session = Session(self.location, self._declarer, self._publisher, self._writer, self._clock, owner, heartbeat)
        await session.open()
        try:
            await self._check_writer(owner)
        except BaseException:
            await session.close()
            raise
        self._session = session

    async def reserve(self, queues: Sequence[str], limit: int, wait: float) -> list[Delivery]:
        """See `Broker.reserve`."""
        return await self._opened().reserve(queues, limit, wait)

    async def settle(self, settlements: Sequence[Settlement]) -> list[Settlement]:
        """See `Broker.settle`. RabbitMQ has no transaction: what is sent is confirmed first, then acknowledged."""
        return await self._opened().settle(settlements) if settlements else []

    async def mark_started(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
        """See `Broker.mark_started`."""
        return await self._opened().mark_started(deliveries)

    async def release(self, deliveries: Sequence[Delivery]) -> None:
        """See `Broker.release`. They go to the back."""
        if deliveries:
            await self._opened().release(deliveries)

    async def renew(self) -> bool:
        """See `Broker.renew`. The lease is the connection."""
        return await self._opened().renew()

    async def recover(self, limit: int) -> list[Delivery]:
        """See `Broker.recover`."""
        return await self._opened().recover(limit)

    async def close(self) -> None:
        """See `Broker.close`."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    # -- looking after queues -------------------------------------------------------------------------------------

    async def depth(self, queue: str) -> int:
        """See `Broker.depth`. Without future work."""
        counts = await asyncio.to_thread(lambda: [self._declarer.count(name) for name in (queue, suspects_of(queue))])
        return sum(counts) + (self._session.waiting(queue) if self._session is not None else 0)

    async def purge(self, queue: str) -> int:
        """See `Broker.purge`. Without future work."""
        here = self._session.purge(queue) if self._session is not None else 0
        counts = await asyncio.to_thread(lambda: [self._declarer.purge(name) for name in (queue, suspects_of(queue))])
        return here + sum(counts)

    async def dead_letters(self, queue: str | None = None, *, limit: int = 100, offset: int = 0) -> list[DeadLetter]:
        """See `Broker.dead_letters`. Of the oldest 10,000."""
        return await asyncio.to_thread(self._dead.list, queue, limit, offset)

    async def requeue_dead_letters(self, tags: Sequence[int | str]) -> int:
        """See `Broker.requeue_dead_letters`."""
        return await asyncio.to_thread(self._dead.requeue, frozenset(tags))

    async def purge_dead_letters(self, queue: str | None = None) -> int:
        """See `Broker.purge_dead_letters`."""
        return await asyncio.to_thread(self._dead.purge, queue)

    # -- results --------------------------------------------------------------------------------------------------

    def stores_results_of(self, backend: Backend) -> bool:  # noqa: ARG002 - the contract's
        """RabbitMQ stores no results."""
        return False

    def disconnect(self) -> None:
        """See `Broker.disconnect`."""
        self._declarer.forget()
        self._links.close()
        self._dead_links.close()

    async def _check_writer(self, owner: str) -> None:
        """What a worker sends to queues of its own must come out where it takes from."""
        writer = self.location.writer
        if writer is not None and not await asyncio.to_thread(self._declarer.sees, presence_of(owner)):
            raise ImproperlyConfigured(
                f"broker_read_url leads to {self.location.address} and broker_write_url to {writer.address}, which are "
                "not the same virtual host of one cluster: retries and what was lost would not come back to the "
                "workers. Set both to servers of one cluster, or give programs that only send another broker_url"
            )

    def _opened(self) -> Session:
        if self._session is None:
            raise OperationalError("this broker is not open; call open() first")
        return self._session


def _refuse_chords(starts: Sequence[ChordStart]) -> None:
    if starts:
        raise NotSupported("RabbitMQ can not join chords: they begin where results are stored, before their messages")
