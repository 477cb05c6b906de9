"""One connection that takes what comes into the reply queue of this process.

Owns the queue's declaration, which must be Celery's to the letter, the consumer and its acknowledgements. Everything
here happens in the listener's thread and may block it; errors are py-amqp's own.
"""

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import amqp
from amqp.exceptions import NotFound

from celeriac.storage.rabbitmq.framing import Content
from celeriac.storage.rabbitmq.location import RabbitLocation

#: Messages on their way to this process that are not acknowledged. They come back if the connection breaks and the
#: queue outlives that.
_PREFETCH: Final = 1000
#: Seconds within which either side notices that the other is gone.
_NOTICED: Final = 60.0
#: So many are handed on at once.
_BATCH: Final = 250


class ReplySession:
    """A consumer of one reply queue.

    Args:
        location: which RabbitMQ.
        queue: the queue's name.
        expires: seconds after which RabbitMQ removes the queue if nobody listens; None: never.
        deliver: called with what has come.
    """

    def __init__(
        self,
        location: RabbitLocation,
        queue: str,
        expires: float | None,
        deliver: Callable[[Sequence[Content]], None],
    ) -> None:
        self._queue = queue
        self._arguments = {"x-expires": round(expires * 1000)} if expires else {}
        self._deliver = deliver
        self._arrived: list[Content] = []
        heartbeat = location.heartbeat_within(_NOTICED)
        self._connection = location.connect(heartbeat=heartbeat, name="celeriac results")

    def open(self, *, again: bool) -> bool:
        """Begin to consume.

        Args:
            again: the queue has been there before.

        Returns:
            Whether the queue was there, with all that had come into it.
        """
        was_there = again and self._is_there()
        channel = self._channel = self._connection.channel()
        channel.queue_declare(self._queue, durable=True, auto_delete=True, arguments=self._arguments)
        channel.basic_qos(0, _PREFETCH, False)
        channel.basic_consume(self._queue, callback=self._take)
        return was_there

    def listen(self, bell: socket.socket) -> None:
        """Hand on what comes until `bell` can be read."""
        heartbeat = self._connection.heartbeat
        tick = heartbeat / 4 if heartbeat else None
        with selectors.DefaultSelector() as selector:
            selector.register(self._connection.sock, selectors.EVENT_READ)
            selector.register(bell, selectors.EVENT_READ)
            while True:
                self._drain()  # first, as answers to `open` may have brought some with them
                if any(key.fileobj is bell for key, _ in selector.select(tick)):
                    return
                self._connection.heartbeat_tick()

    def close(self) -> None:
        """Hang up, as far as the connection still works; the queue goes with its last consumer."""
        self._connection.close_quietly()

    def drop(self) -> None:
        """Close this process's end without a word: of a broken connection, or of one that is the parent's."""
        self._connection.wire.drop()

    def _is_there(self) -> bool:
        channel = self._connection.channel()
        try:
            channel.queue_declare(self._queue, passive=True)
        except NotFound:  # which closes the channel
            return False
        channel.close()
        return True

    def _drain(self) -> None:
        """Take all that has come in, without waiting for more."""
        with suppress(TimeoutError):
            while True:
                self._connection.drain_events(timeout=0)
                if len(self._arrived) >= _BATCH:
                    self._hand_on()
        self._hand_on()

    def _take(self, message: amqp.Message) -> None:
        assert isinstance(message, Content)
        self._arrived.append(message)

    def _hand_on(self) -> None:
        arrived, self._arrived = self._arrived, []
        if arrived:
            self._deliver(arrived)
            self._channel.basic_ack(arrived[-1].delivery_tag, multiple=True)
