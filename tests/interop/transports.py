"""What both sides have between them: a database of Redis, or a virtual host of RabbitMQ with queues of one type.

Each says how apps are told of it and answers what tests ask of its queues. Knows no client and no worker.
"""

from __future__ import annotations

import json
from typing import Any, Final, Literal, Protocol

from servers.amqp_channel import channel
from servers.rabbitmq import RabbitServer
from servers.redis import RedisServer

TransportName = Literal["redis", "classic", "quorum"]
QueueType = Literal["classic", "quorum"]
#: All that the pair of workers which most tests share runs on, one after the other.
TRANSPORTS: Final[tuple[TransportName, ...]] = ("redis", "classic", "quorum")


class Transport(Protocol):
    """What tests need to know of either."""

    name: TransportName

    def settings(self) -> dict[str, Any]:
        """The settings by which an app of either side finds it, and makes queues there."""
        ...

    def waiting(self, queue: str) -> int:
        """How many messages of all priorities wait in a queue; 0 if there is none."""
        ...

    def parked(self, queue: str) -> int:
        """How much future work for a queue is kept beside it; on RabbitMQ, for any queue."""
        ...

    def unacknowledged(self) -> int:
        """How many messages Celery's workers hold; on RabbitMQ, how many anybody holds."""
        ...

    def headers_of_next(self, queue: str) -> dict[str, Any]:
        """Take the next message out of a queue; its headers."""
        ...

    def close(self) -> None:
        """Remove all that is in it; nobody uses it any more."""
        ...


class RedisTransport:
    """One database."""

    name: TransportName = "redis"

    def __init__(self, server: RedisServer, db: int) -> None:
        self._server = server
        self._db = db

    def settings(self) -> dict[str, Any]:
        """See `Transport`."""
        return {"broker_url": self._server.url(self._db)}

    def waiting(self, queue: str) -> int:
        """See `Transport`."""
        keys = [queue, *(f"{queue}\x06\x16{step}" for step in (3, 6, 9))]
        return sum(int(self._server.call("LLEN", key, db=self._db)) for key in keys)

    def parked(self, queue: str) -> int:
        """See `Transport`."""
        return int(self._server.call("ZCARD", f"celeriac:due:{queue}", db=self._db))

    def unacknowledged(self) -> int:
        """See `Transport`."""
        return int(self._server.call("HLEN", "unacked", db=self._db))

    def headers_of_next(self, queue: str) -> dict[str, Any]:
        """See `Transport`."""
        headers: dict[str, Any] = json.loads(self._server.call("RPOP", queue, db=self._db))["headers"]
        return headers

    def close(self) -> None:
        """See `Transport`."""
        self._server.call("FLUSHDB", db=self._db)


class RabbitTransport:
    """One virtual host.

    Args:
        server: the node.
        queue_type: of the queues that either side makes.
        port: of a proxy before the node, for those who are told of it.
        vhost: its name; None: a new one.
    """

    def __init__(
        self, server: RabbitServer, queue_type: QueueType, port: int | None = None, vhost: str | None = None
    ) -> None:
        self.server = server
        self.name: TransportName = queue_type
        self.vhost = server.add_vhost() if vhost is None else vhost
        self._type = queue_type
        self._port = port

    @property
    def url(self) -> str:
        """Past the proxy."""
        return self.server.url(self.vhost)

    def settings(self) -> dict[str, Any]:
        """See `Transport`."""
        url = self.url if self._port is None else self.url.replace(f":{self.server.port}/", f":{self._port}/")
        names = ("task_default_queue_type", "task_create_missing_queue_type")
        kinds = (*names, "broker_native_delayed_delivery_queue_type")
        return {"broker_url": url} | dict.fromkeys(kinds, self._type)

    def waiting(self, queue: str) -> int:
        """See `Transport`."""
        found = self.server.queues(self.vhost).get(queue)
        return 0 if found is None else found.ready

    def parked(self, queue: str) -> int:
        """See `Transport`."""
        states = self.server.queues(self.vhost).items()
        return sum(state.ready for name, state in states if name.startswith("celery_delayed_"))

    def unacknowledged(self) -> int:
        """See `Transport`."""
        return sum(state.unacknowledged for state in self.server.queues(self.vhost).values())

    def headers_of_next(self, queue: str) -> dict[str, Any]:
        """See `Transport`."""
        with channel(self.url) as talk:
            message = talk.basic_get(queue, no_ack=True)
            assert message is not None, f"{queue} is empty"
            headers: dict[str, Any] = message.properties.get("application_headers", {})
            return headers

    def close(self) -> None:
        """See `Transport`."""
        self.server.remove_vhost(self.vhost)
