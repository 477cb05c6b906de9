"""From a URL, transport options and settings to a `RabbitLocation`.

Owns which setting means what. Opens nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from celeriac.exceptions import ImproperlyConfigured
from celeriac.storage.options import Options, check_names
from celeriac.storage.rabbitmq.addresses import DEFAULT_PORT, DEFAULT_TLS_PORT, RabbitURL, Server, read_urls
from celeriac.storage.rabbitmq.dialling import Dialler
from celeriac.storage.rabbitmq.failover import STRATEGIES, Rotation
from celeriac.storage.rabbitmq.location import RabbitLocation
from celeriac.storage.rabbitmq.options import KNOWN_OPTIONS, NAMES_IN_URL, login_method, socket_options
from celeriac.storage.rabbitmq.tls import make_context
from celeriac.storage.tls import TLS_OPTIONS

if TYPE_CHECKING:
    from celeriac.config import Settings

#: Seconds to wait for an answer.
_ANSWER_SECONDS: Final = 10.0
#: RabbitMQ's default, in seconds.
_CONSUMER_SECONDS: Final = 1800.0


@dataclass(frozen=True, slots=True)
class _Source:
    """What one location is read from: whose URL it is, and what stands beside it."""

    setting: str
    settings: Settings
    options: Mapping[str, Any]

    @property
    def options_name(self) -> str:
        """The setting of the transport options."""
        return "result_backend_transport_options" if self.setting == "result_backend" else "broker_transport_options"


def read_location(url: str, options: Mapping[str, Any], *, setting: str, settings: Settings) -> RabbitLocation:
    """Where RabbitMQ is.

    What is said in several places counts in this order: the URL, the transport options, the settings.

    Args:
        url: one or several joined by `;`, see `celeriac.storage.rabbitmq.addresses`.
        options: transport options, by kombu's names.
        setting: whose URL it is: `broker_url`, `broker_read_url`, `broker_write_url` or `result_backend`.
        settings: the app's.

    Raises:
        ImproperlyConfigured: something is wrong; the text has no password in it.

    Example:
        >>> from celeriac.config import Settings
        >>> read_location("amqp://me:secret@mq/jobs", {}, setting="broker_url", settings=Settings()).address
        'amqp://me@mq:5672/jobs'
    """
    source = _Source(setting, settings, options)
    urls = read_urls(url, setting)
    check_names(options, KNOWN_OPTIONS, source.options_name)
    for each in urls:
        check_names(each.query, NAMES_IN_URL, f"the URL in {setting}")
    given = _given(urls[0], source)
    servers = [_server(each, source) for each in urls]
    answer = given.seconds("confirm_timeout", given.seconds("read_timeout", _ANSWER_SECONDS))
    context, server_hostname = _tls(urls, source)
    return RabbitLocation(
        address=";".join(server.address for server in servers),
        connect_timeout=given.seconds("connect_timeout", 4.0),
        answer_timeout=answer,
        heartbeat=_heartbeat(given, settings),
        heartbeat_checkrate=settings.broker_heartbeat_checkrate,
        pool_limit=settings.broker_pool_limit,
        pool_timeout=settings.broker_pool_acquire_timeout,
        consumer_timeout=given.seconds("consumer_timeout", _CONSUMER_SECONDS),
        rotation=Rotation(servers, _strategy(settings)),
        dialler=Dialler(
            answer_timeout=answer,
            write_timeout=given.seconds("write_timeout", answer),
            login_method=login_method(given.text("login_method"), setting),
            tls=context,
            server_hostname=server_hostname,
            client_properties=dict(given.mapping("client_properties") or {}),
            socket_options=socket_options(given.mapping("socket_settings"), source.options_name),
        ),
    )


def read_locations(url: str, options: Mapping[str, Any], *, setting: str, settings: Settings) -> RabbitLocation:
    """The location of a broker: from where to take, with the one to publish to as its `writer` if that is another.

    Args:
        url: that of `broker_url`; `broker_read_url` and `broker_write_url` take its place where they are set.

    Raises:
        ImproperlyConfigured: as `read_location`.
    """
    read_url, write_url = settings.broker_read_url or url, settings.broker_write_url or url
    read_name = "broker_read_url" if settings.broker_read_url else setting
    reading = read_location(read_url, options, setting=read_name, settings=settings)
    if read_url == write_url:
        return reading
    write_name = "broker_write_url" if settings.broker_write_url else setting
    return replace(reading, writer=read_location(write_url, options, setting=write_name, settings=settings))


def _given(url: RabbitURL, source: _Source) -> Options:
    settings = source.settings
    defaults = {
        "connect_timeout": settings.broker_connection_timeout,
        "login_method": settings.broker_login_method,
    }
    set_ones = {name: value for name, value in source.options.items() if value is not None}
    return Options({**defaults, **set_ones, **url.query}, f"{source.setting} with {source.options_name}")


def _server(url: RabbitURL, source: _Source) -> Server:
    settings = source.settings
    tls = _wants_tls(url, source)
    port = url.port or settings.broker_port or (DEFAULT_TLS_PORT if tls else DEFAULT_PORT)
    host = url.host or settings.broker_host or "localhost"
    return Server(
        host=host,
        port=port,
        user=url.user or settings.broker_user or "guest",
        password=url.password or settings.broker_password or "guest",
        virtual_host=url.virtual_host or settings.broker_vhost or "/",
        tls=tls,
        url=url.text,
    )


def _wants_tls(url: RabbitURL, source: _Source) -> bool:
    in_url = Options(url.query, source.setting).truth("ssl", False)
    return url.is_tls or in_url or bool(source.options.get("ssl") or source.settings.broker_use_ssl)


def _tls(urls: list[RabbitURL], source: _Source) -> tuple[Any, str | None]:
    in_url = {name: value for name, value in urls[0].query.items() if name in TLS_OPTIONS}
    if not any(_wants_tls(url, source) for url in urls):
        if in_url:
            raise ImproperlyConfigured(
                f"{source.setting} has {next(iter(in_url))} in a {urls[0].scheme}:// URL, which is not encrypted; "
                "write amqps://, or set broker_use_ssl"
            )
        return None, None
    chosen = source.options.get("ssl") or source.settings.broker_use_ssl
    beside = chosen if isinstance(chosen, Mapping) else {}
    return make_context({**beside, **in_url}, "broker_use_ssl" if beside else source.setting)


def _heartbeat(given: Options, settings: Settings) -> float | None:
    if given.get("heartbeat") is not None:
        return given.interval("heartbeat", 0.0)
    return settings.broker_heartbeat or 0.0 if settings.value_set_for("broker_heartbeat") else None


def _strategy(settings: Settings) -> Any:
    strategy = settings.broker_failover_strategy or "round-robin"
    if not callable(strategy) and strategy not in STRATEGIES:
        raise ImproperlyConfigured(
            f"broker_failover_strategy is {strategy!r}; expected {' or '.join(map(repr, STRATEGIES))}, or a function "
            "that gets the list of URLs and gives one after the other"
        )
    return strategy
