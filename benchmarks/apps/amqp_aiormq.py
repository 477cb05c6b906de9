"""aiormq, the library under aio-pika, on asyncio's own loop."""

from __future__ import annotations

import asyncio
import importlib
from typing import TYPE_CHECKING, Any

from benchmarks.apps.amqp_message import BODY, CONTENT_TYPE, HEADERS, PREFETCH, WINDOW, Count

if TYPE_CHECKING:
    from collections.abc import Iterator

# Installed in an environment of its own only, so it has no types here.
_aiormq: Any = importlib.import_module("aiormq")


class Aiormq:
    """One connection with one channel, which is in confirm mode by default."""

    def __init__(self, url: str, queue: str) -> None:
        self._queue = queue
        self._runner = asyncio.Runner()
        self._channel: Any = None
        self._connection: Any = None
        self._runner.run(self._connect(url))

    async def _connect(self, url: str) -> None:
        self._connection = await _aiormq.connect(url)
        self._channel = await self._connection.channel()
        await self._channel.queue_declare(self._queue, durable=True)

    def consume(self, count: int) -> None:
        self._runner.run(self._consume(count))

    async def _consume(self, count: int) -> None:
        channel, taken, complete = self._channel, Count(count), asyncio.Event()

        async def note(message: Any) -> None:
            if taken.take(message.header.properties.headers):
                await channel.basic_ack(message.delivery_tag, multiple=True, wait=False)
                if taken.complete:
                    complete.set()

        await channel.basic_qos(prefetch_count=PREFETCH)
        await channel.basic_consume(self._queue, note)
        await complete.wait()

    def publish_each(self, count: int) -> Iterator[None]:
        loop, publish = self._runner.get_loop(), self._publish
        for _ in range(count):
            loop.run_until_complete(publish())
            yield

    def publish_many(self, count: int) -> None:
        self._runner.run(self._publish_many(count))

    async def _publish_many(self, count: int) -> None:
        """So many at once, each publishing one after the other: the window is always full."""
        left = iter(range(count))

        async def one_after_the_other() -> None:
            for _ in left:
                await self._publish()

        await asyncio.gather(*(one_after_the_other() for _ in range(WINDOW)))

    async def _publish(self) -> None:
        properties = _aiormq.spec.Basic.Properties(content_type=CONTENT_TYPE, delivery_mode=2, headers=HEADERS)
        await self._channel.basic_publish(BODY, routing_key=self._queue, properties=properties, wait=False)

    def close(self) -> None:
        self._runner.run(self._connection.close())
        self._runner.close()


open_client = Aiormq
