"""Brokers for tests of what a worker's session does with its messages, and how to make their ways hard."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

from celeriac.brokers.rabbitmq import RabbitBroker
from celeriac.brokers.rabbitmq.session import Session
from celeriac.config import Settings
from celeriac.entities import Queue
from celeriac.message import Delivery, Message, Publication
from celeriac.storage.rabbitmq.reading import read_location
from celeriac.topology import Topology
from servers.waiting import wait_until

from .conftest import Place

#: Seconds after which a test that waits has failed.
DEADLINE: Final = 30.0


def message(name: str, body: bytes = b"[]") -> Message:
    """A task's message."""
    return Message({"id": name, "task": "t"}, {"correlation_id": name}, body)


def publication(name: str, queue: str = "tasks", **others: Any) -> Publication:
    """The same, and where it goes."""
    return Publication(message(name), queue, **others)


def ids(deliveries: Sequence[Delivery]) -> list[str]:
    """The tasks' ids."""
    return [str(delivery.head.id) for delivery in deliveries]


def new_broker(place: Place, queues: Sequence[Queue] = (), options: Mapping[str, Any] | None = None) -> RabbitBroker:
    """A broker on that place, not open."""
    location = read_location(place.url, options or {}, setting="broker_url", settings=Settings())
    return RabbitBroker(location, topology=Topology(queues, missing_type="quorum"))


@contextlib.asynccontextmanager
async def opened(broker: RabbitBroker, owner: str = "w") -> AsyncIterator[RabbitBroker]:
    """The broker, open; closed afterwards for good."""
    try:
        await broker.open(owner, lease_seconds=10.0)
        try:
            yield broker
        finally:
            await broker.close()
    finally:
        broker.disconnect()


async def take(broker: RabbitBroker, count: int, queues: Sequence[str] = ("tasks",)) -> list[Delivery]:
    """Reserve so many."""
    taken: list[Delivery] = []
    deadline = time.monotonic() + DEADLINE
    while len(taken) < count:
        assert time.monotonic() < deadline, f"got only {ids(taken)}"
        taken += await broker.reserve(list(queues), count - len(taken), 1.0)
    return taken


async def until(condition: Any, what: str) -> None:
    """Wait for something that is seen from outside, without stopping the loop."""
    await asyncio.to_thread(wait_until, condition, what, deadline=DEADLINE)


def session_of(broker: RabbitBroker) -> Session:
    """What is there while it is open."""
    session = broker._session
    assert session is not None
    return session


async def cut(broker: RabbitBroker) -> None:
    """End the connection that consumes; returns when the session knows."""
    supply = session_of(broker)._supply
    line = supply._line
    assert line is not None
    assert line._connection is not None
    epoch = supply.epoch
    wire = line._connection.wire.sock
    assert wire is not None
    wire.shutdown(socket.SHUT_RDWR)
    async with asyncio.timeout(DEADLINE):
        while supply.epoch == epoch:
            await asyncio.sleep(0)
