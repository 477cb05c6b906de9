"""Makes connections to one given server: logged in, the database selected, every wait bounded.

Owns which of redis-py's doings are wanted: RESP2, bytes, no retries, no chatter at the start. Knows nothing of where
the server's address comes from (`location`, `sentinel`, `cluster`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import redis
import redis.asyncio.connection as waiting
import redis.connection as blocking
from redis.exceptions import RedisError

if TYPE_CHECKING:
    from redis.credentials import CredentialProvider

    from celeriac.storage.redis.addresses import Server

# redis-py tells the server its name and version at each connect unless it is told not to. The way to say so has
# changed with version 7.
_SILENT: Final[dict[str, Any]] = (
    {"driver_info": None} if hasattr(redis, "DriverInfo") else {"lib_name": None, "lib_version": None}
)


@dataclass(frozen=True, slots=True)
class Dialler:
    """How to connect to servers that share a login.

    Attributes:
        connect_timeout: seconds for the connection, and again for each answer of the login.
        socket_timeout: seconds for an answer later.
        username: who logs in.
        password: with which word.
        credentials: gives both, for each connection anew; then `username` and `password` are None.
        tls: arguments of redis-py's TLS connections; None for plain ones.
        keepalive: use TCP keepalive.
        keepalive_options: options of the socket for it, by number.
        client_name: for CLIENT LIST.
        health_check_interval: seconds without traffic after which blocking connections send a PING first; 0: never.
    """

    connect_timeout: float
    socket_timeout: float
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    credentials: CredentialProvider | None = field(default=None, repr=False)
    tls: Mapping[str, Any] | None = field(default=None, repr=False)
    keepalive: bool = True
    keepalive_options: Mapping[int, int | bytes] | None = None
    client_name: str | None = None
    health_check_interval: float = 0

    def open(self, server: Server, db: int = 0) -> blocking.AbstractConnection:
        """A new blocking connection.

        Raises:
            RedisError, OSError: it can not be had.
        """
        kind: Any = blocking.UnixDomainSocketConnection
        if server.path is None:
            kind = blocking.Connection if self.tls is None else blocking.SSLConnection
        connection: Any = kind(
            **self._arguments(server, db),
            socket_timeout=self.socket_timeout,
            health_check_interval=self.health_check_interval,
            redis_connect_func=self._log_in,
        )
        try:
            connection.connect()
        except BaseException:
            connection.disconnect()
            raise
        made: blocking.AbstractConnection = connection
        return made

    async def aopen(self, server: Server, db: int = 0) -> waiting.AbstractConnection:
        """A new connection for asyncio. It sends no PINGs by itself: they would get between the answers of others.

        Raises:
            RedisError, OSError: it can not be had.
        """
        kind: Any = waiting.UnixDomainSocketConnection
        if server.path is None:
            kind = waiting.Connection if self.tls is None else waiting.SSLConnection
        connection: waiting.AbstractConnection = kind(
            **self._arguments(server, db), socket_timeout=self.connect_timeout
        )
        try:
            await connection.connect()
        except BaseException:
            with contextlib.suppress(RedisError, OSError):  # the first error says more
                await connection.disconnect(nowait=True)
            raise
        connection.socket_timeout = self.socket_timeout  # until here that of connecting held: see `_log_in`
        return connection

    def ask(self, server: Server, commands: Sequence[tuple[str, ...]]) -> list[Any]:
        """The replies to a few commands, over a connection that is closed again.

        Raises:
            RedisError, OSError: there is none, or one is an error.
        """
        connection: Any = self._hasty().open(server)
        try:
            return [talk(connection, command) for command in commands]
        finally:
            connection.disconnect()

    async def aask(self, server: Server, commands: Sequence[tuple[str, ...]]) -> list[Any]:
        """The same for asyncio."""
        connection = await self._hasty().aopen(server)
        try:
            return [await atalk(connection, command) for command in commands]
        finally:
            await connection.disconnect(nowait=True)

    def _log_in(self, connection: Any) -> None:
        """What redis-py does on a new connection, in the time for connecting.

        A server that stands still accepts connections all the same, and only then keeps silent.
        """
        sock = connection._sock  # noqa: SLF001 - redis-py has no other way to it that is in all its versions
        sock.settimeout(self.connect_timeout)
        connection.on_connect()
        sock.settimeout(self.socket_timeout)

    def _hasty(self) -> Dialler:
        return replace(self, socket_timeout=min(self.socket_timeout, self.connect_timeout))

    def _arguments(self, server: Server, db: int) -> dict[str, Any]:
        arguments: dict[str, Any] = {
            "db": db,
            "protocol": 2,
            "decode_responses": False,
            "socket_connect_timeout": self.connect_timeout,
            "client_name": self.client_name,
            "username": self.username,
            "password": self.password,
            "credential_provider": self.credentials,
            **_SILENT,
        }
        if server.path is not None:
            return arguments | {"path": server.path}
        arguments |= {"host": server.host, "port": server.port, "socket_keepalive": self.keepalive}
        if self.keepalive_options is not None:
            arguments["socket_keepalive_options"] = dict(self.keepalive_options)
        return arguments | dict(self.tls or {})


def talk(connection: blocking.AbstractConnection, command: tuple[str, ...]) -> Any:
    """Send one command; its reply."""
    unpacked: Any = connection  # redis-py's methods bear no types
    unpacked.send_command(*command)
    return unpacked.read_response()


async def atalk(connection: waiting.AbstractConnection, command: tuple[str, ...]) -> Any:
    """Send one command; its reply."""
    await connection.send_command(*command)
    return await connection.read_response()
