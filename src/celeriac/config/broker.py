"""Settings of the broker: its address and how the connection to it is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from celeriac.config.table import Section, setting

if TYPE_CHECKING:
    from collections.abc import Callable


class BrokerSettings(Section, title="Broker"):
    """Where messages live."""

    broker_url: str | None = setting(
        None,
        "The broker's URL; None: `sqlite:///celeriac.sqlite3`. Several (sentinels, nodes of a cluster of Redis or "
        "RabbitMQ) as a list or joined by `;`.",
        old=("BROKER_URL",),
    )
    broker_transport_options: dict[str, Any] = setting(
        {}, "Options of the broker; see its page.", old=("BROKER_TRANSPORT_OPTIONS",)
    )
    broker_read_url: str | None = setting(
        None, "RabbitMQ: URL for workers; None: `broker_url`.", old=("BROKER_READ_URL",)
    )
    broker_write_url: str | None = setting(
        None, "RabbitMQ: URL for publishing; None: `broker_url`.", old=("BROKER_WRITE_URL",)
    )
    broker_connection_timeout: float = setting(
        4,
        "How long to try for a connection.",
        unit="s",
        old=("BROKER_CONNECTION_TIMEOUT",),
        above=0,
    )
    broker_connection_retry: bool = setting(
        True,
        "A worker connects again after a lost connection; False: it ends.",
        old=("BROKER_CONNECTION_RETRY",),
    )
    broker_connection_retry_on_startup: bool | None = setting(
        None,
        "Try again at a worker's start; None: as `broker_connection_retry`.",
        old=("BROKER_CONNECTION_RETRY_ON_STARTUP",),
    )
    broker_connection_max_retries: int | None = setting(
        100,
        "For how long it does so: as long as Celery would need for this many tries (2 s, then 2 s more each time, up "
        "to 30 s). Tries are more frequent here. 0 or None: for ever.",
        old=("BROKER_CONNECTION_MAX_RETRIES",),
        at_least=1,
        aliases={0: None},
    )
    broker_channel_error_retry: bool = setting(
        False,
        "Connect again also after an error of a channel.",
        old=("BROKER_CHANNEL_ERROR_RETRY",),
        moot="workers always do",
    )
    broker_failover_strategy: str | Callable[..., Any] | None = setting(
        None,
        "RabbitMQ: order in which several URLs are tried, after the last that worked: 'round-robin', 'shuffle', or a "
        "function that gets the list of them and gives one after the other; None: 'round-robin'.",
        old=("BROKER_FAILOVER_STRATEGY",),
    )
    broker_heartbeat: float | None = setting(
        120,
        "RabbitMQ: interval of the heartbeats of workers; 0: none. Unless it is set, a third of their lease "
        "(`worker_lease_seconds`), so that the end of a machine is noticed within that.",
        unit="s",
        old=("BROKER_HEARTBEAT",),
        at_least=0,
    )
    broker_heartbeat_checkrate: float = setting(
        3.0,
        "RabbitMQ: heartbeats sent in each such interval.",
        old=("BROKER_HEARTBEAT_CHECKRATE",),
        above=0,
    )
    broker_login_method: str | None = setting(
        None, "RabbitMQ: 'PLAIN', 'AMQPLAIN' or 'EXTERNAL'; None: 'PLAIN'.", old=("BROKER_LOGIN_METHOD",)
    )
    broker_native_delayed_delivery_queue_type: Literal["quorum", "classic"] = setting(
        "quorum",
        "RabbitMQ: type of the queues for future tasks.",
        old=("BROKER_NATIVE_DELAYED_DELIVERY_QUEUE_TYPE",),
    )
    broker_pool_limit: int | None = setting(
        10,
        "Most connections for publishing, of each process; 0 or None: no limit.",
        old=("BROKER_POOL_LIMIT",),
        at_least=1,
        aliases={0: None},
    )
    broker_pool_acquire_timeout: float | None = setting(
        None,
        "How long to wait for one of them; None: until there is one.",
        unit="s",
        old=("BROKER_POOL_ACQUIRE_TIMEOUT",),
        at_least=0,
    )
    broker_use_ssl: bool | dict[str, Any] = setting(
        False,
        "TLS: True, or options of the connection (Redis: `ssl_cert_reqs`, `ssl_ca_certs`, ...; RabbitMQ: `cert_reqs`, "
        "`ca_certs`, ...); `rediss://` and `amqps://` mean True.",
        old=("BROKER_USE_SSL",),
    )
    # The parts of a URL, from Celery's early days; configurations still have them.
    broker_transport: str | None = setting(
        None, "Scheme, where there is no `broker_url`, which is better.", old=("BROKER_TRANSPORT",)
    )
    broker_host: str | None = setting(None, "Host, where `broker_url` names none.", old=("BROKER_HOST",))
    broker_port: int | None = setting(
        None,
        "Port, where `broker_url` names none.",
        old=("BROKER_PORT",),
        at_least=1,
        at_most=65535,
    )
    broker_user: str | None = setting(None, "User, where `broker_url` names none.", old=("BROKER_USER",))
    broker_password: str | None = setting(None, "Password, where `broker_url` has none.", old=("BROKER_PASSWORD",))
    broker_vhost: str | None = setting(
        None, "Virtual host (Redis: number of the database), where `broker_url` names none.", old=("BROKER_VHOST",)
    )
