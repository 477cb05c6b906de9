"""From a result backend URL to a backend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from celeriac.brokers.opening import broker_url_of
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
    from celeriac.backends.base import Backend
    from celeriac.brokers.base import Broker
    from celeriac.config import Settings
    from celeriac.storage.redis.location import Location

_SETTING: Final = "result_backend"
_SQLITE_OPTIONS: Final = frozenset({"busy_timeout"})
#: Settings that a result store is made of.
BACKEND_SETTINGS: Final = (
    "result_backend",
    "result_backend_transport_options",
    "result_persistent",
    "result_cache_max",
    "redis_host",
    "redis_port",
    "redis_db",
    "redis_username",
    "redis_password",
    "redis_backend_use_ssl",
    "redis_backend_credential_provider",
    "redis_backend_health_check_interval",
    "redis_client_name",
    "redis_max_connections",
    "redis_socket_timeout",
    "redis_socket_connect_timeout",
    "redis_socket_keepalive",
)


def open_backend(
    url: str | None,
    *,
    broker: Broker | None = None,
    options: Mapping[str, Any] | None = None,
    clock: Clock = SYSTEM_CLOCK,
    settings: Settings | None = None,
) -> Backend:
    """Make the backend that `url` names. Nothing is opened yet; its first use does that.

    Args:
        url: `sqlite:///relative.db`, `sqlite:////absolute.db`, `memory://`, `memory://name`, `redis://host:6379/0` and
            the other schemes of Redis and Valkey (see `celeriac.storage.redis.location`), `rpc://` for messages over
            the broker's RabbitMQ and `rpc://user:password@host//` for another one, `disabled://`, or a scheme that an
            installed package registers under the entry point group `celeriac.backends` (a callable that takes URL,
            options and clock). None for the broker's own store where it has one, else no results.
        broker: the app's broker.
        options: transport options. SQLite: `busy_timeout` in seconds. Redis: by Celery's names.
        clock: the clock for expiry.
        settings: the app's, of which Redis takes TLS, timeouts and the like; None for the defaults.

    Raises:
        ImproperlyConfigured: the URL or an option is wrong, or the driver is not installed.
    """
    if url is None:
        return _beside(broker, options, clock, settings)
    scheme, rest = split_url(url, _SETTING)
    if scheme == "sqlite":
        from celeriac.backends.sqlite import SQLiteBackend  # noqa: PLC0415 - start-up time: sqlite3 only where it is used

        path = sqlite_path(url, rest, _SETTING)
        return SQLiteBackend(path, clock=clock, **pick_options(options, _SQLITE_OPTIONS, url))
    if scheme == "memory":
        from celeriac.backends.memory import MemoryBackend  # noqa: PLC0415 - as above

        pick_options(options, frozenset(), url)
        return MemoryBackend(rest.strip("/"), clock=clock)
    if scheme == "disabled":
        return _disabled()
    if scheme in REDIS_SCHEMES:
        return _redis(redis_location(url, options, _SETTING, settings), options, clock, settings)
    if scheme == "rpc":
        return _rpc(rest, options or {}, settings)
    if scheme in RABBIT_SCHEMES:
        raise ImproperlyConfigured(
            f"result_backend is {mask_url(url)!r}, and RabbitMQ stores no results: write 'rpc://' to have them sent to "
            "the program that sent the task, or name a store, such as 'redis://host/1'"
        )
    known = ("sqlite", "memory", *REDIS_SCHEMES, "rpc", "disabled")
    factory = third_party("celeriac.backends", scheme, _SETTING, known)
    backend: Backend = factory(url, options, clock)
    return backend


def _beside(
    broker: Broker | None, options: Mapping[str, Any] | None, clock: Clock, settings: Settings | None
) -> Backend:
    """The backend in the broker's own store, whose results `settle` writes in one step with the rest."""
    scheme = "" if broker is None else broker.address.partition("://")[0]
    if scheme == "sqlite":
        from celeriac.backends.sqlite import SQLiteBackend  # noqa: PLC0415 - as above
        from celeriac.brokers.sqlite import SQLiteBroker  # noqa: PLC0415 - as above

        if isinstance(broker, SQLiteBroker):
            return SQLiteBackend(broker.database)
    if scheme == "memory":
        from celeriac.backends.memory import MemoryBackend  # noqa: PLC0415 - as above
        from celeriac.brokers.memory import MemoryBroker  # noqa: PLC0415 - as above

        if isinstance(broker, MemoryBroker):
            return MemoryBackend(broker.name, clock=clock)
    if scheme in REDIS_SCHEMES:
        from celeriac.brokers.redis import RedisBroker  # noqa: PLC0415 - as above
        from celeriac.storage.redis.reading import results_beside  # noqa: PLC0415 - as above

        if isinstance(broker, RedisBroker):
            return _redis(results_beside(broker.location, options or {}), options, clock, settings)
    return _disabled()


def _redis(location: Location, options: Mapping[str, Any] | None, clock: Clock, settings: Settings | None) -> Backend:
    from celeriac.backends.redis import RedisBackend  # noqa: PLC0415 - an optional driver
    from celeriac.storage.options import Options  # noqa: PLC0415 - start-up time: needed with options alone

    ordered = Options(options or {}, "result_backend_transport_options").truth("result_chord_ordered", True)
    if settings is None:
        return RedisBackend(location, clock=clock, result_chord_ordered=ordered)
    accept = settings.result_accept_content or settings.accept_content
    return RedisBackend(
        location,
        clock=clock,
        serializer=settings.result_serializer,
        accept=accept,
        compressed=settings.result_compression is not None,
        result_chord_ordered=ordered,
    )


def _rpc(rest: str, options: Mapping[str, Any], settings: Settings | None) -> Backend:
    """The backend that sends results over RabbitMQ: the broker's, unless the URL has an address of its own."""
    from celeriac.config import Settings as Defaults  # noqa: PLC0415 - start-up time: whoever has an app has them

    conf = Defaults() if settings is None else settings
    if rest.strip("/"):
        location = rabbit_location(f"amqp://{rest}", options, _SETTING, conf)
    else:
        url = broker_url_of(conf) or ""
        if url.partition("://")[0].lower() not in RABBIT_SCHEMES:
            raise ImproperlyConfigured(
                f"result_backend is 'rpc://', which sends results over the broker's RabbitMQ, and broker_url is "
                f"{mask_url(url) or 'not set'}: give the address of a RabbitMQ, such as 'rpc://user@host//', or use a "
                "backend that stores results, such as 'redis://host/1'"
            )
        location = rabbit_location(url, {**conf.broker_transport_options, **options}, "broker_url", conf)
    from celeriac.backends.rpc import RpcBackend  # noqa: PLC0415 - an optional driver
    from celeriac.backends.rpc.places import DEFAULT_LIMIT  # noqa: PLC0415 - as above

    return RpcBackend(
        location,
        expires=conf.result_expires,
        persistent=bool(conf.result_persistent),
        cache_limit=DEFAULT_LIMIT if conf.result_cache_max == -1 else conf.result_cache_max,
        serializer=conf.result_serializer,
        accept=conf.result_accept_content or conf.accept_content,
    )


def _disabled() -> Backend:
    from celeriac.backends.disabled import DisabledBackend  # noqa: PLC0415 - as above

    return DisabledBackend()
