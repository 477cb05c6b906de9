"""From a broker URL to a broker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from celeriac.clock import SYSTEM_CLOCK, Clock
from celeriac.config.censor import mask_url
from celeriac.exceptions import ImproperlyConfigured
from celeriac.storage.urls import (
    RABBIT_SCHEMES,
    REDIS_SCHEMES,
    pick_options,
    rabbit_location,
    redis_location,
    split_url,
    sqlite_path,
    third_party,
)

if TYPE_CHECKING:
    from celeriac.brokers.base import Broker
    from celeriac.config import Settings
    from celeriac.topology import Topology

_SETTING: Final = "broker_url"
_SQLITE_OPTIONS: Final = frozenset({"busy_timeout"})
#: Settings that a broker is made of.
BROKER_SETTINGS: Final = (
    "broker_url",
    "broker_transport_options",
    "broker_transport",
    "broker_host",
    "broker_port",
    "broker_user",
    "broker_password",
    "broker_vhost",
    "broker_use_ssl",
    "broker_connection_timeout",
    "broker_pool_limit",
    "broker_pool_acquire_timeout",
)


def open_broker(
    url: str,
    options: Mapping[str, Any] | None = None,
    clock: Clock = SYSTEM_CLOCK,
    *,
    settings: Settings | None = None,
    topology: Topology | None = None,
) -> Broker:
    """Make the broker that `url` names. Nothing is opened yet; its first use does that.

    Args:
        url: `sqlite:///relative.db`, `sqlite:////absolute.db`, `memory://`, `memory://name`, `redis://host:6379/0` and
            the other schemes of Redis and Valkey (see `celeriac.storage.redis.location`),
            `amqp://user:password@host:5672/virtual_host` and `amqps://` for RabbitMQ, or a scheme that an installed
            package registers under the entry point group `celeriac.brokers` (a callable that takes the first three
            arguments).
        options: transport options. SQLite: `busy_timeout` in seconds. Redis and RabbitMQ: by Celery's names.
        clock: the clock for leases and due times.
        settings: the app's, of which Redis and RabbitMQ take TLS, timeouts and the like; None for the defaults.
        topology: the app's queues, for brokers that declare them; None: those of the settings.

    Raises:
        ImproperlyConfigured: the URL or an option is wrong, or the driver is not installed.

    Example:
        >>> open_broker("memory://docs").address
        'memory://docs'
    """
    scheme, rest = split_url(url, _SETTING)
    if scheme in RABBIT_SCHEMES:
        return _open_rabbit(url, options, clock, settings, topology)
    _check_one_url(url, settings)
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
    factory = third_party("celeriac.brokers", scheme, _SETTING, ("sqlite", "memory", *REDIS_SCHEMES, *RABBIT_SCHEMES))
    broker: Broker = factory(url, options, clock)
    return broker


def broker_url_of(settings: Settings) -> str | None:
    """The broker's URL; None if neither `broker_url`, nor one for writing or reading, nor a part of it is set.

    What is set as a part (`broker_host`, `broker_port`, ...) is added where the connection is made.
    """
    url = settings.broker_url or settings.broker_write_url or settings.broker_read_url
    if url:
        return url
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


def _open_rabbit(
    url: str,
    options: Mapping[str, Any] | None,
    clock: Clock,
    settings: Settings | None,
    topology: Topology | None,
) -> Broker:
    location = rabbit_location(url, options, _SETTING, settings)
    from celeriac.brokers.rabbitmq import RabbitBroker  # noqa: PLC0415 - an optional driver
    from celeriac.config import Settings as Defaults  # noqa: PLC0415 - start-up time: whoever has an app has them
    from celeriac.topology import Topology  # noqa: PLC0415 - as above

    conf = Defaults() if settings is None else settings
    return RabbitBroker(
        location,
        topology=Topology.of(conf) if topology is None else topology,
        clock=clock,
        delay_queue_type=conf.broker_native_delayed_delivery_queue_type,
    )


def _check_one_url(url: str, settings: Settings | None) -> None:
    """Only with RabbitMQ does a message that is published in one place come out in another."""
    for name in ("broker_read_url", "broker_write_url"):
        other: str | None = getattr(settings, name, None)
        if other and other != url:
            raise ImproperlyConfigured(
                f"{name} is {mask_url(other)!r}, and broker_url {mask_url(url)!r}: places to read from and to write to "
                "can differ with RabbitMQ only; leave it out, or set both to the same"
            )
