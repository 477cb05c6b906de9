"""The Redis broker's face: `Broker`, in its order. What is written is in the Lua scripts beside it.

Owns what publishes: a pool of connections for threads and a link for each event loop. The worker's side is `Session`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from celeriac.backends.redis import RedisBackend
from celeriac.backends.redis.chord_writing import ChordTable
from celeriac.backends.redis.chords import RedisChords
from celeriac.brokers.base import Capabilities
from celeriac.brokers.redis import scripts
from celeriac.brokers.redis.keeping import QueueUpkeep
from celeriac.brokers.redis.leasing import Lease
from celeriac.brokers.redis.publishing import Layout, due_text
from celeriac.brokers.redis.session import Session
from celeriac.brokers.redis.settling import SettlementWriter
from celeriac.clock import SYSTEM_CLOCK, Clock
from celeriac.exceptions import ImproperlyConfigured, OperationalError
from celeriac.storage.redis.async_links import LoopLinks
from celeriac.storage.redis.envelope import seal
from celeriac.storage.redis.keys import PRIORITY_STEPS, SEPARATOR, Keys
from celeriac.storage.redis.links import Links

if TYPE_CHECKING:
    from celeriac.backends.base import Backend, ChordStore
    from celeriac.chords import ChordStart
    from celeriac.message import DeadLetter, Delivery, Publication
    from celeriac.outcome import Settlement
    from celeriac.storage.redis.commands import Arg
    from celeriac.storage.redis.location import Location

_STRATEGIES: Final = ("round_robin", "sorted", "priority")


class RedisBroker:
    """A broker on Redis or Valkey, 6.2 or newer; Celery's workers and producers may use the same queues.

    Args:
        location: which Redis.
        clock: for due times and leases; the system's stands for the server's own.
        sep: separator between a queue's name and a step, as in Celery's transport options.
        priority_steps: the lowest priority of each list of a queue.
        queue_order_strategy: `round_robin`: queues take turns at being first; `sorted`: by name; `priority`: as given.

    Raises:
        ImproperlyConfigured: an option is not what it should be.

    Example:
        >>> from celeriac.brokers import open_broker
        >>> open_broker("redis://:secret@localhost:6379/0").address
        'redis://localhost:6379/0'
    """

    def __init__(
        self,
        location: Location,
        *,
        clock: Clock = SYSTEM_CLOCK,
        sep: str = SEPARATOR,
        priority_steps: Sequence[int] = PRIORITY_STEPS,
        queue_order_strategy: str = "round_robin",
    ) -> None:
        if type(sep) is not str or not sep:  # it comes from a dictionary of anything
            raise ImproperlyConfigured(f"the transport option sep is {sep!r}; it is a text that no queue's name has")
        if queue_order_strategy not in _STRATEGIES:
            raise ImproperlyConfigured(
                f"the transport option queue_order_strategy is {queue_order_strategy!r}; known are "
                f"{', '.join(_STRATEGIES)}"
            )
        self.location = location
        self.address = location.address
        self._clock = clock
        self._keys = Keys(location.prefix, sep)
        self._layout = Layout(self._keys, priority_steps)
        self.capabilities = Capabilities(priorities=len(self._layout.steps))
        self._strategy = queue_order_strategy
        self._writer = SettlementWriter(self._layout, RedisBackend(location, clock=clock))
        self._upkeep = QueueUpkeep(self._layout, clock)
        self._links = Links(location)
        self._loop_links = LoopLinks(location)
        self.chords: ChordStore | None = self._chords_of(self._writer.results)
        self._session: Session | None = None
        self._asked: Lease | None = None
        self._turn = 0

    # -- producing ------------------------------------------------------------------------------------------------

    def publish(self, publications: Sequence[Publication], starts: Sequence[ChordStart] = ()) -> None:
        """See `Broker.publish`. Chords begin where those are that `settle` writes."""
        if not (publications or starts):
            return
        plain = None if starts else self._plain_push(publications)
        if plain is not None:
            self._links.call(*plain)
        else:
            arguments = self._publish_arguments(publications, starts)
            self._links.run(scripts.PUBLISH, [self._keys.leases], arguments)

    async def apublish(self, publications: Sequence[Publication], starts: Sequence[ChordStart] = ()) -> None:
        """See `Broker.apublish`."""
        if not (publications or starts):
            return
        link, plain = self._loop_links.here(), None if starts else self._plain_push(publications)
        if plain is not None:
            await link.call(*plain)
        else:
            arguments = self._publish_arguments(publications, starts)
            await link.run(scripts.PUBLISH, [self._keys.leases], arguments)

    # -- the worker's side ----------------------------------------------------------------------------------------

    async def open(self, owner: str, *, lease_seconds: float) -> None:
        """See `Broker.open`."""
        if self._session is not None:
            raise OperationalError(
                f"this broker is open already, as {self._session.lease.owner!r}; close it first, or use another one"
            )
        lease, self._asked = self._asked, None
        if lease is None or (lease.owner, lease.seconds) != (owner, lease_seconds):
            lease = Lease(owner, lease_seconds)
        session = Session(self.location, self._layout, self._writer, self._clock, lease)
        try:
            await session.open()
        except BaseException:
            self._asked = lease  # it may have been granted, and would stand in the way of the next try
            raise
        self._session = session

    async def reserve(self, queues: Sequence[str], limit: int, wait: float) -> list[Delivery]:
        """See `Broker.reserve`."""
        deliveries = await self._opened().reserve(self._in_order(queues), limit, wait)
        if deliveries:
            self._turn += 1
        return deliveries

    async def settle(self, settlements: Sequence[Settlement]) -> list[Settlement]:
        """See `Broker.settle`. Results that the settlements carry are written to the same Redis."""
        return await self._opened().settle(settlements) if settlements else []

    async def mark_started(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
        """See `Broker.mark_started`."""
        return await self._opened().mark_started(deliveries)

    async def release(self, deliveries: Sequence[Delivery]) -> None:
        """See `Broker.release`."""
        await self._opened().release(deliveries)

    async def renew(self) -> bool:
        """See `Broker.renew`."""
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
        """See `Broker.depth`."""
        return await self._upkeep.depth(self._loop_links.here(), queue)

    async def purge(self, queue: str) -> int:
        """See `Broker.purge`."""
        return await self._upkeep.purge(self._loop_links.here(), queue)

    async def dead_letters(self, queue: str | None = None, *, limit: int = 100, offset: int = 0) -> list[DeadLetter]:
        """See `Broker.dead_letters`."""
        return await self._upkeep.dead_letters(self._loop_links.here(), queue, limit, offset)

    async def requeue_dead_letters(self, tags: Sequence[int | str]) -> int:
        """See `Broker.requeue_dead_letters`."""
        return await self._upkeep.requeue(self._loop_links.here(), tags)

    async def purge_dead_letters(self, queue: str | None = None) -> int:
        """See `Broker.purge_dead_letters`."""
        return await self._upkeep.purge_dead(self._loop_links.here(), queue)

    # -- results --------------------------------------------------------------------------------------------------

    def stores_results_of(self, backend: Backend) -> bool:
        """See `Broker.stores_results_of`: a backend on the same Redis whose metas a script can read.

        From then on `settle` writes results as this backend does, and chords lie where its chords do.
        """
        if (
            not isinstance(backend, RedisBackend)
            or backend.final_mark is None
            or not backend.location.same_store(self.location)
        ):
            return False
        self._writer.results = backend
        self.chords = self._chords_of(backend)
        return True

    def disconnect(self) -> None:
        """See `Broker.disconnect`."""
        self._links.close()
        self._loop_links.close()

    # -- inside ---------------------------------------------------------------------------------------------------

    def _opened(self) -> Session:
        if self._session is None:
            raise OperationalError("this broker is not open; await open(owner, lease_seconds=...) first")
        return self._session

    def _plain_push(self, publications: Sequence[Publication]) -> list[Arg] | None:
        """The one LPUSH that will do, as Celery's producers send it; None where there is more to it."""
        queue, step = publications[0].queue, self._layout.step(publications[0].priority)
        self._layout.check_name(queue)
        now = self._clock.time()
        for one in publications:
            if one.queue != queue or self._layout.step(one.priority) != step or due_text(one.not_before, now):
                return None
        envelopes = [seal(one.message, queue, one.priority) for one in publications]
        return ["LPUSH", self._keys.list(queue, step), *envelopes]

    def _publish_arguments(self, publications: Sequence[Publication], starts: Sequence[ChordStart]) -> list[Arg]:
        pushed = self._layout.pushed(publications, self._clock.time())
        table = ChordTable(self._writer.results.chord_rules)
        started = table.starts(starts)
        return [*scripts.common_arguments(self._keys, self._clock), *table.arguments(), *started, *pushed]

    def _chords_of(self, results: RedisBackend) -> RedisChords:
        """The chords beside these results, over connections of the broker's own."""
        return RedisChords(results.chord_rules, self._links, self._loop_links.here, self._clock)

    def _in_order(self, queues: Sequence[str]) -> Sequence[str]:
        if self._strategy == "sorted":
            return sorted(queues)
        if self._strategy == "priority" or not queues:
            return queues
        turn = self._turn % len(queues)
        return [*queues[turn:], *queues[:turn]]
