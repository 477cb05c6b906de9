"""One connection that consumes, and the thread that owns it.

py-amqp's calls wait for their answers; in a thread of their own they never stop the event loop. The loop hands over
jobs and acknowledgements, and is told of arrivals in batches. Any error on this connection ends the line for good: what
it had delivered comes back from the server, and a new line is made.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeVar

from amqp.exceptions import AMQPError, ResourceLocked

from celeriac.brokers.rabbitmq.wire import Arrival, read_content
from celeriac.exceptions import CeleriacError, OperationalError
from celeriac.storage.rabbitmq.errors import translate_error

if TYPE_CHECKING:
    import amqp

    from celeriac.storage.rabbitmq.dialling import Connection
    from celeriac.storage.rabbitmq.location import RabbitLocation

T = TypeVar("T")

logger = logging.getLogger("celeriac.broker")

#: Seconds between looks at the heartbeat.
_TICK_SECONDS: Final = 0.5
#: Arrivals that are told of at once.
_MOST_TOLD: Final = 256
#: Seconds for the thread to end.
_JOIN_SECONDS: Final = 10.0


class Delivered(NamedTuple):
    """One arrival: the queue whose channel it came over, its number there, what it is, and who it was sent to."""

    feed: str
    number: int
    arrival: Arrival
    #: The consumer's tag; None if it was fetched, which no prefetch counts.
    tag: str | None = None


class Ack(NamedTuple):
    """An acknowledgement: of one number on a channel, or of all up to it."""

    feed: str
    number: int
    multiple: bool


class LineEvents(Protocol):
    """Told, in the event loop, of what happens on a line."""

    def on_arrivals(self, line: Line, arrivals: Sequence[Delivered]) -> None:
        """These have come."""
        ...

    def on_cancelled(self, line: Line, feed: str, tag: str) -> None:
        """The server has ended a consumer: its queue was deleted, or its node has gone."""
        ...

    def on_lost(self, line: Line, error: CeleriacError) -> None:
        """The connection is gone."""
        ...


class Line:
    """A connection, used by one thread.

    Args:
        location: where to connect to.
        heartbeat: seconds between heartbeats, 0 for none.
        name: what the server shows.
        events: told of what happens.

    Attributes:
        ended: the connection is gone, and the events have been told.
    """

    def __init__(self, location: RabbitLocation, heartbeat: float, name: str, events: LineEvents) -> None:
        self._location = location
        self._address = location.address
        self._heartbeat = heartbeat
        self._name = name
        self._events = events
        self._loop = asyncio.get_running_loop()
        self._jobs: deque[tuple[Callable[[], Any], asyncio.Future[Any] | None]] = deque()
        self._acks: deque[Ack] = deque()
        self._arrivals: list[Delivered] = []
        self._channels: dict[str, amqp.Channel] = {}
        self._connection: Connection | None = None
        self._ear, self._bell = socket.socketpair()
        self._ear.setblocking(False)
        self._bell.setblocking(False)
        self._bell_lock = threading.Lock()
        self._rung = False
        self.ended = False
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="celeriac-rabbitmq", daemon=True)

    async def start(self) -> None:
        """Connect.

        Raises:
            OperationalError: no server could be reached, or it refuses.
        """
        connected = self.submit(lambda: None)
        self._thread.start()
        try:
            await connected
        except BaseException:
            self._stopping = True
            self._ring()
            raise

    async def stop(self) -> None:
        """Write what is left, hang up, and wait for the thread."""
        self._stopping = True
        self._ring()
        await asyncio.to_thread(self._thread.join, _JOIN_SECONDS)

    def submit(self, job: Callable[[], T]) -> asyncio.Future[T]:
        """Have `job` done in the thread."""
        future: asyncio.Future[T] = self._loop.create_future()
        if self.ended:
            future.set_exception(OperationalError(f"the connection to {self._address} is gone"))
            return future
        self._jobs.append((job, future))
        self._ring()
        return future

    def acknowledge(self, acks: Sequence[Ack]) -> None:
        """Have these written soon."""
        self._acks.extend(acks)
        self._ring()

    # -- jobs, in the thread --------------------------------------------------------------------------------------

    def claim(self, name: str) -> bool:
        """Declare an exclusive queue: nobody else can while this connection lives. Whether it was free."""
        channel = self._opened().channel()
        try:
            channel.queue_declare(name, durable=False, exclusive=True, auto_delete=False)
        except ResourceLocked:
            return False
        return True

    def open_feed(self, feed: str) -> None:
        """Open a channel for a queue."""
        if feed not in self._channels:
            self._channels[feed] = self._opened().channel()

    def consume(self, feed: str, prefetch: int, arguments: dict[str, Any] | None) -> str:
        """Begin to consume, beside what consumers there are. Returns the consumer's tag."""
        channel = self._channels[feed]
        channel.basic_qos(0, prefetch, False)
        return channel.basic_consume(
            feed,
            callback=lambda content: self._arrived(feed, content),
            on_cancel=lambda tag: self._cancelled(feed, tag),
            arguments=arguments,
        )

    def cancel(self, feed: str, tags: Sequence[str]) -> None:
        """End consumers; what they were sent stays."""
        for tag in tags:
            self._channels[feed].basic_cancel(tag)

    def get(self, feed: str, most: int) -> int:
        """Fetch up to `most` messages; they are told of as arrivals. Returns how many there were."""
        channel = self._channels[feed]
        for count in range(most):
            content = channel.basic_get(feed)
            if content is None:
                return count
            self._arrived(feed, content)
        return most

    # -- the thread -----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        error: CeleriacError
        try:
            self._connection = self._location.connect(heartbeat=self._heartbeat, name=self._name)
            self._work(self._connection)
            error = OperationalError(f"the connection to {self._address} was closed")
        except (CeleriacError, AMQPError, OSError, ValueError, AttributeError) as exc:
            # The last two: py-amqp, in the middle of a connection that another thread or the server has ended.
            error = translate_error(exc, self._address)
            error.__cause__ = exc
        except BaseException as exc:  # it must not end in silence: the loop waits for this thread
            logger.exception("The thread of the connection to %s failed", self._address)
            error = OperationalError(f"the connection to {self._address} failed: {exc!r}")
        self._hang_up()
        with self._bell_lock:  # closed here, since the loop may have ended before this thread
            self._ear.close()
            self._bell.close()
        self._tell(self._end, error)

    def _work(self, connection: Connection) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._ear, selectors.EVENT_READ)
            selector.register(connection.sock, selectors.EVENT_READ)
            next_tick = time.monotonic() + _TICK_SECONDS
            while True:
                self._do_jobs()
                self._drain(connection)
                self._write_acks()
                if self._stopping and not self._jobs and not self._acks:
                    connection.close_quietly()
                    return
                now = time.monotonic()
                if now >= next_tick:
                    connection.heartbeat_tick(self._location.heartbeat_checkrate)
                    next_tick = now + _TICK_SECONDS
                if not self._jobs and not self._acks:
                    selector.select(next_tick - now)
                self._hush()

    def _do_jobs(self) -> None:
        while self._jobs:
            job, future = self._jobs.popleft()
            self._write_acks()
            try:
                result = job()
            except BaseException:
                if future is not None:
                    self._jobs.appendleft((job, future))  # it is told with the others how the line ended
                raise
            self._flush()
            if future is not None:
                self._tell(_deliver, future, result, None)

    def _drain(self, connection: Connection) -> None:
        """Read all that is there. (As `drain_events` does, but for what that does anew for each frame.)"""
        wire, take = connection.wire, connection.on_inbound_frame
        try:
            with wire.having_timeout(0):
                while True:
                    take(wire.read_frame())
                    if len(self._arrivals) >= _MOST_TOLD:
                        self._flush()
                        self._write_acks()
        except TimeoutError:  # nothing more for now
            self._flush()

    def _arrived(self, feed: str, content: amqp.Message) -> None:
        info = content.delivery_info
        arrival = read_content(content, redelivered=bool(info["redelivered"]))
        self._arrivals.append(Delivered(feed, info["delivery_tag"], arrival, info.get("consumer_tag")))

    def _cancelled(self, feed: str, tag: str) -> None:
        self._flush()  # what it had brought came before
        self._tell(self._events.on_cancelled, self, feed, tag)

    def _flush(self) -> None:
        if self._arrivals:
            arrivals, self._arrivals = self._arrivals, []
            self._tell(self._events.on_arrivals, self, arrivals)

    def _write_acks(self) -> None:
        acks = self._acks
        if not acks:
            return
        with self._opened().wire.gathering():
            while acks:
                ack = acks.popleft()
                self._channels[ack.feed].basic_ack(ack.number, ack.multiple)

    def _opened(self) -> Connection:
        assert self._connection is not None
        return self._connection

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.abandon()

    def _tell(self, function: Callable[..., object], *args: Any) -> None:
        """Call `function` in the event loop."""
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody listens any more
            self._loop.call_soon_threadsafe(function, *args)

    # -- in the loop ----------------------------------------------------------------------------------------------

    def _end(self, error: CeleriacError) -> None:
        self.ended = True
        while self._jobs:
            _, future = self._jobs.popleft()
            if future is not None and not future.done():
                future.set_exception(error)
                future.exception()  # some callers have gone
        self._events.on_lost(self, error)

    def _ring(self) -> None:
        if not self._rung:
            self._rung = True
            with contextlib.suppress(OSError), self._bell_lock:  # full, or closed: there is nobody to wake
                self._bell.send(b"\0")

    def _hush(self) -> None:
        """In this order, and before the next look for jobs, or a ring would go unheard."""
        with contextlib.suppress(BlockingIOError):  # also where none was noted: a ring may be late with its byte
            self._ear.recv(4096)
        self._rung = False


def _deliver(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if not future.done():
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
