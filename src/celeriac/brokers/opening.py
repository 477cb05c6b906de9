"""From a broker URL to a broker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from celeriac.clock import SYSTEM_CLOCK, Clock
from celeriac.storage.urls import REDIS_SCHEMES, pick_options, redis_location, split_url, sqlite_path, third_party

if TYPE_CHECKING:
    from celeriac.brokers.base import Broker
    from celeriac.config import Settings
    from celeriac.topology import Topology

_SETTING: Final = "broker_url"
_SQLITE_OPTIONS: Final = frozenset({"busy_timeout"})


def open_broker(
    url: str,
    options: Mapping[str, Any] | None = None,
    clock: Clock = SYSTEM_CLOCK,
    *,
    settings: Settings | None = None,
    topology: Topology | None = None,  # noqa: ARG001 - for brokers that declare queues
) -> Broker:
    """Make the broker that `url` names. Nothing is opened yet; its first use does that.

    Args:
        url: `sqlite:///relative.db`, `sqlite:////absolute.db`, `memory://`, `memory://name`, `redis://host:6379/0` and
            the other schemes of Redis and Valkey (see `celeriac.storage.redis.location`), or a scheme that an
            installed package registers under the entry point group `celeriac.brokers` (a callable that takes the first
            three arguments).
        options: transport options. SQLite: `busy_timeout` in seconds. Redis: by Celery's names.
        clock: the clock for leases and due times.
        settings: the app's, of which Redis takes TLS, timeouts and the like; None for the defaults.
        topology: the app's queues, for brokers that declare them; None: those of the settings.

    Raises:
        ImproperlyConfigured: the URL or an option is wrong, or the driver is not installed.

    Example:
        >>> open_broker("memory://docs").address
        'memory://docs'
    """
    scheme, rest = split_url(url, _SETTING)
    if scheme == "sqlite":
        from celeriac.brokers.sqlite import SQLiteBroker  # noqa: PLC0415 - start-up time: sqlite3 only where it is used

        path = sqlite_path(url, rest, _SETTING)
        return SQLiteBroker(path, clock=clock, **pick_options(options, _SQLITE_OPTIONS, url))
    if scheme == "memory":
        from celeriac.brokers.memory import MemoryBroker  # noqa: PLC0415 - as above

        pick_options(options, frozenset(), url)
        return MemoryBroker(rest.strip("/"), clock=clock)
    if scheme in REDIS_SCHEMES:
        return _open_redis(url, options, clock, settings)
    factory = third_party("celeriac.brokers", scheme, _SETTING, ("sqlite", "memory", *REDIS_SCHEMES))
    broker: Broker = factory(url, options, clock)
    return broker


def broker_url_of(settings: Settings) -> str | None:
    """The broker's URL; None if neither `broker_url` nor a part of it is set.

    What is set as a part (`broker_host`, `broker_port`, ...) is added where the connection is made.
    """
    if settings.broker_url:
        return settings.broker_url
    host = settings.broker_host
    if host is not None and "://" in host:  # so in configurations from before there was broker_url
        return host
    if settings.broker_transport is None and host is None:
        return None
    return f"{settings.broker_transport or 'amqp'}://"


def _open_redis(url: str, options: Mapping[str, Any] | None, clock: Clock, settings: Settings | None) -> Broker:
    location = redis_location(url, options, _SETTING, settings)
    from celeriac.brokers.redis import RedisBroker  # noqa: PLC0415 - an optional driver
    from celeriac.storage.redis.options import BROKER_OPTIONS  # noqa: PLC0415 - as above

    own = {name: value for name, value in (options or {}).items() if name in BROKER_OPTIONS and value is not None}
    return RedisBroker(location, clock=clock, **own)
