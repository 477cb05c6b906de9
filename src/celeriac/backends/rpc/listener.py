"""The thread that listens to the reply queue of this process, and listens again after each lost connection.

Owns the thread and what is known of the connection. What comes is handed to `deliver`.
"""

from __future__ import annotations

import logging
import selectors
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from amqp.exceptions import AMQPError

from celeriac.backends.outage import Outage
from celeriac.backends.rpc.messages import mark_of
from celeriac.backends.rpc.session import ReplySession
from celeriac.exceptions import CeleriacError, OperationalError
from celeriac.storage.rabbitmq.errors import translate_error
from celeriac.storage.rabbitmq.framing import Content
from celeriac.storage.rabbitmq.location import RabbitLocation

logger = logging.getLogger("celeriac.backend")

#: Seconds that `stop` gives the thread to say goodbye.
_FAREWELL: Final = 5.0


class _Thread:
    """One run of the thread: what belongs to it alone.

    Attributes:
        stopping: it shall end.
        session: what it listens by, if it does.
    """

    def __init__(self, work: Callable[[_Thread], None]) -> None:
        self.stopping = False
        self.session: ReplySession | None = None
        self.bell, self._ringer = socket.socketpair()
        self._work = work
        self._thread = threading.Thread(target=self._run, name="celeriac-results", daemon=True)
        self._thread.start()

    def ring(self) -> None:
        """Wake it, whatever it waits for."""
        try:
            self._ringer.send(b"!")
        except OSError:
            return  # it has ended

    def pause(self, seconds: float) -> None:
        """In the thread: wait, but not when it is rung for."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.bell, selectors.EVENT_READ)
            if selector.select(seconds):
                self.bell.recv(1024)

    def stop(self) -> None:
        """Have it end, and wait for that."""
        self.stopping = True
        self.ring()
        if self._thread is not threading.current_thread():
            self._thread.join(_FAREWELL)

    def abandon(self) -> None:
        """In a forked child, where it does not run."""
        if self.session is not None:
            self.session.drop()
        self.bell.close()
        self._ringer.close()

    def _run(self) -> None:
        try:
            self._work(self)
        finally:
            self.bell.close()
            self._ringer.close()


class Listener:
    """Listens for the results that are sent to this process.

    Args:
        location: which RabbitMQ.
        queue: the name of the queue.
        expires: seconds after which RabbitMQ removes the queue if nobody listens; None: never.
        deliver: called in the thread with what has come.
        on_away: called in the thread after each failed attempt once RabbitMQ is away for longer than `patience`.
        on_lost: called in the thread when the queue was found to be gone, with all that was in it.
        patience: seconds.

    Attributes:
        queue: its name.
        life: counts the queues of this name: one more after each that was lost with its contents. 0 before the first.
    """

    def __init__(
        self,
        location: RabbitLocation,
        queue: str,
        expires: float | None,
        deliver: Callable[[Sequence[Content]], None],
        on_away: Callable[[], None],
        on_lost: Callable[[], None],
        patience: float,
    ) -> None:
        self.queue = queue
        self.life = 0
        self._location = location
        self._expires = expires
        self._deliver = deliver
        self._on_away = on_away
        self._on_lost = on_lost
        self._outage = Outage(patience)
        self._too_long = False
        self._away_since = 0.0
        self._changed = threading.Condition()
        self._attempts = 0
        self._listening = False
        self._thread: _Thread | None = None
        self._marks: dict[str, threading.Event] = {}

    # -- for all threads -----------------------------------------------------------------------------------------------

    @property
    def is_listening(self) -> bool:
        """What is sent to the queue arrives here."""
        return self._listening

    def start(self) -> None:
        """Listen soon, if it does not by now."""
        if not self._listening:
            with self._changed:
                self._start()

    def ensure(self) -> None:
        """Return when the queue is there and listened to.

        Raises:
            OperationalError: it can not be.
        """
        if self._listening:
            return
        deadline = time.monotonic() + self._location.connect_timeout + self._location.answer_timeout
        with self._changed:
            attempts = self._attempts
            self._start().ring()  # it may pause between two attempts
            while not self._listening:
                self._start()  # somebody may have called `stop` meanwhile
                if self._attempts != attempts and self._outage.error is not None:
                    raise OperationalError(str(self._outage.error))
                if not self._changed.wait(max(deadline - time.monotonic(), 0.0)):
                    raise OperationalError(
                        f"no queue for results could be made in time at {self._location.address}: does RabbitMQ answer?"
                    )

    def raise_if_away(self, since: float) -> None:
        """Raise if nothing could have come since a moment, or for too long.

        Args:
            since: by the monotonic clock.

        Raises:
            OperationalError: why nothing comes.
        """
        error = self._outage.error
        if error is not None and (self._too_long or self._away_since <= since):
            raise OperationalError(str(error))

    def mark(self, name: str) -> threading.Event | None:
        """An event that is set when the mark of this name comes or can not come any more; None if nobody listens."""
        with self._changed:
            if self._thread is None:
                return None
            return self._marks.setdefault(name, threading.Event())

    def drop_mark(self, name: str) -> None:
        """End `mark`."""
        self._marks.pop(name, None)

    def stop(self) -> None:
        """Hang up. The queue is gone then; `start` makes it anew."""
        with self._changed:
            thread, self._thread = self._thread, None
            self._listening = False
            self._changed.notify_all()
        if thread is not None:
            thread.stop()

    def after_fork_in_child(self, queue: str) -> None:
        """The thread, the connection and the queue are the parent's; this process gets one named `queue`."""
        if self._thread is not None:
            self._thread.abandon()
        self.queue = queue
        self.life = self._attempts = 0
        self._changed = threading.Condition()
        self._listening = self._too_long = False
        self._outage.is_over()
        self._thread = None
        self._marks = {}

    def _start(self) -> _Thread:
        if self._thread is None:
            self._thread = _Thread(self._work)
        return self._thread

    # -- the thread ----------------------------------------------------------------------------------------------------

    def _work(self, thread: _Thread) -> None:
        while not thread.stopping:
            try:
                self._listen(thread)
            except Exception as error:  # noqa: BLE001 - whatever it is, the next attempt may be better
                if thread.session is not None:
                    thread.session.drop()
                self._suffer(thread, error)
                thread.pause(self._outage.next_pause())
            else:
                if thread.session is not None:
                    thread.session.close()
            thread.session = None

    def _listen(self, thread: _Thread) -> None:
        session = thread.session = ReplySession(self._location, self.queue, self._expires, self._receive)
        kept = session.open(again=self.life > 0)
        if not kept:
            self._begin_life()
        if self._outage.error is not None:
            logger.info("Connected again to %s for results", self._location.address)
        self._outage.is_over()
        self._too_long = False
        self._note(thread, listening=True)
        while not thread.stopping:
            session.listen(thread.bell)
            thread.pause(0)  # it has rung: take that

    def _begin_life(self) -> None:
        self.life += 1
        for event in list(self._marks.values()):
            event.set()  # they were in the queue that is gone
        if self.life > 1:
            self._on_lost()

    def _suffer(self, thread: _Thread, error: Exception) -> None:
        away = OperationalError(f"results can not be received: {translate_error(error, self._location.address)}")
        if self._outage.error is None:
            self._away_since = time.monotonic()
            unforeseen = not isinstance(error, AMQPError | OSError | CeleriacError)
            logger.warning("%s. Trying again", away, exc_info=error if unforeseen else None)
        self._too_long = self._outage.goes_on(away)
        self._note(thread, listening=False)
        if self._too_long:
            self._on_away()

    def _note(self, thread: _Thread, *, listening: bool) -> None:
        with self._changed:
            if self._thread is not thread:
                return  # it was stopped, and has said so late: there may be another one
            self._listening = listening
            self._attempts += 1
            self._changed.notify_all()

    def _receive(self, contents: Sequence[Content]) -> None:
        results = []
        for content in contents:
            name = mark_of(content)
            if name is None:
                results.append(content)
                continue
            if results:  # what came before the mark is there when it is told of
                self._deliver(results)
                results = []
            event = self._marks.get(name)
            if event is not None:
                event.set()
        if results:
            self._deliver(results)
