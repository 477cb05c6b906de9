"""Where RabbitMQ is, and connections to it.

`reading.read_location` makes a `RabbitLocation` of a URL, transport options and settings. Several servers belong to one
cluster; each connect takes the first that answers. Knows nothing of queues, channels and pools.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Final

from amqp.exceptions import AMQPError

from celeriac.exceptions import OperationalError
from celeriac.storage.rabbitmq.dialling import Connection, Dialler
from celeriac.storage.rabbitmq.errors import translate_error
from celeriac.storage.rabbitmq.failover import Rotation

#: Seconds that one of several servers gets at the least.
_LEAST_SECONDS: Final = 0.5
#: RabbitMQ looks at each interval of a heartbeat whether anything came, and gives up after the second without: that is
#: up to three intervals after the last sign of life.
_INTERVALS_TO_NOTICE: Final = 3


@dataclass(frozen=True, slots=True, eq=False)
class RabbitLocation:
    """One RabbitMQ, a server or a cluster. Immutable; opens nothing by itself.

    Attributes:
        address: for people: URLs with the user, without any password, joined by `;`.
        connect_timeout: seconds for a connection, over all servers.
        answer_timeout: seconds for any other answer, confirms among them.
        heartbeat: interval in seconds that the user asked for, 0: none; None: nobody asked, see `heartbeat_within`.
        heartbeat_checkrate: how often in each interval to look after heartbeats.
        pool_limit: most connections of one pool; None for no limit.
        pool_timeout: seconds to wait for one of them; None for as long as it takes.
        consumer_timeout: seconds that the server leaves a delivery unacknowledged before it closes the channel.
        rotation: the servers.
        dialler: how to connect to one.
        writer: where to publish, if that is another place.
    """

    address: str
    connect_timeout: float
    answer_timeout: float
    heartbeat: float | None
    heartbeat_checkrate: float
    pool_limit: int | None
    pool_timeout: float | None
    consumer_timeout: float
    rotation: Rotation = field(repr=False)
    dialler: Dialler = field(repr=False)
    writer: RabbitLocation | None = field(default=None, repr=False)

    @property
    def virtual_host(self) -> str:
        """The virtual host, of the first server."""
        return self.rotation.servers[0].virtual_host

    @property
    def for_publishing(self) -> RabbitLocation:
        """Where to publish: `writer`, or this very place."""
        return self.writer or self

    def heartbeat_within(self, seconds: float) -> float:
        """The interval of heartbeats with which the server notices within `seconds` that a machine is gone.

        It is a third of that, rounded up to whole seconds as AMQP has them: RabbitMQ needs up to three intervals. What
        the user has set comes first.
        """
        if self.heartbeat is not None:
            return self.heartbeat
        return float(max(math.ceil(seconds / _INTERVALS_TO_NOTICE), 1))

    def connect(self, *, heartbeat: float = 0, name: str = "") -> Connection:
        """A new connection to the first server that answers, the last that did first. The caller closes it.

        Args:
            heartbeat: seconds, 0 for none. The caller must call `heartbeat_tick` often enough then.
            name: what the server shows as the connection's name.

        Raises:
            OperationalError: there is none to be had within `connect_timeout` seconds; it may be later.
        """
        end = time.monotonic() + self.connect_timeout
        left = len(self.rotation.servers)
        troubles: dict[str, Exception] = {}
        for server in self.rotation.order():
            now = time.monotonic()
            seconds = max((end - now) / left, min(self.connect_timeout, _LEAST_SECONDS))
            left -= 1
            try:
                connection = self.dialler.open(server, deadline=now + seconds, heartbeat=heartbeat, name=name)
            except (AMQPError, OSError) as error:
                troubles[server.address] = error
            else:
                self.rotation.worked(server)
                return connection
        raise self._trouble(troubles)

    def same_server(self, other: RabbitLocation) -> bool:
        """Whether both lead to the same virtual host of the same servers. Names are compared as they are written."""
        mine = {(server.host, server.port, server.virtual_host) for server in self.rotation.servers}
        theirs = {(server.host, server.port, server.virtual_host) for server in other.rotation.servers}
        return bool(mine & theirs)

    def _trouble(self, troubles: dict[str, Exception]) -> OperationalError:
        told = {address: translate_error(error, address) for address, error in troubles.items()}
        error = OperationalError("; and ".join(str(one) for one in told.values()))
        error.__cause__ = next(iter(troubles.values()))
        return error
