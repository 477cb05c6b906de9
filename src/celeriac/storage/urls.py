"""Reads broker and backend URLs, and finds drivers of third parties.

Owns the words for what is wrong with a URL. Knows the schemes of later versions only to say so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from celeriac.config.censor import mask_url
from celeriac.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from celeriac.config import Settings
    from celeriac.storage.rabbitmq.location import RabbitLocation
    from celeriac.storage.redis.location import Location

#: The schemes of Redis and Valkey, as errors list them.
REDIS_SCHEMES: Final = (
    "redis",
    "rediss",
    "valkey",
    "valkeys",
    "redis+socket",
    "valkey+socket",
    "unix",
    "sentinel",
    "redis+cluster",
    "rediss+cluster",
)

#: The schemes of RabbitMQ, as errors list them.
RABBIT_SCHEMES: Final = ("amqp", "amqps", "pyamqp", "py-amqp")

#: Schemes of Celery's that this version does not serve, and what they are.
_LATER: Final = {
    "postgresql": "PostgreSQL",
    "postgres": "PostgreSQL",
}


def split_url(url: str, what: str) -> tuple[str, str]:
    """Scheme and rest of `url`; a bare word such as `memory` is a scheme.

    Raises:
        ImproperlyConfigured: it is not a URL. `what` names the setting.
    """
    scheme, separator, rest = url.partition("://")
    if not scheme or (not separator and not scheme.isidentifier()):
        raise ImproperlyConfigured(
            f"{what} is {_shown(url)!r}, which is not a URL; write for example 'sqlite:///celeriac.sqlite3' or "
            "'redis://localhost:6379/0'"
        )
    return scheme.lower(), rest


def sqlite_path(url: str, rest: str, what: str) -> str:
    """The file that a sqlite URL names, relative with three slashes and absolute with four, as elsewhere.

    Raises:
        ImproperlyConfigured: no file, a host, or options in the URL.
    """
    host, slash, path = rest.partition("/")
    shown = mask_url(url)
    if host:
        raise ImproperlyConfigured(
            f"{what} is {shown!r}, which has the host {host.rpartition('@')[2]!r}; write three slashes before a "
            "relative path (sqlite:///queue.db) and four before an absolute one (sqlite:////var/lib/app/queue.db)"
        )
    if not slash or not path or path == ":memory:":
        raise ImproperlyConfigured(
            f"{what} is {shown!r}, which names no file; write for example 'sqlite:///celeriac.sqlite3', "
            "or 'memory://' to keep everything in this process"
        )
    if "?" in path:
        raise ImproperlyConfigured(
            f"{what} is {shown!r}; options go into the transport options setting, not into the URL of a file"
        )
    return path


def pick_options(options: Mapping[str, Any] | None, known: frozenset[str], url: str) -> dict[str, Any]:
    """The transport options for a driver.

    Raises:
        ImproperlyConfigured: one of them is unknown.
    """
    unknown = sorted(set(options or ()) - known)
    if unknown:
        names = ", ".join(sorted(known)) or "none"
        shown = mask_url(url)
        raise ImproperlyConfigured(f"unknown transport option {unknown[0]!r} for {shown!r}; known ones: {names}")
    return dict(options or {})


def redis_location(url: str, options: Mapping[str, Any] | None, what: str, settings: Settings | None) -> Location:
    """Where the Redis store is that `url` names.

    Raises:
        ImproperlyConfigured: the URL, an option or a setting is wrong, or redis-py is not installed.
    """
    try:
        from celeriac.storage.redis.reading import read_location  # noqa: PLC0415 - an optional driver
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "redis":
            raise
        raise ImproperlyConfigured(
            f"{what} asks for Redis, and the package for that is missing or too old ({error}): "
            "pip install 'celeriac[redis]'"
        ) from error
    from celeriac.config import Settings as Defaults  # noqa: PLC0415 - start-up time: whoever has an app has them

    return read_location(url, options or {}, setting=what, settings=Defaults() if settings is None else settings)


def rabbit_location(
    url: str, options: Mapping[str, Any] | None, what: str, settings: Settings | None
) -> RabbitLocation:
    """Where the RabbitMQ is that `url` names.

    Raises:
        ImproperlyConfigured: the URL, an option or a setting is wrong, or py-amqp is not installed.
    """
    try:
        from celeriac.storage.rabbitmq.reading import read_location, read_locations  # noqa: PLC0415 - an optional driver
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "amqp":
            raise
        raise ImproperlyConfigured(
            f"{what} asks for RabbitMQ, and the package for that is missing or too old ({error}): "
            "pip install 'celeriac[rabbitmq]'"
        ) from error
    from celeriac.config import Settings as Defaults  # noqa: PLC0415 - start-up time: whoever has an app has them

    read = read_locations if what == "broker_url" else read_location
    return read(url, options or {}, setting=what, settings=Defaults() if settings is None else settings)


def third_party(group: str, scheme: str, what: str, known: tuple[str, ...]) -> Callable[..., Any]:
    """The factory that another package registered for `scheme` under the entry point group `group`.

    Raises:
        ImproperlyConfigured: there is none.
    """
    from importlib.metadata import entry_points  # noqa: PLC0415 - start-up time: 15 ms that only unknown schemes cost

    for entry_point in entry_points(group=group, name=scheme):
        factory: Callable[..., Any] = entry_point.load()
        return factory
    names = ", ".join(f"{name}://" for name in known)
    if scheme in _LATER:
        raise ImproperlyConfigured(
            f"{what} asks for {_LATER[scheme]} ({scheme}://), which comes with a later version; this one has {names}"
        )
    raise ImproperlyConfigured(
        f"{what} has the unknown scheme {scheme}://; known are {names}, and those of installed packages "
        f"that register under the entry point group {group!r}"
    )


def _shown(text: str) -> str:
    """What is not a URL may still have a login in it."""
    return f"...@{text.rpartition('@')[2]}" if "@" in text and "://" not in text else mask_url(text)
