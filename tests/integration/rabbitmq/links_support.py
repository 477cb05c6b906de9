"""Short words for the tests of locations and links beside this file."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import amqp
import pytest

from celeriac.brokers import open_broker
from celeriac.brokers.rabbitmq import RabbitBroker
from celeriac.config import Settings
from celeriac.exceptions import OperationalError
from celeriac.message import Message, Publication
from celeriac.storage.rabbitmq.framing import Content
from celeriac.storage.rabbitmq.links import Links, Parcel
from celeriac.storage.rabbitmq.location import RabbitLocation
from celeriac.storage.rabbitmq.reading import read_location

#: What errors say of messages that the server has not confirmed.
MAYBE = "may be stored all the same"
#: Seconds for answers where a test waits for one that does not come.
TIMEOUT = 1.0
#: Seconds within which such a wait must have ended.
BOUND = 4.0


def location(url: str, options: dict[str, Any] | None = None, **settings: Any) -> RabbitLocation:
    """Where a broker's RabbitMQ is."""
    return read_location(url, options or {}, setting="broker_url", settings=Settings(settings))


@contextlib.contextmanager
def linked(url: str, *, queue: str = "q", timeout: float = 10.0, **settings: Any) -> Iterator[Links]:
    """Links to a server on which there is a queue, closed at the end."""
    links = Links(location(url, {"confirm_timeout": timeout}, **settings))
    links.run(lambda channel: channel.queue_declare(queue, durable=True, auto_delete=False))
    try:
        yield links
    finally:
        links.close()


def parcel(key: str = "q", body: bytes = b"x", *, exchange: str = "", mandatory: bool = False, **of: Any) -> Parcel:
    """A persistent message for a queue."""
    return Parcel(exchange, key, Content(body, delivery_mode=2, **of), mandatory)


def depth(links: Links, queue: str = "q") -> int:
    """How many messages are ready."""
    return links.run(lambda channel: channel.queue_declare(queue, passive=True).message_count)


def bodies(links: Links, queue: str = "q") -> list[bytes]:
    """Take all that is ready."""

    def take(channel: amqp.Channel) -> list[bytes]:
        found: list[bytes] = []
        while (message := channel.basic_get(queue, no_ack=True)) is not None:
            assert isinstance(message.body, bytes)
            found.append(message.body)
        return found

    return links.run(take)


def fails(links: Links, *parcels: Parcel) -> str:
    """Publish in vain, within the time for that; what the error says."""
    began = time.monotonic()
    with pytest.raises(OperationalError, match="takes no messages at the moment") as caught:
        links.publish(parcels or [parcel()])
    assert time.monotonic() - began < BOUND
    return str(caught.value)


def job(name: object, queue: str = "q") -> Publication:
    """A message of this name."""
    return Publication(Message({"task": "t", "id": str(name)}, {}, b"[]"), queue)


def make_broker(url: str) -> RabbitBroker:
    """A broker at `url`."""
    broker = open_broker(url, settings=Settings())
    assert isinstance(broker, RabbitBroker)
    return broker
