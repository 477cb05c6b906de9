"""py-amqp, the library under Celery, as it is."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from benchmarks.apps.amqp_message import BODY, CONTENT_TYPE, HEADERS, PREFETCH, WINDOW, Count, Unconfirmed

if TYPE_CHECKING:
    from collections.abc import Iterator

# Installed in an environment of its own only, so it has no types here.
_amqp: Any = importlib.import_module("amqp")


class PyAmqp:
    """One connection with one channel in confirm mode."""

    def __init__(self, connection: Any, queue: str) -> None:
        self._queue = queue
        self._connection = connection
        self._channel = self._connection.channel()
        self._channel.queue_declare(queue, durable=True, auto_delete=False)
        self._channel.confirm_select()

    def consume(self, count: int) -> None:
        channel, taken = self._channel, Count(count)

        def note(message: Any) -> None:
            if taken.take(message.headers):
                channel.basic_ack(message.delivery_tag, multiple=True)

        channel.basic_qos(0, PREFETCH, False)
        channel.basic_consume(self._queue, callback=note)
        while not taken.complete:
            self._connection.drain_events(timeout=10)

    def publish_each(self, count: int) -> Iterator[None]:
        for _ in range(count):
            self._channel.basic_publish_confirm(_message(), "", self._queue)
            yield

    def publish_many(self, count: int) -> None:
        waiting = Unconfirmed()
        self._channel.events["basic_ack"].add(waiting.confirm)
        for _ in range(count):
            waiting.add()
            self._channel.basic_publish(_message(), "", self._queue)
            if len(waiting) >= WINDOW:
                self._drain(waiting, WINDOW // 2)
        self._drain(waiting, 0)

    def _drain(self, waiting: Unconfirmed, most: int) -> None:
        while len(waiting) > most:
            self._connection.drain_events(timeout=10)

    def close(self) -> None:
        self._connection.close()


def _message() -> Any:
    return _amqp.Message(BODY, content_type=CONTENT_TYPE, delivery_mode=2, application_headers=HEADERS)


def open_client(url: str, queue: str) -> PyAmqp:
    """Connect."""
    parts = urlsplit(url)
    connection = _amqp.Connection(
        f"{parts.hostname}:{parts.port}",
        userid=parts.username,
        password=parts.password,
        virtual_host=parts.path[1:],
    )
    connection.connect()
    return PyAmqp(connection, queue)
