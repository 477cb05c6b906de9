"""From `broker_use_ssl` to the TLS of a connection, by the names that kombu, py-amqp and redis-py have for it.

Knows nothing of servers and connections.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any, Final

from celeriac.exceptions import ImproperlyConfigured
from celeriac.storage.tls import read_tls

#: py-amqp's names, and those for the same thing with Redis.
_NAMES: Final[dict[str, str]] = {
    "cert_reqs": "ssl_cert_reqs",
    "ca_certs": "ssl_ca_certs",
    "certfile": "ssl_certfile",
    "keyfile": "ssl_keyfile",
    "ciphers": "ssl_ciphers",
    "check_hostname": "ssl_check_hostname",
    "tls_minimum_version": "ssl_min_version",
    "cafile": "ssl_ca_certs",
    "capath": "ssl_ca_path",
    "cadata": "ssl_ca_data",
}
#: Others of py-amqp's: how it wraps its socket, which is done differently here.
_MOOT: Final = frozenset({"do_handshake_on_connect", "suppress_ragged_eofs", "server_side", "ssl_version"})


def make_context(options: Mapping[str, Any], setting: str) -> tuple[ssl.SSLContext, str | None]:
    """How to speak TLS, and the name that the server's certificate must bear; None: that of the URL.

    Certificates are required and host names checked, unless the options say otherwise.

    Args:
        options: `ca_certs`, `certfile`, `keyfile`, `cert_reqs`, `ciphers`, `server_hostname`, `check_hostname`,
            `tls_minimum_version`, `tls_maximum_version`, `context` (an `ssl.SSLContext`, or py-amqp's dictionary);
            those with the prefix `ssl_` are understood too.
        setting: where they come from, for errors.

    Raises:
        ImproperlyConfigured: a name or a value is wrong, or a file can not be read.
    """
    given: dict[str, Any] = {key: value for key, value in options.items() if value is not None and key not in _MOOT}
    server_hostname: str | None = given.pop("server_hostname", None)
    context = given.pop("context", None)
    if isinstance(context, ssl.SSLContext):
        return context, server_hostname
    highest = given.pop("tls_maximum_version", None)
    given = {**(context or {}), **given}
    wanted = read_tls({_NAMES.get(key, key): value for key, value in given.items()}, setting)
    try:
        made = _context(wanted)
        if highest is not None:
            made.maximum_version = highest
    except (OSError, ValueError) as error:
        raise ImproperlyConfigured(
            f"{setting} can not be used: {error}; look at the files that it names, and at its other values"
        ) from error
    return made, server_hostname


def _context(wanted: Mapping[str, Any]) -> ssl.SSLContext:
    authority = {name: wanted.get(f"ssl_{key}") for name, key in _AUTHORITY.items()}
    made = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, **authority)
    made.check_hostname = wanted["ssl_check_hostname"]
    made.verify_mode = wanted["ssl_cert_reqs"]
    if "ssl_min_version" in wanted:
        made.minimum_version = wanted["ssl_min_version"]
    if "ssl_ciphers" in wanted:
        made.set_ciphers(wanted["ssl_ciphers"])
    if "ssl_certfile" in wanted:
        made.load_cert_chain(wanted["ssl_certfile"], wanted.get("ssl_keyfile"), wanted.get("ssl_password"))
    return made


_AUTHORITY: Final = {"cafile": "ca_certs", "capath": "ca_path", "cadata": "ca_data"}
