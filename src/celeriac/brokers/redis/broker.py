"""The Redis broker's face: `Broker`, in its order. What is written is in the Lua scripts beside it.

Owns connections and order: one link for all that a worker asks for, one for its lease, one channel that wakes it; for
`publish` a pool for threads and a link for each event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from celeriac.backends.redis import RedisBackend
from celeriac.brokers.base import Capabilities
from celeriac.brokers.batches import WrittenParts, split
from celeriac.brokers.redis import scripts
from celeriac.brokers.redis.keeping import Keeper
from celeriac.brokers.redis.leasing import LATE, Lease, field_of
from celeriac.brokers.redis.publishing import Shelf, due_text
from celeriac.brokers.redis.reserving import TAKEN_BYTES, Taken, read_recovered, read_taken
from celeriac.brokers.redis.settling import Scribe, read_refused
from celeriac.brokers.redis.waiting import LOOKOUT_MS, Sleeper
from celeriac.clock import SYSTEM_CLOCK, Clock
from celeriac.exceptions import ImproperlyConfigured, OperationalError, StoreRefused
from celeriac.storage.redis.envelope import seal
from celeriac.storage.redis.keys import PRIORITY_STEPS, SEPARATOR, SETTLED_SLOTS, Keys
from celeriac.storage.redis.links import AsyncLink, Links, LoopLinks

if TYPE_CHECKING:
    from celeriac.backends.base import Backend
    from celeriac.message import DeadLetter, Delivery, Publication
    from celeriac.outcome import Settlement
    from celeriac.storage.redis.links import Arg
    from celeriac.storage.redis.location import Location
    from celeriac.storage.redis.scripts import Script

logger = logging.getLogger("celeriac.broker")

T = TypeVar("T")

#: Bytes of one trip of settlements.
_SETTLED_BYTES: Final = 8 * 1024 * 1024
#: Milliseconds for which the last batch is remembered. Beyond it, a batch whose answer was lost looks taken over.
_REMEMBERED_MS: Final = 600_000
#: The first Redis with what the scripts use (RPOP with a count).
_OLDEST: Final = (6, 2)


class RedisBroker:
    """A broker on Redis or Valkey, 6.2 or newer; Celery's workers and producers may use the same queues.

    Args:
        location: which Redis.
        clock: for due times and leases; the system's stands for the server's own.
        sep: separator between a queue's name and a step, as in Celery's transport options.
        priority_steps: the lowest priority of each list of a queue.
        queue_order_strategy: `round_robin`: queues take turns at being first; `sorted`: by name; `priority`: as given.
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
        self.capabilities = Capabilities(priorities=len(priority_steps))
        self.location = location
        self.address = location.address
        self._clock = clock
        self._keys = Keys(location.prefix, sep)
        self._shelf = Shelf(self._keys, priority_steps)
        self._strategy = queue_order_strategy
        self._scribe = Scribe(self._shelf, RedisBackend(location, clock=clock))
        self._keeper = Keeper(self._shelf, clock)
        self._links = Links(location)
        self._loop_links = LoopLinks(location)
        self._lease: Lease | None = None
        self._asked: Lease | None = None
        self._settling = asyncio.Lock()
        self._batches = 0
        #: Batches whose answer was lost: their numbers, by what they settle.
        self._unsure: dict[tuple[str, ...], int] = {}
        self._written = WrittenParts()
        self._turn = 0
        self._waited: set[str] = set()
        self._bound: set[str] = set()

    # -- producing ------------------------------------------------------------------------------------------------

    def publish(self, publications: Sequence[Publication]) -> None:
        """See `Broker.publish`."""
        if not publications:
            return
        plain = self._plain_push(publications)
        if plain is not None:
            self._links.call(*plain)
        else:
            self._links.run(scripts.PUBLISH, [self._keys.leases], self._publish_arguments(publications))

    async def apublish(self, publications: Sequence[Publication]) -> None:
        """See `Broker.apublish`."""
        if not publications:
            return
        link, plain = self._loop_links.here(), self._plain_push(publications)
        if plain is not None:
            await link.call(*plain)
        else:
            await link.run(scripts.PUBLISH, [self._keys.leases], self._publish_arguments(publications))

    # -- the worker's side ----------------------------------------------------------------------------------------

    async def open(self, owner: str, *, lease_seconds: float) -> None:
        """See `Broker.open`."""
        if self._lease is not None:
            raise OperationalError(
                f"this broker is open already, as {self._lease.owner!r}; close it first, or use another one"
            )
        lease, self._asked = self._asked, None
        if lease is None or (lease.owner, lease.seconds) != (owner, lease_seconds):
            lease = Lease(owner, lease_seconds)
        self._link, self._lease_link = AsyncLink(self.location), AsyncLink(self.location)
        try:
            await self._check_version()
            await self._run(self._link, lease, scripts.OPEN, [lease_seconds])
        except BaseException:
            self._asked = lease  # it may have been granted, and would stand in the way of the next try
            await self._link.close()
            raise
        self._lease = lease
        self._settling = asyncio.Lock()
        self._unsure.clear()
        self._written.clear()
        self._waited.clear()
        self._bound.clear()
        self._sleeper = Sleeper(self.location, self._link, self._pass_on)
        self._sleeper.start(self._keys.wake(lease.id))

    async def reserve(self, queues: Sequence[str], limit: int, wait: float) -> list[Delivery]:
        """See `Broker.reserve`."""
        lease, sleeper = self._held_lease(), self._sleeper
        await self._bind(lease, queues)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait
        sleeper.waiting += 1
        try:
            while self._lease is lease:
                seen, remaining = sleeper.rings, deadline - loop.time()
                taken = await self._take(lease, queues, limit, waits=remaining > 0)
                if taken.deliveries or remaining <= 0:
                    return taken.deliveries
                watched = [key for queue in taken.watched for key in self._shelf.lists(queue)]
                sleeper.set_alarm(taken.next_due)
                if watched and await sleeper.watch(watched):
                    continue  # it came between the two looks
                await sleeper.sleep(remaining, seen, is_lookout=bool(watched))
        except OperationalError:
            if self._lease is lease:
                raise
        finally:
            sleeper.waiting -= 1
        return []  # closed meanwhile

    async def settle(self, settlements: Sequence[Settlement]) -> list[Settlement]:
        """See `Broker.settle`. Results that the settlements carry are written to the same Redis."""
        if not settlements:
            return []
        lease = self._held_lease()
        refused: list[Settlement] = []
        accepted: list[Settlement] = []
        async with self._settling:  # the server remembers one batch
            for part in split(self._written.without_written(settlements), _SETTLED_BYTES):
                try:
                    lost = await self._settle_part(lease, part)
                except BaseException:
                    self._written.keep(accepted)
                    raise
                refused.extend(lost)
                gone = {id(settlement) for settlement in lost}
                accepted.extend(settlement for settlement in part if id(settlement) not in gone)
        return refused

    async def mark_started(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
        """See `Broker.mark_started`."""
        lease = self._held_lease()
        lost = await self._run(self._link, lease, scripts.MARK_STARTED, [field_of(one) for one in deliveries])
        return [deliveries[number - 1] for number in lost]

    async def release(self, deliveries: Sequence[Delivery]) -> None:
        """See `Broker.release`."""
        lease = self._held_lease()
        if deliveries:
            newest_first = sorted(deliveries, key=lambda one: int(one.tag), reverse=True)
            await self._run(self._link, lease, scripts.RELEASE, [field_of(one) for one in newest_first])

    async def renew(self) -> bool:
        """See `Broker.renew`."""
        lease = self._held_lease()
        left = await self._run(self._lease_link, lease, scripts.RENEW, [lease.seconds])
        lease.note_renewal(float(left) if left else None, self._clock.monotonic())
        if not left:
            self._bound.clear()  # the server may have lost all it had
        lapsed, lease.lapsed = lease.lapsed, False
        return not lapsed

    async def recover(self, limit: int) -> list[Delivery]:
        """See `Broker.recover`."""
        lease = self._held_lease()
        if lease.is_quiet(self._clock.monotonic()):
            return []
        first = lease.draw(limit)
        arguments: list[Arg] = [lease.seconds, limit, TAKEN_BYTES, lease.field_prefix, first, lease.seconds * LATE]
        left, *groups = await self._run_taking(self._lease_link, lease, scripts.RECOVER, arguments, first, limit)
        if not left or float(left) < lease.seconds * LATE:
            lease.note_renewal(float(left) if left else None, self._clock.monotonic())
            return []
        return read_recovered(groups, lease, first)

    async def close(self) -> None:
        """See `Broker.close`."""
        lease, self._lease = self._lease, None
        if lease is None:
            return
        await self._sleeper.stop()
        try:
            memories = [self._keys.settled(lease.id, slot) for slot in range(SETTLED_SLOTS)]
            await self._run(self._link, lease, scripts.CLOSE, [len(memories), *memories, *self._waited])
        finally:
            await self._link.close()
            await self._lease_link.close()

    # -- looking after queues -------------------------------------------------------------------------------------

    async def depth(self, queue: str) -> int:
        """See `Broker.depth`."""
        return await self._keeper.depth(self._loop_links.here(), queue)

    async def purge(self, queue: str) -> int:
        """See `Broker.purge`."""
        return await self._keeper.purge(self._loop_links.here(), queue)

    async def dead_letters(self, queue: str | None = None, *, limit: int = 100, offset: int = 0) -> list[DeadLetter]:
        """See `Broker.dead_letters`."""
        return await self._keeper.dead_letters(self._loop_links.here(), queue, limit, offset)

    async def requeue_dead_letters(self, tags: Sequence[int | str]) -> int:
        """See `Broker.requeue_dead_letters`."""
        return await self._keeper.requeue(self._loop_links.here(), tags)

    async def purge_dead_letters(self, queue: str | None = None) -> int:
        """See `Broker.purge_dead_letters`."""
        return await self._keeper.purge_dead(self._loop_links.here(), queue)

    # -- results --------------------------------------------------------------------------------------------------

    def stores_results_of(self, backend: Backend) -> bool:
        """See `Broker.stores_results_of`: a backend on the same Redis whose metas a script can read.

        From then on `settle` writes results as this backend does.
        """
        if (
            not isinstance(backend, RedisBackend)
            or backend.final_mark is None
            or not backend.location.same_store(self.location)
        ):
            return False
        self._scribe.results = backend
        return True

    def disconnect(self) -> None:
        """See `Broker.disconnect`."""
        self._links.close()
        self._loop_links.close()

    # -- inside ---------------------------------------------------------------------------------------------------

    def _held_lease(self) -> Lease:
        if self._lease is None:
            raise OperationalError("this broker is not open; await open(owner, lease_seconds=...) first")
        return self._lease

    def _plain_push(self, publications: Sequence[Publication]) -> list[Arg] | None:
        """The one LPUSH that will do, as Celery's producers send it; None where there is more to it."""
        queue, step = publications[0].queue, self._shelf.step(publications[0].priority)
        now = self._clock.time()
        for one in publications:
            if one.queue != queue or self._shelf.step(one.priority) != step or due_text(one.not_before, now):
                return None
        envelopes = [seal(one.message, queue, one.priority) for one in publications]
        return ["LPUSH", self._keys.list(queue, step), *envelopes]

    def _publish_arguments(self, publications: Sequence[Publication]) -> list[Arg]:
        pushed = self._shelf.pushed(publications, self._clock.time())
        return [*scripts.common_arguments(self._keys, self._clock), *pushed]

    async def _run(self, link: AsyncLink, lease: Lease, script: Script, arguments: Sequence[Arg]) -> Any:
        common = scripts.common_arguments(self._keys, self._clock, lease.id)
        try:
            return await link.run(script, [self._keys.leases], [*common, *arguments])
        except (OperationalError, StoreRefused) as error:
            code, _, seconds = str(error.__cause__).partition(" ")
            if code != "NAMETAKEN":
                raise
            raise OperationalError(
                f"another worker named {lease.owner!r} holds a lease; give this one another name, "
                f"or wait {float(seconds):.0f} s if that one was killed"
            ) from None

    async def _check_version(self) -> None:
        """Say what is wrong before a script fails with words that nobody understands."""
        try:
            info = await self._link.call("INFO", "server")
        except (OperationalError, StoreRefused):
            if not self._link.is_connected:
                raise
            return  # its user may not ask
        match = re.search(rb"redis_version:(\d+)\.(\d+)[^\r]*", info)
        if match and (int(match[1]), int(match[2])) < _OLDEST:
            raise ImproperlyConfigured(
                f"{self.address} is Redis {match[0].partition(b':')[2].decode()}, which is too old: "
                f"{_OLDEST[0]}.{_OLDEST[1]} or newer is needed (or any Valkey)"
            )

    async def _bind(self, lease: Lease, queues: Sequence[str]) -> None:
        """Declare queues as Celery's workers do, so that producers find them by exchange and routing key."""
        new = [queue for queue in queues if queue not in self._bound]
        if new:
            keys = self._keys
            arguments: list[Arg] = []
            for queue in new:
                member = keys.binding(queue, "", queue)
                arguments += (keys.bindings(queue), member, keys.permanent_bindings(queue), member)
            await self._run(self._link, lease, scripts.BIND, arguments)
            self._bound.update(new)

    async def _take(self, lease: Lease, queues: Sequence[str], limit: int, *, waits: bool) -> Taken:
        first = lease.draw(max(limit, 0))
        steps = self._shelf.steps
        arguments = [
            *(lease.seconds, limit, TAKEN_BYTES, lease.field_prefix, first),
            *(LOOKOUT_MS if waits else 0, "1" if self._waited else "", len(steps), *steps, *self._in_order(queues)),
        ]
        taken = await self._finish(
            self._read_trip(lease, arguments, first, limit),
            lambda taken: self.release(taken.deliveries),
        )
        if taken.deliveries:
            self._turn += 1
            if len(taken.deliveries) >= limit:
                self._waited.clear()
        elif waits:
            self._waited.update(queues)
        return taken

    async def _read_trip(self, lease: Lease, arguments: Sequence[Arg], first: int, count: int) -> Taken:
        reply = await self._run_taking(self._link, lease, scripts.RESERVE, arguments, first, count)
        taken = read_taken(reply, lease, first)
        if taken.lapsed:
            lease.note_renewal(None, self._clock.monotonic())
        return taken

    async def _run_taking(
        self, link: AsyncLink, lease: Lease, script: Script, arguments: Sequence[Arg], first: int, count: int
    ) -> Any:
        """Run a script that takes messages, after giving back what earlier ones took without being heard."""
        unsure = lease.unsure
        if unsure:
            lease.unsure = []
            try:
                # A server that hung may still have the unanswered request before it. When it answers this, it has read
                # all that came before, on other connections too.
                await link.call("PING")
                given_back = await self._run(link, lease, scripts.RECLAIM, [n for pair in unsure for n in pair])
            except BaseException:
                lease.unsure = unsure + lease.unsure
                raise
            if given_back:
                logger.info("Gave back %d messages that an interrupted trip had taken", given_back)
        session, was_connected = link.session, link.is_connected
        try:
            return await self._run(link, lease, script, arguments)
        except BaseException:
            if was_connected or link.session != session:  # else nothing can have been sent
                lease.note_unsure(first, count)
            raise

    async def _finish(self, trip: Coroutine[Any, Any, T], give_back: Callable[[T], Coroutine[Any, Any, None]]) -> T:
        """Make a trip to its end. Should the caller be cancelled meanwhile, what was taken is given back."""
        task = asyncio.get_running_loop().create_task(trip)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            # The trip is short, or fails at its deadline. What can not be given back stays held until the lease ends.
            await asyncio.wait([task])
            if not task.cancelled() and task.exception() is None:
                with contextlib.suppress(OperationalError):
                    await give_back(task.result())
            raise

    def _in_order(self, queues: Sequence[str]) -> Sequence[str]:
        if self._strategy == "sorted":
            return sorted(queues)
        if self._strategy == "priority" or not queues:
            return queues
        turn = self._turn % len(queues)
        return [*queues[turn:], *queues[:turn]]

    async def _settle_part(self, lease: Lease, part: Sequence[Settlement]) -> list[Settlement]:
        fields = tuple(field_of(settlement.delivery) for settlement in part)
        batch = self._unsure.get(fields)
        is_again = batch is not None
        if batch is None:
            self._batches += 1
            batch = self._batches
        settlements = self._scribe.write(part, self._clock.time())
        memory = self._keys.settled(lease.id, batch % SETTLED_SLOTS)
        arguments: list[Arg] = [batch, "1" if is_again else "", memory, _REMEMBERED_MS]
        arguments += (self._scribe.results.final_mark or "", *settlements)
        try:
            answer = await self._run(self._link, lease, scripts.SETTLE, arguments)
        except BaseException:
            self._unsure[fields] = batch  # it may have been written
            if len(self._unsure) > SETTLED_SLOTS:  # the server remembers no more of them
                del self._unsure[next(iter(self._unsure))]
            raise
        self._unsure.pop(fields, None)
        return read_refused(answer, part)

    async def _pass_on(self) -> None:
        waited, self._waited = self._waited, set()
        lease = self._lease
        if waited and lease is not None:
            await self._run(self._link, lease, scripts.PASS_ON, sorted(waited))
