"""pika with its SelectConnection: callbacks on a loop of its own."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from benchmarks.apps.amqp_message import BODY, PREFETCH, WINDOW, Count, Unconfirmed
from benchmarks.apps.amqp_pika import properties

if TYPE_CHECKING:
    from collections.abc import Iterator

# Installed in an environment of its own only, so it has no types here.
_pika: Any = importlib.import_module("pika")


class PikaSelect:
    """One connection with one channel in confirm mode. The loop runs while something is waited for."""

    def __init__(self, url: str, queue: str) -> None:
        self._queue = queue
        self._waiting = Unconfirmed()
        self._low = 0
        self._channel: Any = None
        self._connection = _pika.SelectConnection(_pika.URLParameters(url), on_open_callback=self._opened)
        self._loop = self._connection.ioloop
        self._loop.start()

    def _opened(self, connection: Any) -> None:
        connection.channel(on_open_callback=self._has_channel)

    def _has_channel(self, channel: Any) -> None:
        self._channel = channel
        channel.queue_declare(self._queue, durable=True, callback=self._declared)

    def _declared(self, _frame: Any) -> None:
        self._channel.confirm_delivery(self._confirmed, callback=lambda _: self._loop.stop())

    def _confirmed(self, frame: Any) -> None:
        self._waiting.confirm(frame.method.delivery_tag, frame.method.multiple)
        if len(self._waiting) <= self._low:
            self._loop.stop()

    def consume(self, count: int) -> None:
        channel, taken = self._channel, Count(count)

        def note(_channel: Any, method: Any, properties: Any, _body: bytes) -> None:
            if taken.take(properties.headers):
                channel.basic_ack(method.delivery_tag, multiple=True)
                if taken.complete:
                    self._loop.stop()

        channel.basic_qos(prefetch_count=PREFETCH)
        channel.basic_consume(self._queue, note)
        self._loop.start()

    def publish_each(self, count: int) -> Iterator[None]:
        for _ in range(count):
            self._publish()
            self._wait(0)
            yield

    def publish_many(self, count: int) -> None:
        for _ in range(count):
            self._publish()
            if len(self._waiting) >= WINDOW:
                self._wait(WINDOW // 2)
        self._wait(0)

    def _publish(self) -> None:
        self._waiting.add()
        self._channel.basic_publish("", self._queue, BODY, properties())

    def _wait(self, most: int) -> None:
        """Let the loop run until at most so many are unconfirmed."""
        self._low = most
        if len(self._waiting) > most:
            self._loop.start()

    def close(self) -> None:
        self._connection.add_on_close_callback(lambda *_: self._loop.stop())
        self._connection.close()
        self._loop.start()


open_client = PikaSelect
