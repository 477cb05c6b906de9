"""Makes connections to one given server: logged in, the virtual host open, every wait bounded.

Owns what differs from py-amqp's own connections: the transport, the frames, and that a blocked connection says why.
Knows nothing of where the server's address comes from.
"""

from __future__ import annotations

import math
import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

import amqp
from amqp import sasl, spec
from amqp.exceptions import AMQPError, RecoverableConnectionError

from celeriac.storage.rabbitmq.addresses import Server
from celeriac.storage.rabbitmq.framing import frame_handler
from celeriac.storage.rabbitmq.transport import Transport
from celeriac.version import __version__

#: Seconds that saying goodbye may take.
_FAREWELL_SECONDS: Final = 1.0
#: Heartbeats are whole seconds, of 16 bits.
_LONGEST_HEARTBEAT: Final = 65_535


class Channel(amqp.Channel):
    """A channel that leaves bodies as they are: py-amqp would make text of them."""

    def __init__(
        self,
        connection: amqp.Connection,
        channel_id: int | None = None,
        auto_decode: bool = False,
        on_open: Callable[[amqp.Channel], object] | None = None,
    ) -> None:
        super().__init__(connection, channel_id, auto_decode, on_open)

    def _do_revive(self) -> None:
        """Open it anew, after the server has closed it, and before its error is raised.

        The word that it is closed may be read where nothing is waited for. The answer to this is waited for all the
        same: else there would be a TimeoutError, as if nothing had come, and nobody would hear of the error.
        """
        assert isinstance(self.connection, Connection)
        with self.connection.wire.awaiting_answers():
            super()._do_revive()


class Connection(amqp.Connection):
    """A connection of py-amqp's over a `Transport`.

    A wait without a timeout of its own ends after the location's `answer_timeout` with a TimeoutError.

    Attributes:
        blocked: why the server takes no messages over this connection at the moment; None: it does.
        server: to which it leads.
    """

    Channel = Channel
    _METHODS: ClassVar = {
        **amqp.Connection._METHODS,  # noqa: SLF001 - made to be overridden; without the reason that the method carries
        spec.Connection.Blocked: spec.method(spec.Connection.Blocked, "s"),
    }

    def __init__(self, server: Server, wire: Transport, **options: Any) -> None:
        self.server = server
        self.wire = wire
        self.blocked: str | None = None
        super().__init__(**options, virtual_host=server.virtual_host, frame_handler=frame_handler)

    def Transport(self, *_: object, **__: object) -> Transport:  # noqa: N802 - py-amqp's name
        """What py-amqp asks for when it connects."""
        return self.wire

    def close_quietly(self) -> None:
        """Say goodbye, for a second at most, and close. Never raises."""
        if self.blocked is None and self.wire.connected:
            self.wire.deadline = time.monotonic() + _FAREWELL_SECONDS
            # Whatever goes wrong now, the connection ends here; py-amqp has AttributeErrors for some of it.
            with suppress(AMQPError, OSError, AttributeError, KeyError):
                self.close()
        self.abandon()

    def abandon(self) -> None:
        """Close at once, without a word to the server."""
        self.wire.drop()
        # A signal's exception can have left a channel of which only half is made, and py-amqp stumbles over that.
        with suppress(AttributeError):
            self.collect()

    def _warn_force_connect(self, attr: str) -> None:
        """py-amqp connects again, by itself, whoever uses a closed connection. Here only the pool's owners connect."""
        raise RecoverableConnectionError(f"the connection is closed ({attr})")

    def _on_blocked(self, reason: str) -> None:
        self.blocked = reason or "its log says why"
        if self.on_blocked is not None:
            self.on_blocked(self.blocked)

    def _on_unblocked(self) -> None:
        self.blocked = None
        if self.on_unblocked is not None:
            self.on_unblocked()


@dataclass(frozen=True, slots=True)
class Dialler:
    """How to connect to servers.

    Attributes:
        answer_timeout: seconds for each answer after the login.
        write_timeout: seconds for each write.
        login_method: PLAIN, AMQPLAIN or EXTERNAL.
        tls: for the servers that are spoken to by TLS.
        server_hostname: the name that their certificates must bear, where it is not that of the URL.
        client_properties: what the server shows of the client, beside what it is told anyway.
        socket_options: options of the socket at the level of TCP, by number.
    """

    answer_timeout: float
    write_timeout: float
    login_method: str = "PLAIN"
    tls: ssl.SSLContext | None = None
    server_hostname: str | None = None
    client_properties: Mapping[str, Any] = field(default_factory=dict)
    socket_options: Mapping[int, int] = field(default_factory=dict)

    def open(self, server: Server, *, deadline: float, heartbeat: float, name: str) -> Connection:
        """A new connection.

        Args:
            server: to which.
            deadline: reading of the monotonic clock at which to give up.
            heartbeat: seconds; 0 for none. The caller must call `heartbeat_tick` often enough then.
            name: what the server shows as the connection's name.

        Raises:
            AMQPError, OSError: it can not be had.
        """
        wire = Transport(
            server.host,
            server.port,
            tls=self.tls if server.tls else None,
            server_hostname=self.server_hostname or server.host,
            read_seconds=self.answer_timeout,
            write_seconds=self.write_timeout,
            options=self.socket_options,
        )
        wire.deadline = deadline
        properties = {"product": "Celeriac", "product_version": __version__, **self.client_properties}
        connection = Connection(
            server,
            wire,
            authentication=self._login(server),
            heartbeat=min(math.ceil(heartbeat), _LONGEST_HEARTBEAT),
            client_properties=properties | ({"connection_name": name} if name else {}),
        )
        try:
            connection.connect()
        except BaseException:
            connection.abandon()
            raise
        wire.deadline = None
        return connection

    def _login(self, server: Server) -> sasl.SASL:
        if self.login_method == "EXTERNAL":
            return sasl.EXTERNAL()
        return (sasl.AMQPLAIN if self.login_method == "AMQPLAIN" else sasl.PLAIN)(server.user, server.password)
