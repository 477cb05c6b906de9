"""Which TLS a connection speaks, by the names that redis-py and Celery have for it.

Knows nothing of servers and connections.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any, Final

from celeriac.exceptions import ImproperlyConfigured
from celeriac.spelling import near_names

#: What `broker_use_ssl` and `redis_backend_use_ssl` may hold, and a URL after its `?`.
TLS_OPTIONS: Final = (
    "ssl_cert_reqs",
    "ssl_ca_certs",
    "ssl_ca_path",
    "ssl_ca_data",
    "ssl_certfile",
    "ssl_keyfile",
    "ssl_password",
    "ssl_check_hostname",
    "ssl_min_version",
    "ssl_ciphers",
)
_REQUIREMENTS: Final = {
    "required": ssl.CERT_REQUIRED,
    "optional": ssl.CERT_OPTIONAL,
    "none": ssl.CERT_NONE,
}
_FALSE: Final = frozenset({"0", "f", "false", "n", "no", "off"})


def read_tls(options: Mapping[str, Any], setting: str) -> dict[str, Any]:
    """The options, checked and made constants; they are also the arguments of redis-py's TLS connections.

    Certificates are required and host names checked, unless the options say otherwise.

    Args:
        options: by the names of `TLS_OPTIONS`; values from a URL are text.
        setting: where they come from, for errors.

    Raises:
        ImproperlyConfigured: a name or a value is wrong.

    Example:
        >>> read_tls({"ssl_cert_reqs": "CERT_NONE"}, "broker_use_ssl")["ssl_check_hostname"]
        False
    """
    for name in options:
        if name not in TLS_OPTIONS:
            near = near_names(str(name), TLS_OPTIONS, cutoff=0.6)
            instead = f"did you mean {near[0]!r}?" if near else f"known ones: {', '.join(TLS_OPTIONS)}"
            raise ImproperlyConfigured(f"{setting} has the unknown option {name!r}; {instead}")
    given = {name: value for name, value in options.items() if value is not None}
    given["ssl_cert_reqs"] = _requirement(given.get("ssl_cert_reqs", ssl.CERT_REQUIRED), setting)
    given["ssl_check_hostname"] = _truth(given.get("ssl_check_hostname", True)) and (
        given["ssl_cert_reqs"] is not ssl.CERT_NONE
    )
    if "ssl_min_version" in given:
        given["ssl_min_version"] = _version(given["ssl_min_version"], setting)
    return given


def _requirement(value: Any, setting: str) -> ssl.VerifyMode:
    if isinstance(value, ssl.VerifyMode):
        return value
    name = str(value).lower().removeprefix("cert_")
    if name not in _REQUIREMENTS:
        raise ImproperlyConfigured(
            f"{setting} has ssl_cert_reqs={value!r}; expected 'required', 'optional' or 'none' (or CERT_REQUIRED, ...)"
        )
    return _REQUIREMENTS[name]


def _truth(value: Any) -> bool:
    return value.lower() not in _FALSE if isinstance(value, str) else bool(value)


def _version(value: Any, setting: str) -> ssl.TLSVersion:
    """`TLSv1_2`, its number, or the member itself."""
    try:
        return ssl.TLSVersion[value] if isinstance(value, str) and not value.isdigit() else ssl.TLSVersion(int(value))
    except (KeyError, ValueError, TypeError):
        raise ImproperlyConfigured(
            f"{setting} has ssl_min_version={value!r}; expected a member of ssl.TLSVersion, such as 'TLSv1_2'"
        ) from None
