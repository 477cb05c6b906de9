"""The options of a connection to Redis, by Celery's names: in transport options, in a URL, in settings.

Owns which names are taken, and which are accepted without effect. Opens nothing.
"""

from __future__ import annotations

from typing import Final

from celeriac.storage.tls import TLS_OPTIONS

#: Those of connections, for the broker and for results alike.
_CONNECTION: Final = frozenset(
    {
        "global_keyprefix",
        "socket_timeout",
        "socket_connect_timeout",
        "socket_keepalive",
        "socket_keepalive_options",
        "health_check_interval",
        "max_connections",
        "client_name",
        "credential_provider",
        "master_name",
        "min_other_sentinels",
        "sentinel_kwargs",
    }
)
#: Those of the broker itself, which `celeriac.brokers.redis` takes.
BROKER_OPTIONS: Final = frozenset({"sep", "priority_steps", "queue_order_strategy"})
#: Those of results themselves, which `celeriac.backends.redis` takes.
BACKEND_OPTIONS: Final = frozenset({"result_chord_ordered"})

#: Celery's broker needs these. Leases take the place of its visibility timeout, and the settings `broker_connection_*`
#: and `task_publish_retry_policy` say how often to try again.
_MOOT_OF_BROKER: Final = frozenset(
    {
        "visibility_timeout",
        "ack_emulation",
        "unacked_key",
        "unacked_index_key",
        "unacked_mutex_key",
        "unacked_mutex_expire",
        "unacked_restore_limit",
        "unacked_restore_interval",
        "unacked_restore_throttle",
        "fanout_prefix",
        "fanout_patterns",
        "sentinel_fanout_compat",
        "retry_on_timeout",
        "reauth_check_interval",
        "polling_interval",
        "max_retries",
        "interval_start",
        "interval_step",
        "interval_max",
        "connect_retries_timeout",
    }
)
_MOOT_OF_BACKEND: Final = frozenset(
    {
        "visibility_timeout",
        "retry_policy",
        "retry_on_timeout",
        "polling_interval",
        "additional_connection_errors",
    }
)
#: redis-py's own options that people have in URLs.
_MOOT_IN_URL: Final = frozenset(
    {
        "protocol",
        "timeout",
        "encoding",
        "encoding_errors",
        "decode_responses",
        "legacy_responses",
        "retry_on_error",
        "retry_on_timeout",
        "socket_read_size",
        "visibility_timeout",
    }
)


def known_options(setting: str) -> frozenset[str]:
    """The names that `broker_transport_options` or `result_backend_transport_options` may have.

    Args:
        setting: `broker_url` or `result_backend`.
    """
    own = BROKER_OPTIONS | _MOOT_OF_BROKER if setting == "broker_url" else BACKEND_OPTIONS | _MOOT_OF_BACKEND
    return _CONNECTION | own


def names_in_url() -> frozenset[str]:
    """What may stand behind the `?` of a URL, beside the database."""
    return (_CONNECTION | _MOOT_IN_URL | frozenset(TLS_OPTIONS)) - {"socket_keepalive_options", "sentinel_kwargs"}
