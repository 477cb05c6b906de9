"""pika with its BlockingConnection, which waits for every confirm: it has no way to publish in bulk."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, NoReturn

from benchmarks.apps.amqp_message import BODY, CONTENT_TYPE, HEADERS, PREFETCH, Count

if TYPE_CHECKING:
    from collections.abc import Iterator

# Installed in an environment of its own only, so it has no types here.
_pika: Any = importlib.import_module("pika")


class PikaBlocking:
    """One connection with one channel in confirm mode."""

    def __init__(self, url: str, queue: str) -> None:
        self._queue = queue
        self._connection = _pika.BlockingConnection(_pika.URLParameters(url))
        self._channel = self._connection.channel()
        self._channel.queue_declare(queue, durable=True)
        self._channel.confirm_delivery()

    def consume(self, count: int) -> None:
        channel, taken = self._channel, Count(count)

        def note(_channel: Any, method: Any, properties: Any, _body: bytes) -> None:
            if taken.take(properties.headers):
                channel.basic_ack(method.delivery_tag, multiple=True)
                if taken.complete:
                    channel.stop_consuming()

        channel.basic_qos(prefetch_count=PREFETCH)
        channel.basic_consume(self._queue, note)
        channel.start_consuming()

    def publish_each(self, count: int) -> Iterator[None]:
        for _ in range(count):
            self._channel.basic_publish("", self._queue, BODY, properties())
            yield

    def publish_many(self, count: int) -> NoReturn:
        raise NotImplementedError(f"{count} at once: a BlockingConnection waits for every confirm")

    def close(self) -> None:
        self._connection.close()


def properties() -> Any:
    """Those of one message."""
    return _pika.BasicProperties(content_type=CONTENT_TYPE, delivery_mode=2, headers=HEADERS)


open_client = PikaBlocking
