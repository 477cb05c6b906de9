"""The options of a connection to RabbitMQ: in transport options, by kombu's and py-amqp's names, and in URLs.

Owns which names are taken, and which are accepted without effect. Opens nothing.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any, Final

from celeriac.exceptions import ImproperlyConfigured
from celeriac.storage.tls import TLS_OPTIONS

LOGIN_METHODS: Final = ("PLAIN", "AMQPLAIN", "EXTERNAL")

#: Those of connections, and `consumer_timeout`, which is ours: what the server's configuration says of it.
_TAKEN: Final = frozenset(
    {
        "confirm_timeout",
        "read_timeout",
        "write_timeout",
        "connect_timeout",
        "heartbeat",
        "ssl",
        "login_method",
        "client_properties",
        "socket_settings",
        "consumer_timeout",
    }
)
#: Accepted without effect. Publishing is always confirmed, sizes are the server's to say, and the settings
#: `broker_connection_*` and `task_publish_retry_policy` say how often to try again.
_MOOT: Final = frozenset(
    {
        "confirm_publish",
        "frame_max",
        "channel_max",
        "locale",
        "insist",
        "max_retries",
        "interval_start",
        "interval_step",
        "interval_max",
        "connect_retries_timeout",
    }
)
KNOWN_OPTIONS: Final = _TAKEN | _MOOT
#: What kombu takes behind the `?` of a URL.
NAMES_IN_URL: Final = frozenset({"heartbeat", "ssl", "connect_timeout", "login_method", "insist", *TLS_OPTIONS})

#: Silence for a minute, and then ten probes ten seconds apart: connections for publishing have no heartbeats.
_SOCKET_OPTIONS: Final[Mapping[str, int]] = {
    "TCP_NODELAY": 1,
    "TCP_KEEPIDLE": 60,
    "TCP_KEEPINTVL": 10,
    "TCP_KEEPCNT": 9,
}


def login_method(name: str | None, setting: str) -> str:
    """A method to log in, in capitals; None stands for PLAIN, as with kombu.

    Raises:
        ImproperlyConfigured: there is none of this name here.
    """
    method = (name or "PLAIN").upper()
    if method not in LOGIN_METHODS:
        raise ImproperlyConfigured(f"{setting} has the login method {name!r}; known ones: {', '.join(LOGIN_METHODS)}")
    return method


def socket_options(given: Mapping[Any, Any] | None, setting: str) -> dict[int, int]:
    """Options of a socket at the level of TCP, by number: ours, and those that `given` has by number or name.

    Raises:
        ImproperlyConfigured: an option that this system does not have, or a value that is no number.
    """
    # A system without one of ours does without it.
    options = {getattr(socket, name): value for name, value in _SOCKET_OPTIONS.items() if hasattr(socket, name)}
    for name, value in (given or {}).items():
        number = getattr(socket, name, None) if isinstance(name, str) else name
        if not isinstance(number, int) or not isinstance(value, int):
            raise ImproperlyConfigured(
                f"{setting} has socket_settings with {name!r}: {value!r}; expected options of TCP such as "
                "'TCP_USER_TIMEOUT' (or socket.TCP_USER_TIMEOUT), with whole numbers"
            )
        options[number] = value
    return options
