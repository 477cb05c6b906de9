"""From a URL, transport options and settings to a `Location`.

Owns which setting means what for a broker and for results. Opens nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from celeriac.exceptions import ImproperlyConfigured
from celeriac.storage.options import Options, check_names
from celeriac.storage.redis.addresses import DEFAULT_PORTS, RedisURL, Server, address_of, read_url, wrong
from celeriac.storage.redis.cluster import DEFAULT_TAG, has_tag
from celeriac.storage.redis.credentials import read_provider
from celeriac.storage.redis.dialling import Dialler
from celeriac.storage.redis.location import Location, asking_seconds
from celeriac.storage.redis.options import known_options, names_in_url
from celeriac.storage.tls import TLS_OPTIONS, read_tls

if TYPE_CHECKING:
    from celeriac.config import Settings

#: Seconds to wait for an answer: of a broker, which is asked all the time, and where none is set for results.
_BROKER_SECONDS: Final = 5.0
_BACKEND_SECONDS: Final = 120.0
#: Celery puts `_` between a prefix of results and the rest of the key, unless the prefix ends in one of these.
_PREFIX_ENDS: Final = (":", "_", "-", ".")
#: What the transport option `sentinel_kwargs` may hold, beside the options of TLS.
_OF_SENTINELS: Final = frozenset(
    {"username", "password", "ssl", "socket_timeout", "socket_connect_timeout", "socket_keepalive", "client_name"}
)


@dataclass(frozen=True, slots=True)
class _Rules:
    """What the settings say for one of the two.

    Attributes:
        setting: `broker_url` or `result_backend`.
        parts: of the URL, where it does not name them: host, port, username, password, db.
        options: where neither the transport options nor the URL have them.
        ssl_name: the setting for TLS.
        ssl: its value.
        default_timeout: seconds to wait for an answer.
        pool_timeout: seconds to wait for a connection of the pool.
    """

    setting: str
    parts: Mapping[str, Any]
    options: Mapping[str, Any]
    ssl_name: str
    ssl: Mapping[str, Any] | bool | None
    default_timeout: float
    pool_timeout: float | None

    @property
    def options_name(self) -> str:
        """The setting of the transport options."""
        return "broker_transport_options" if self.setting == "broker_url" else "result_backend_transport_options"


def read_location(url: str, options: Mapping[str, Any], *, setting: str, settings: Settings) -> Location:
    """Where a Redis store is.

    What is said in several places counts in this order: the URL, the transport options, the settings.

    Args:
        url: see `celeriac.storage.redis.location`.
        options: transport options by Celery's names.
        setting: `broker_url` or `result_backend`: whose URL it is, which decides what settings count.
        settings: the app's.

    Raises:
        ImproperlyConfigured: something is wrong; the text has no password in it.

    Example:
        >>> from celeriac.config import Settings
        >>> read_location("redis://me:secret@db/2", {}, setting="broker_url", settings=Settings()).address
        'redis://me@db:6379/2'
    """
    rules = _broker_rules(settings) if setting == "broker_url" else _backend_rules(settings)
    parsed = read_url(url, setting)
    check_names(options, known_options(setting), rules.options_name)
    check_names(parsed.query, names_in_url(), f"the URL in {setting}")
    query = {name: value for name, value in parsed.query.items() if name not in TLS_OPTIONS}
    given = Options({**rules.options, **_set(options), **query}, f"{setting} with {rules.options_name}")
    db = _database(parsed, rules)
    servers = _servers(parsed, rules)
    parsed = replace(parsed, servers=servers)
    dialler = _dialler(parsed, given, rules)
    return Location(
        address=address_of(parsed, servers, dialler.username, db),
        db=db,
        prefix=_prefix(given.text("global_keyprefix"), parsed, setting),
        connect_timeout=dialler.connect_timeout,
        socket_timeout=dialler.socket_timeout,
        pool_limit=given.count("max_connections", None, least=1),
        pool_timeout=rules.pool_timeout,
        url=parsed,
        dialler=dialler,
        scout=_scout(parsed, given, dialler, rules),
        master_name=_master_name(parsed, given, url, rules),
        min_other_sentinels=given.count("min_other_sentinels", 0, least=0) or 0,
    )


def results_beside(location: Location, options: Mapping[str, Any]) -> Location:
    """Where results go that are to be stored in the broker's Redis: there, under the keys that Celery would look for.

    Args:
        location: the broker's.
        options: `result_backend_transport_options`; of these `global_keyprefix` counts, the rest is the broker's.

    Raises:
        ImproperlyConfigured: an option is wrong.
    """
    name = "result_backend_transport_options"
    check_names(options, known_options("result_backend"), name)
    prefix = Options(_set(options), name).text("global_keyprefix", location.prefix)
    return location.with_prefix(_prefix(prefix, location.url, "result_backend"))


def _broker_rules(settings: Settings) -> _Rules:
    return _Rules(
        setting="broker_url",
        parts=_set(
            {
                "host": settings.broker_host,
                "port": settings.broker_port,
                "username": settings.broker_user,
                "password": settings.broker_password,
                "db": settings.broker_vhost,
            }
        ),
        options=_set(
            {
                "socket_connect_timeout": settings.broker_connection_timeout,
                "max_connections": settings.broker_pool_limit,
                "socket_keepalive": True,
            }
        ),
        ssl_name="broker_use_ssl",
        ssl=settings.broker_use_ssl,
        default_timeout=_BROKER_SECONDS,
        pool_timeout=settings.broker_pool_acquire_timeout,
    )


def _backend_rules(settings: Settings) -> _Rules:
    return _Rules(
        setting="result_backend",
        parts=_set(
            {
                "host": settings.redis_host,
                "port": settings.redis_port,
                "username": settings.redis_username,
                "password": settings.redis_password,
                "db": settings.redis_db,
            }
        ),
        options=_set(
            {
                "socket_timeout": settings.redis_socket_timeout,
                "socket_connect_timeout": settings.redis_socket_connect_timeout or settings.broker_connection_timeout,
                "socket_keepalive": settings.redis_socket_keepalive,
                "max_connections": settings.redis_max_connections,
                "client_name": settings.redis_client_name,
                "health_check_interval": settings.redis_backend_health_check_interval,
                "credential_provider": settings.redis_backend_credential_provider,
            }
        ),
        ssl_name="redis_backend_use_ssl",
        ssl=settings.redis_backend_use_ssl,
        default_timeout=_BACKEND_SECONDS,
        pool_timeout=settings.broker_pool_acquire_timeout,
    )


def _set(values: Mapping[str, Any]) -> dict[str, Any]:
    """Without those that say nothing."""
    return {name: value for name, value in values.items() if value is not None}


def _servers(parsed: RedisURL, rules: _Rules) -> tuple[Server, ...]:
    if parsed.kind == "socket":
        return parsed.servers
    host, port = rules.parts.get("host", "localhost"), rules.parts.get("port", DEFAULT_PORTS[parsed.kind])
    return tuple(Server(server.host or host, server.port or port) for server in parsed.servers or (Server(),))


def _database(parsed: RedisURL, rules: _Rules) -> int:
    if parsed.kind == "cluster":
        return 0
    if parsed.db is not None:
        return parsed.db
    number = str(rules.parts.get("db", 0)).strip("/") or "0"
    if not (number.isascii() and number.isdigit()):
        raise ImproperlyConfigured(f"broker_vhost is {number!r}; for Redis it is the number of the database")
    return int(number)


def _dialler(parsed: RedisURL, given: Options, rules: _Rules) -> Dialler:
    where = f"{rules.setting} with {rules.options_name}"
    provider = read_provider(given.get("credential_provider"), f"credential_provider of {where}")
    keepalive = given.mapping("socket_keepalive_options")
    user = parsed.user or rules.parts.get("username")
    password = parsed.password or rules.parts.get("password")
    return Dialler(
        connect_timeout=given.seconds("socket_connect_timeout", 4.0),
        socket_timeout=given.seconds("socket_timeout", rules.default_timeout),
        username=None if provider else user,
        password=None if provider else password,
        credentials=provider,
        tls=_tls(parsed, rules),
        keepalive=given.truth("socket_keepalive", True),
        keepalive_options=None if keepalive is None else dict(keepalive),
        client_name=given.text("client_name"),
        health_check_interval=given.interval("health_check_interval", 0.0),
    )


def _tls(parsed: RedisURL, rules: _Rules) -> dict[str, Any] | None:
    in_url = {name: value for name, value in parsed.query.items() if name in TLS_OPTIONS}
    if parsed.kind == "socket":
        return None
    if not (parsed.is_tls or rules.ssl):
        if in_url:
            raise ImproperlyConfigured(
                f"{rules.setting} has {next(iter(in_url))} in a {parsed.scheme}:// URL, which is not encrypted; write "
                f"rediss:// (or rediss+cluster://), or set {rules.ssl_name}"
            )
        return None
    from_setting = rules.ssl if isinstance(rules.ssl, Mapping) else {}
    return read_tls({**from_setting, **in_url}, rules.ssl_name if from_setting else rules.setting)


def _scout(parsed: RedisURL, given: Options, dialler: Dialler, rules: _Rules) -> Dialler:
    """How sentinels and seeds are asked: quickly, since there are others. Sentinels have a login of their own."""
    seconds = asking_seconds(dialler.connect_timeout, len(parsed.servers))
    quick = replace(dialler, connect_timeout=seconds, socket_timeout=seconds, health_check_interval=0)
    if parsed.kind != "sentinel":
        return quick
    name = f"sentinel_kwargs in {rules.options_name}"
    kwargs = given.mapping("sentinel_kwargs") or {}
    check_names(kwargs, _OF_SENTINELS | frozenset(TLS_OPTIONS), name)
    own = Options(_set(kwargs), name)
    tls = {key: value for key, value in kwargs.items() if key in TLS_OPTIONS}
    return replace(
        quick,
        connect_timeout=own.seconds("socket_connect_timeout", seconds),
        socket_timeout=own.seconds("socket_timeout", seconds),
        username=own.text("username"),
        password=own.text("password"),
        credentials=None,
        tls=read_tls(tls, name) if own.truth("ssl", bool(tls)) else None,
        keepalive=own.truth("socket_keepalive", True),
        client_name=own.text("client_name"),
    )


def _master_name(parsed: RedisURL, given: Options, url: str, rules: _Rules) -> str:
    name = given.text("master_name") or ""
    if parsed.kind == "sentinel" and not name:
        raise wrong(
            rules.setting,
            url,
            f"sentinels must be told whom to look for; set {rules.options_name} = {{'master_name': 'mymaster'}}",
        )
    return name


def _prefix(given: str | None, parsed: RedisURL, setting: str) -> str:
    if parsed.kind == "cluster":
        prefix = DEFAULT_TAG if given is None else given
        if not has_tag(prefix):
            raise ImproperlyConfigured(
                f"global_keyprefix is {prefix!r}; in a cluster it needs a hash tag, which keeps all keys on one node: "
                f"write {'{' + (prefix.rstrip(':_-.') or 'celeriac') + '}'!r}"
            )
        return prefix
    if setting == "result_backend" and given and not given.endswith(_PREFIX_ENDS):
        return f"{given}_"
    return given or ""
