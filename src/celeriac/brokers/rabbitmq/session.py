"""A worker's time at the broker, from `open` to `close`: its connection, its feeds, and what it holds.

The lease is the connection: what was delivered over it and is not acknowledged belongs to this worker until it ends.
Publishing goes over other connections, since RabbitMQ stops reading from those that publish when it is short of memory.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from celeriac.brokers.batches import PartlySettled
from celeriac.brokers.rabbitmq.holdings import Holdings
from celeriac.brokers.rabbitmq.inflow import Inflow
from celeriac.brokers.rabbitmq.longhold import LongHold
from celeriac.brokers.rabbitmq.naming import suspects_of
from celeriac.brokers.rabbitmq.outcomes import Outcomes, guarded
from celeriac.brokers.rabbitmq.supply import Supply
from celeriac.brokers.rabbitmq.trips import Chosen, Trips
from celeriac.exceptions import OperationalError
from celeriac.outcome import Acknowledge, Keep, Requeue, Settlement

if TYPE_CHECKING:
    from celeriac.brokers.rabbitmq.declaring import Declarer
    from celeriac.brokers.rabbitmq.feeds import Feed
    from celeriac.brokers.rabbitmq.publishing import Publisher
    from celeriac.brokers.rabbitmq.settling import SettlementWriter
    from celeriac.clock import Clock
    from celeriac.message import Delivery
    from celeriac.storage.rabbitmq.location import RabbitLocation

logger = logging.getLogger("celeriac.broker")

#: Seconds between looks after prefetches, stale buffers and long holds.
_TEND_SECONDS: Final = 0.5
#: Seconds for which what has come may lie here while nobody asks for it.
_STALE_SECONDS: Final = 1.0
#: Seconds between looks for suspects while there seem to be none.
_SUSPECTS_SECONDS: Final = 5.0
#: Suspects that one worker takes at a time: what waits beside one that kills its worker is counted with it.
_SUSPECTS_AT_ONCE: Final = 4
#: Seconds for which none is fetched beside those that have just been given out: what kills its worker does it soon.
_PROBATION_SECONDS: Final = 1.0
#: Seconds that `close` waits for what is being published, twice at most.
_END_SECONDS: Final = 5.0


class Session:
    """What is there while a broker is open.

    Args:
        location: which server.
        declarer: has queues there.
        publisher: sends.
        writer: says what settlements send.
        clock: for due times.
        owner: this worker's name.
        heartbeat: seconds between heartbeats.

    Attributes:
        is_open: until `close`.
    """

    def __init__(
        self,
        location: RabbitLocation,
        declarer: Declarer,
        publisher: Publisher,
        writer: SettlementWriter,
        clock: Clock,
        owner: str,
        heartbeat: float,
    ) -> None:
        self.owner = owner
        self.is_open = True
        self._clock = clock
        self._trips = Trips(publisher, writer, self._note_written)
        self._loop = asyncio.get_running_loop()
        self._holdings = Holdings()
        self._outcomes = Outcomes(self._holdings, self.settle)
        long_hold = LongHold(owner, location.consumer_timeout, declarer, publisher, self._holdings)
        self._inflow = Inflow(self._holdings, long_hold, clock)
        self._supply = Supply(
            location, heartbeat, owner, declarer, self._holdings, self._inflow, long_hold, self._outcomes.note
        )
        self._declarer = declarer
        self._suspects_at: dict[str, float] = {}
        #: Calls of `reserve` that wait, when the last one ended, and for how much it had room.
        self._asking = 0
        self._asked_at = self._loop.time()
        self._room = 0
        self._tender: asyncio.Task[None] | None = None
        self._ending = asyncio.Event()
        #: What nobody was given and could not be given back, with when it is due, by its tag.
        self._unwanted: dict[int | str, tuple[Delivery, float | None]] = {}

    async def open(self) -> None:
        """Connect, and show that a worker of this name is there."""
        await self._supply.connected()
        self._tender = self._loop.create_task(self._tend())

    async def close(self) -> None:
        """Give everything back and hang up."""
        self.is_open = self._supply.is_open = False
        self._inflow.arrived.set()
        self._ending.set()
        await self._end_tasks()
        if not self._supply.is_connected:
            return
        had_work = bool(self._holdings.placed())
        try:
            await self._supply.stop_consuming()
            early = self._inflow.take_early()  # first: what is due by now is in the buffers then
            await self._give_back(list(self._inflow.feeds.values()), early)
            await self.release([held.delivery for held in self._holdings.placed()])
            self._supply.write_acks(force=True)
        except OperationalError:
            if had_work:
                raise
            # The connection ended just now, and the lease with it: what only waited here is back.
        finally:
            await self._supply.stop()

    async def _end_tasks(self) -> None:
        """What they have begun to publish they should hear of: given back as well, it would be there twice."""
        tasks = {task for task in (self._tender, self._outcomes.task) if task is not None}
        if tasks:
            await asyncio.wait(tasks, timeout=_END_SECONDS)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await self._trips.finished(_END_SECONDS)

    async def reserve(self, queues: Sequence[str], limit: int, wait: float) -> list[Delivery]:
        """Take messages; see `Broker.reserve`."""
        deadline = self._loop.time() + wait
        self._asking += 1
        try:
            if limit <= 0:
                await self._supply.ready(queues)
            while self.is_open and limit > 0:
                self._inflow.arrived.clear()
                await self._supply.ready(queues)
                self._room = limit
                await self._pull_suspects(queues, limit)
                taken = self._take_unwanted(queues, limit)
                taken += self._inflow.take(queues, limit - len(taken))
                remaining = deadline - self._loop.time()
                if not taken and remaining <= 0:
                    await self._pull(queues, limit)
                    return self._inflow.take(queues, limit)
                self._supply.raise_prefetch(queues, limit - len(taken))
                if taken:
                    return taken
                await self._sleep(queues, remaining)
        except OperationalError:
            if self.is_open:
                raise
        finally:
            self._asking -= 1
            self._asked_at = self._loop.time()
        return []  # closed meanwhile

    async def settle(self, settlements: Sequence[Settlement]) -> list[Settlement]:
        """Publish what settlements say, then acknowledge; returns those that were refused."""
        await self._supply.connected()
        refused: list[Settlement] = []
        chosen: list[Chosen] = []
        wanted = self._trips.written.without_written(settlements)
        for one in wanted:
            held = self._holdings.find(one.delivery) if one.fenced else None
            if one.fenced and (held is None or held.writing):
                refused.append(one)
            elif held is not None and held.orphaned is not None and one.before_run:
                self._holdings.disown(held)
                refused.append(one)
            elif held is not None and held.orphaned is not None:
                if not isinstance(one.action, Keep):
                    held.settlement = one  # written when its message comes back; if another worker has it, never
            elif one.before_run:
                self._note_written([(one, held)])  # at once, before the connection can be lost
            else:
                if held is not None and not isinstance(one.action, Keep):
                    held.writing = True
                chosen.append((one, held))
        try:
            await self._trips.make(chosen)
        except BaseException as error:
            if len(wanted) < len(settlements):  # it may all be given once more
                unwritten = set(map(id, wanted))
                self._trips.written.keep([one for one in settlements if id(one) not in unwritten])
            if isinstance(error, PartlySettled):
                raise PartlySettled(str(error), error.left, refused) from error
            raise
        return refused

    async def mark_started(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
        """Only what came back to a queue of its own is counted, so there is nothing to mark."""
        lost: list[Delivery] = []
        for one in deliveries:
            held = self._holdings.find(one)
            if held is not None and held.orphaned is not None:
                self._holdings.disown(held)  # it is not run, so nobody would settle it when it comes back
                held = None
            if held is None:
                lost.append(one)
        return lost

    async def release(self, deliveries: Sequence[Delivery]) -> None:
        """Publish copies and acknowledge: given back otherwise, they would look like those of a worker that died."""
        await self._release([(one, None) for one in deliveries])

    async def _release(self, deliveries: Iterable[tuple[Delivery, float | None]]) -> None:
        """With when they are due."""
        given_back: list[Chosen] = []
        for one, due in deliveries:
            held = self._holdings.find(one)
            if held is None or held.writing:
                continue
            if held.orphaned is None:
                held.writing = True
                given_back.append((Settlement(one, Requeue(not_before=due)), held))
            else:
                self._holdings.disown(held)
        await self._trips.make(given_back)

    async def renew(self) -> bool:
        """See `Broker.renew`: False when the connection was lost since the last call."""
        await self._supply.connected()
        lapsed, self._supply.lapsed = self._supply.lapsed, False
        return not lapsed

    async def recover(self, limit: int) -> list[Delivery]:
        """What came back from connections that ended; see `Broker.recover`."""
        await self._supply.connected()
        return await self._inflow.take_returned(max(limit, 0))

    def waiting(self, queue: str) -> int:
        """Messages of the queue that have come and were not given out."""
        return self._inflow.waiting(queue) + sum(1 for one, _ in self._unwanted.values() if one.queue == queue)

    def purge(self, queue: str) -> int:
        """Be done with what has come from the queue and was not given out. Returns how many."""
        early = [one for one, _ in self._inflow.take_early(queue)]  # first: what is due by now is in the buffers then
        unwanted = [one for one, _ in self._unwanted.values() if one.queue == queue]
        chosen: list[Chosen] = []
        for one in (*early, *unwanted, *self._inflow.take_buffers(self._inflow.of_queue(queue))):
            held = self._holdings.find(one)
            if held is not None and held.orphaned is None and not held.writing:
                chosen.append((Settlement(one, Acknowledge()), held))
        self._note_written(chosen)
        return len(chosen)

    async def _give_back(self, feeds: Sequence[Feed], others: Sequence[tuple[Delivery, float | None]] = ()) -> None:
        """Publish anew what waits in these, and others that nobody was given.

        What can not be published now is kept, to be given out after all or to be given back the next time.
        """
        buffered = [(one, None) for one in self._inflow.take_buffers(feeds)]
        self._unwanted.update((one[0].tag, one) for one in (*buffered, *others))
        try:
            await self._release(self._unwanted.values())
        finally:
            kept = self._unwanted.items()
            self._unwanted = {tag: one for tag, one in kept if self._holdings.find(one[0]) is not None}

    # -- taking ---------------------------------------------------------------------------------------------------

    def _take_unwanted(self, queues: Sequence[str], limit: int) -> list[Delivery]:
        """Give out what could not be given back."""
        taken: list[Delivery] = []
        for tag, (one, due) in list(self._unwanted.items()):
            held = self._holdings.find(one)
            if held is None or held.writing or held.orphaned is not None or one.queue not in queues:
                continue
            if len(taken) < limit and (due is None or due <= self._clock.time()):
                del self._unwanted[tag]
                taken.append(one)
        return taken

    async def _pull(self, queues: Sequence[str], limit: int) -> None:
        """Fetch what there is, without waiting for more."""
        left = limit
        for feed in self._inflow.in_turn(queues):
            if feed.name == feed.queue and left > 0:
                left -= await self._supply.fetch(feed, left)

    async def _pull_suspects(self, queues: Sequence[str], limit: int) -> None:
        now = self._loop.time()
        for queue in queues:
            if now < self._suspects_at.get(queue, 0.0):
                continue
            if not self._declarer.has_suspects(queue):
                self._suspects_at[queue] = math.inf
                continue
            if self._holdings.has_suspects_since(now - _PROBATION_SECONDS):
                self._suspects_at[queue] = now + _PROBATION_SECONDS
                continue
            name = suspects_of(queue)
            feed = self._inflow.feeds.get(name) or await self._supply.open_feed(name, queue)
            await self._pull_suspects_of(feed, min(limit, _SUSPECTS_AT_ONCE))
            self._suspects_at[queue] = now + _SUSPECTS_SECONDS  # or as soon as one of them is done with

    async def _pull_suspects_of(self, feed: Feed, limit: int) -> None:
        """Have up to `limit` suspects here.

        What was lost a second time runs without other suspects: what kills its worker then takes none of them along.
        """
        while True:
            losses = [*self._holdings.losses_of_suspects(), *self._inflow.losses_of_suspects()]
            if len(losses) >= limit or max(losses, default=0) > 1:
                return
            waiting = len(feed.buffer)
            if not await self._supply.fetch(feed, 1):
                return
            if losses and len(feed.buffer) > waiting and len(feed.buffer[-1].arrival.history) > 1:
                await self.release([self._holdings.hold(feed, feed.buffer.pop(), self._loop.time())])
                return

    async def _sleep(self, queues: Sequence[str], seconds: float) -> None:
        """Until something comes or is due."""
        now, next_due = self._loop.time(), self._inflow.seconds_to_next()
        seconds = min(seconds, *(self._suspects_at.get(queue, now) - now for queue in queues))
        if next_due is not None:
            seconds = min(seconds, next_due)
        try:
            async with asyncio.timeout(max(seconds, 0.0)):
                await self._inflow.arrived.wait()
        except TimeoutError:
            pass  # time to look again

    # -- settling -------------------------------------------------------------------------------------------------

    def _note_written(self, chosen: Sequence[Chosen]) -> None:
        """What these send is stored: acknowledge. What is lost in between comes twice, and never not at all.

        The connection may be lost meanwhile, and a message be back, in another place, before all is written.
        """
        for one, held in chosen:
            if held is None or isinstance(one.action, Keep):
                continue
            held.writing, held.unsent = False, None
            if held.orphaned is None:
                held.feed.acks.done(held.number)
                self._holdings.drop(held)
                if not isinstance(one.action, Requeue):
                    self._holdings.note_settled(held, self._loop.time())
            else:
                held.settlement = Settlement(one.delivery, Acknowledge())  # all else was written
            if isinstance(one.action, Requeue) and one.action.loss is not None:
                self._look_for_suspects(one.delivery.queue)
            elif held.feed.name != held.feed.queue and not isinstance(one.action, Requeue):
                self._look_for_suspects(held.feed.queue)
        self._supply.write_acks()

    def _look_for_suspects(self, queue: str) -> None:
        """There may be one, or room for one."""
        self._suspects_at.pop(queue, None)
        self._inflow.arrived.set()

    # -- looking after --------------------------------------------------------------------------------------------

    async def _tend(self) -> None:
        while not self._ending.is_set():
            try:
                async with asyncio.timeout(_TEND_SECONDS):
                    await self._ending.wait()
            except TimeoutError:
                for step in (self._tend_once, self._outcomes.write, self._give_back_unasked):
                    await guarded(step)

    async def _tend_once(self) -> None:
        now = self._loop.time()
        for held in self._holdings.without_hope(now):
            logger.warning(
                "Task %s was taken over by another worker or is gone: what it did here is not recorded",
                held.delivery.label,
            )
        await self._supply.take_up_again()
        unasked = self._is_unasked()
        self._supply.lower_prefetch(0 if unasked else self._room, unasked=unasked)
        await self._supply.renew_long_holds()

    async def _give_back_unasked(self) -> None:
        feeds: list[Feed] = []
        if self._is_unasked():
            self._inflow.note_due()  # nobody else looks
            feeds = [feed for feed in self._inflow.feeds.values() if not feed.would_come_back]
        await self._give_back(feeds)

    def _is_unasked(self) -> bool:
        return not self._asking and self._loop.time() - self._asked_at > _STALE_SECONDS
