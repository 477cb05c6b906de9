"""A worker's consuming connection: there when it is needed, with a feed for each queue, and a prefetch that fits.

Owns the line, and what is done when it is lost. Knows nothing of settlements: those that arrivals bring about are
handed to the session.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from celeriac.brokers.rabbitmq.declaring import QUEUE_END_SECONDS
from celeriac.brokers.rabbitmq.feeds import Feed
from celeriac.brokers.rabbitmq.line import Ack, Delivered, Line
from celeriac.brokers.rabbitmq.naming import presence_of, suspects_of
from celeriac.entities import Broadcast
from celeriac.exceptions import CeleriacError, ImproperlyConfigured, OperationalError

if TYPE_CHECKING:
    from celeriac.brokers.rabbitmq.declaring import Declarer
    from celeriac.brokers.rabbitmq.holdings import Holdings
    from celeriac.brokers.rabbitmq.inflow import Inflow
    from celeriac.brokers.rabbitmq.longhold import LongHold
    from celeriac.outcome import Settlement
    from celeriac.storage.rabbitmq.location import RabbitLocation

logger = logging.getLogger("celeriac.broker")

#: Seconds that an acknowledgement may wait for earlier ones.
_STRAGGLE_SECONDS: Final = 0.01
#: Seconds between attempts to claim the worker's name, which the server may have for alive with a lost connection.
_CLAIM_SECONDS: Final = 5.0
#: Seconds between looks for suspects that run here and lost their place.
_SUSPECTS_SECONDS: Final = 2.0


class Supply:
    """Where a session's messages come from. Implements `line.LineEvents`.

    Args:
        location: which server.
        heartbeat: seconds between heartbeats.
        owner: the worker's name.
        declarer: has queues there.
        holdings: what is given out.
        inflow: takes in what comes.
        long_hold: learns from how a connection ended.
        on_outcome: called with a settlement whose delivery has come back.

    Attributes:
        epoch: counts lost connections: what came by another one has lost its place.
        lapsed: one was lost since this was last set to False.
        is_open: until `close`.
    """

    def __init__(
        self,
        location: RabbitLocation,
        heartbeat: float,
        owner: str,
        declarer: Declarer,
        holdings: Holdings,
        inflow: Inflow,
        long_hold: LongHold,
        on_outcome: Callable[[Settlement], None],
    ) -> None:
        self.epoch = 0
        self.lapsed = False
        self.is_open = True
        self._location = location
        self._heartbeat = heartbeat
        self._owner = owner
        self._declarer = declarer
        self._holdings = holdings
        self._inflow = inflow
        self._long_hold = long_hold
        self._on_outcome = on_outcome
        self._loop = asyncio.get_running_loop()
        self._line: Line | None = None
        self._connecting = asyncio.Lock()
        self._must_take_up = False
        #: When to try again to claim the worker's name; None while it is claimed.
        self._claim_at: float | None = None
        #: Queues of which suspects in hand lost their place, and when to look for those next.
        self._suspects_at: dict[str, float] = {}
        #: What was asked for so far, in order.
        self._queues: dict[str, None] = {}
        self._ack_timer: asyncio.TimerHandle | None = None

    @property
    def is_connected(self) -> bool:
        """There is a connection, for all that is known."""
        return self._line is not None

    async def connected(self) -> Line:
        """The line; a new one if the last was lost."""
        if self._line is not None:
            return self._line
        async with self._connecting:
            if self._line is None:
                if not self.is_open:
                    raise OperationalError("this broker was closed")
                line = Line(self._location, self._heartbeat, self._owner, self)
                await line.start()
                try:
                    await self._claim_name(line)
                except BaseException:
                    await line.stop()
                    raise
                if line.ended:  # it was lost before anybody was there to be told
                    raise OperationalError(f"the connection to {self._location.address} was lost at once")
                self._line = line
            return self._line

    async def _claim_name(self, line: Line) -> None:
        """One worker of a name at a time. After a lost connection the server may take that one for alive yet."""
        is_free = await line.submit(lambda: line.claim(presence_of(self._owner)))
        self._claim_at = None if is_free else self._loop.time() + _CLAIM_SECONDS
        if not is_free and not self.epoch:
            raise OperationalError(
                f"another worker named {self._owner!r} is connected; give this one another name, or wait until the "
                "server has noticed that that one is gone"
            )

    async def ready(self, queues: Sequence[str]) -> None:
        """Have a feed for each queue.

        Raises:
            ImproperlyConfigured: one is to be exclusive.
        """
        await self.connected()
        self._queues.update(dict.fromkeys(queues))
        for queue in queues:
            feed = self._inflow.feeds.get(queue)
            if feed is None or feed.cancelled:
                if self._declarer.queue(queue).exclusive:
                    raise ImproperlyConfigured(
                        f"queue {queue!r} is exclusive: only the connection that declares it could use it, and "
                        "a worker has several; use auto_delete=True instead, so that it goes with its worker"
                    )
                if feed is not None:
                    await asyncio.sleep(QUEUE_END_SECONDS)
                await asyncio.to_thread(self._declarer.ensure_consumed, queue)
                feed = await self.open_feed(queue, queue)
                feed.cancelled = False

    async def open_feed(self, name: str, queue: str) -> Feed:
        """The feed from the queue `name`, which holds tasks of `queue`."""
        line, epoch = await self.connected(), self.epoch
        await line.submit(lambda: line.open_feed(name))
        if epoch != self.epoch:
            raise OperationalError("the connection was lost meanwhile")
        return self._inflow.feeds.setdefault(name, self._new_feed(name) if name == queue else Feed(name, queue))

    def _new_feed(self, name: str) -> Feed:
        queue = self._declarer.queue(name)
        single = bool(queue.declare_arguments().get("x-single-active-consumer"))
        goes = queue.auto_delete or queue.expires is not None
        return Feed(name, name, stays=goes, single=single, alone=single or isinstance(queue, Broadcast))

    async def stop_consuming(self) -> None:
        """Have nothing more sent; what has come stays."""
        line = self._opened()
        await line.submit(lambda: None)  # consumers that begin now have begun, and have told their tags
        for feed in list(self._inflow.feeds.values()):
            tags, feed.tags = feed.tags, []
            await line.submit(partial(line.cancel, feed.name, tags))

    async def stop(self) -> None:
        """Write what is left, and hang up."""
        line, self._line = self._line, None
        if line is not None:
            await line.stop()

    def fetch(self, feed: Feed, most: int) -> asyncio.Future[int]:
        """Have up to `most` messages fetched, now. Returns how many came, which are told of before that."""
        line = self._opened()
        if feed.single:  # whose queue the server lets nobody fetch from
            self.raise_prefetch([feed.name], most)
            return line.submit(lambda: 0)
        return line.submit(lambda: line.get(feed.name, most))

    def raise_prefetch(self, queues: Sequence[str], room: int) -> None:
        """Have more sent, if there is room for so many more than the consumers may bring."""
        for queue in queues if self.is_open else ():
            feed = self._inflow.feeds.get(queue)
            missing = feed.missing_prefetch(room) if feed is not None else 0
            if feed is not None and missing:
                self._consume(feed, missing)

    def lower_prefetch(self, room: int, *, unasked: bool) -> None:
        """Have less sent, where more is sent than there is room for. To be called at intervals.

        With `unasked`, what waits here is to be given back: it must not be sent here again at once.
        """
        self._inflow.note_due()  # it waits for others then, if there is no room
        now = self._loop.time()
        for feed in self._inflow.feeds.values():
            if feed.is_too_high(room, now) or (unasked and feed.is_to_end(now)):
                if feed.stays:
                    self._replace_consumers(feed, feed.wanted(room))
                else:
                    self._end_consumers(feed)

    async def take_up_again(self) -> None:
        """After a lost connection: be there when what runs here comes back, also if there is no room for more."""
        if self._claim_at is not None and self._loop.time() >= self._claim_at:
            await self._claim_name(await self.connected())
        if self._must_take_up:
            await self._consume_again()
        for queue, at in list(self._suspects_at.items()):
            if self._loop.time() >= at:
                await self._fetch_suspects(queue)

    async def _consume_again(self) -> None:
        queues = list(self._queues)
        await self.ready(queues)
        for feed in self._inflow.in_turn(queues):
            orphans = self._holdings.orphans_of(feed.queue)
            if orphans and feed.name == feed.queue and not feed.prefetch and not feed.tuning:
                self._consume(feed, orphans)
        self._must_take_up = False

    async def _fetch_suspects(self, queue: str) -> None:
        """Nobody consumes those. The server may give them back long after the connection was lost."""
        missing = self._holdings.orphans_of(queue)
        if not missing:
            del self._suspects_at[queue]
            return
        self._suspects_at[queue] = self._loop.time() + _SUSPECTS_SECONDS
        feed = await self.open_feed(suspects_of(queue), queue)
        if not feed.buffer:
            await self.fetch(feed, missing)

    async def renew_long_holds(self) -> None:
        """Renew the hold on what has run for long."""
        await self._long_hold.renew(self._opened(), self.open_feed, self._loop.time())

    def write_acks(self, *, force: bool = False) -> None:
        """Acknowledge what is done with; with `force` also what earlier messages stand in the way of."""
        line = self._line
        if line is None:
            return
        acks: list[Ack] = []
        late = False
        for feed in self._inflow.feeds.values():
            acks += feed.acks.up_to()
            if feed.acks.has_stragglers:
                if force:
                    acks += feed.acks.stragglers()
                else:
                    late = True
        if acks:
            line.acknowledge(acks)
        if late and self._ack_timer is None:
            self._ack_timer = self._loop.call_later(_STRAGGLE_SECONDS, self._write_late_acks)

    def _write_late_acks(self) -> None:
        self._ack_timer = None
        self.write_acks(force=True)

    # -- events of the line ---------------------------------------------------------------------------------------

    def on_arrivals(self, line: Line, arrivals: Sequence[Delivered]) -> None:
        """See `LineEvents`."""
        if line is not self._line:
            return
        for settlement in self._inflow.add(arrivals):
            self._on_outcome(settlement)
        self.write_acks()

    def on_cancelled(self, line: Line, feed: str, tag: str) -> None:
        """See `LineEvents`."""
        if line is not self._line:
            return
        of = self._inflow.feeds[feed]
        if tag in of.tags:
            self._has_gone(of)
        elif of.tuning:
            of.ended.add(tag)  # perhaps of the one that has just begun

    def _has_gone(self, gone: Feed) -> None:
        logger.warning("The queue %r was deleted or has moved: it is declared again if it is gone", gone.name)
        self._declarer.forget(gone.name)
        gone.tags, gone.prefetch, gone.cancelled = [], 0, True  # the others are told the same
        gone.acks.cut()
        self._inflow.arrived.set()

    def on_lost(self, line: Line, error: CeleriacError) -> None:
        """See `LineEvents`."""
        if line is not self._line:
            return
        self._line = None
        self.epoch += 1
        self.lapsed = self._must_take_up = True
        self._long_hold.learn(error)
        for feed in self._inflow.feeds.values():
            if feed.brings_suspects and feed.in_hand:
                self._suspects_at[feed.queue] = 0.0
        running = self._holdings.orphan_all(self._inflow.reset(), self._loop.time())
        self._declarer.forget()  # whatever it was, queues may be gone
        if self.is_open:
            level = logging.WARNING if running else logging.DEBUG  # if it is not back at once, the worker says so
            logger.log(level, "%s. %d tasks in hand go on; other workers may get their messages", error, running)

    def _opened(self) -> Line:
        if self._line is None:
            raise OperationalError(f"the connection to {self._location.address} was lost")
        return self._line

    def _consume(self, feed: Feed, prefetch: int) -> None:
        """Have one more consumer. An error ends the line, which tells everybody."""
        line = self._opened()
        arguments = self._declarer.consumer_arguments(feed.queue)
        feed.tuning = True
        job = line.submit(lambda: line.consume(feed.name, prefetch, arguments))

        def consuming(job: asyncio.Future[str]) -> None:
            feed.tuning = False
            if not job.cancelled() and job.exception() is None:
                self._have_begun(feed, job.result(), prefetch)

        job.add_done_callback(consuming)

    def _have_begun(self, feed: Feed, tag: str, prefetch: int) -> None:
        if tag in feed.ended:
            self._has_gone(feed)
        else:
            feed.tags.append(tag)
            feed.prefetch += prefetch
        feed.ended.clear()

    def _replace_consumers(self, feed: Feed, prefetch: int) -> None:
        """Have one consumer in place of all: it begins first, so that there is no moment without."""
        line, ending = self._opened(), list(feed.tags)
        arguments = self._declarer.consumer_arguments(feed.queue)

        def replace() -> str:
            tag = line.consume(feed.name, prefetch, arguments)
            line.cancel(feed.name, ending)
            return tag

        def replaced(job: asyncio.Future[str]) -> None:
            feed.tuning = False
            if not job.cancelled() and job.exception() is None:
                feed.tags, feed.prefetch = [], 0
                feed.acks.cut(kept=job.result())
                self._have_begun(feed, job.result(), prefetch)
                self._inflow.arrived.set()  # whoever waits has room

        feed.tuning = True
        line.submit(replace).add_done_callback(replaced)

    def _end_consumers(self, feed: Feed) -> None:
        """The next one begins when there is room."""
        line = self._opened()
        tags, feed.tags, feed.prefetch, feed.tuning = feed.tags, [], 0, True
        job = line.submit(lambda: line.cancel(feed.name, tags))

        def ended(job: asyncio.Future[None]) -> None:
            feed.tuning = False
            if not job.cancelled() and job.exception() is None:
                feed.acks.cut()
                self._inflow.arrived.set()  # whoever waits has room

        job.add_done_callback(ended)
