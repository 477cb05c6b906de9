"""A bare AMQP channel for tests that talk to RabbitMQ past Celeriac. Knows nothing of how a server is run."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

import amqp

from .tls import Tls

_SECONDS = 5.0


@contextlib.contextmanager
def channel(url: str, *, tls: Tls | None = None, confirms: bool = True, heartbeat: float = 0) -> Iterator[amqp.Channel]:
    """A channel of py-amqp on a connection of its own, which is closed at the end of the block.

    Args:
        url: as `RabbitServer.url` gives it, the port perhaps a proxy's.
        tls: the server's certificates; ours is shown too.
        confirms: whether `basic_publish` waits for the server's confirm.
        heartbeat: seconds, 0 for none. Nobody sends them unless the test does.

    Raises:
        amqp.exceptions.AMQPError: the server refuses.
        OSError: it can not be reached within 5 s.
    """
    parts = urlsplit(url)
    connection = amqp.Connection(
        host=f"{parts.hostname}:{parts.port}",
        userid=unquote(parts.username or "guest"),
        password=unquote(parts.password or "guest"),
        virtual_host=unquote(parts.path[1:]) or "/",
        connect_timeout=_SECONDS,
        read_timeout=_SECONDS,
        write_timeout=_SECONDS,
        heartbeat=heartbeat,
        confirm_publish=confirms,
        ssl=False if tls is None else _ssl_options(tls),
    )
    connection.connect()
    try:
        yield connection.channel()
    finally:
        # The test may have had the connection cut, or the server closed it.
        with contextlib.suppress(OSError, amqp.exceptions.AMQPError):
            connection.close()
        connection.collect()


def connection_of(talk: amqp.Channel) -> amqp.Connection:
    """The connection of an open channel."""
    assert talk.connection is not None, "the channel is closed"
    return talk.connection


def _ssl_options(tls: Tls) -> dict[str, object]:
    files = {"ca_certs": str(tls.ca), "certfile": str(tls.certificate), "keyfile": str(tls.key)}
    return {**files, "cert_reqs": ssl.CERT_REQUIRED, "server_hostname": "localhost"}
