"""Settings of results that hold for every result backend."""

from __future__ import annotations

import math
from typing import Any

from celeriac.config.table import Section, setting


class ResultSettings(Section, title="Results"):
    """Where results are stored, how, and for how long."""

    result_backend: str | None = setting(
        None,
        "URL of the result backend; None: the broker's own store if it has one (SQLite, memory, Redis); 'rpc://':"
        " messages over the broker's RabbitMQ, to the process that sent the task; 'disabled': results are not stored.",
        old=("CELERY_RESULT_BACKEND",),
    )
    result_backend_transport_options: dict[str, Any] = setting(
        {}, "Options of the result backend; see its page.", old=("CELERY_RESULT_BACKEND_TRANSPORT_OPTIONS",)
    )
    result_expires: float | None = setting(
        86400.0,
        "How long results are kept, and the queue of a process that waits for none any more (rpc://); 0 or None: for"
        " ever.",
        unit="s",
        old=("CELERY_TASK_RESULT_EXPIRES", "CELERY_RESULT_EXPIRES"),
        at_least=0,
        aliases={0: None},
    )
    result_failure_expires: float | None = setting(
        None,
        "The same for failures; None: as `result_expires`.",
        unit="s",
        old=("CELERY_RESULT_FAILURE_EXPIRES",),
        above=0,
    )
    result_extended: bool = setting(
        False,
        "Store the task's name, arguments, worker, retries and queue with its result.",
        old=("CELERY_RESULT_EXTENDED",),
    )
    result_serializer: str = setting("json", "Serializer of results.", old=("CELERY_RESULT_SERIALIZER",))
    result_compression: str | None = setting(
        None, "Compression of results; as `task_compression`.", old=("CELERY_RESULT_COMPRESSION",)
    )
    override_backends: dict[str, str] = setting({}, "More result backends: `{scheme: 'module:Class'}`.", later="stores")
    result_persistent: bool | None = setting(
        None,
        "Results sent as messages (rpc://) are kept on disk by RabbitMQ until they are fetched; None: they are not.",
        old=("CELERY_RESULT_PERSISTENT",),
    )
    result_cache_max: int | None = setting(
        -1,
        "Results sent as messages (rpc://) that a process keeps in memory for whom it may ask; those that an"
        " `AsyncResult` holds are not counted. -1: 10,000, 0 or None: no limit.",
        old=("CELERY_MAX_CACHED_RESULTS",),
        at_least=-1,
        aliases={0: None},
    )
    result_chord_expires: float | None = setting(
        None,
        "How long what is known of a chord is kept after the last of its members that has come; None: as "
        "`result_expires`.",
        unit="s",
        old=("CELERY_RESULT_CHORD_EXPIRES",),
        at_least=0,
    )
    result_chord_retry_interval: float = setting(
        1.0,
        "How often to look whether a chord's header is done, where the store can not tell.",
        unit="s",
        old=("CELERY_RESULT_CHORD_RETRY_INTERVAL",),
        moot="nobody looks again and again: the member that completes a header has its body sent",
        above=0,
    )
    result_chord_join_timeout: float = setting(
        3.0,
        "How long collecting the results of a chord's header may take.",
        unit="s",
        old=("CELERY_RESULT_CHORD_JOIN_TIMEOUT",),
        moot="what the members have come to lies with the chord: nobody waits for it",
        above=0,
    )
    result_backend_always_retry: bool = setting(
        False,
        "Try again after errors of the result store that may pass.",
        old=("CELERY_RESULT_BACKEND_ALWAYS_RETRY",),
        later="network",
    )
    result_backend_max_retries: float = setting(
        math.inf, "How often.", old=("CELERY_RESULT_BACKEND_MAX_RETRIES",), later="network", at_least=0
    )
    result_backend_base_sleep_between_retries_ms: float = setting(
        10,
        "The first pause; each further one is about twice as long.",
        unit="ms",
        old=("CELERY_RESULT_BACKEND_BASE_SLEEP_BETWEEN_RETRIES_MS",),
        later="network",
        at_least=0,
    )
    result_backend_max_sleep_between_retries_ms: float = setting(
        10000,
        "The longest pause.",
        unit="ms",
        old=("CELERY_RESULT_BACKEND_MAX_SLEEP_BETWEEN_RETRIES_MS",),
        later="network",
        at_least=0,
    )
    result_backend_thread_safe: bool = setting(
        False, "Share one result backend between threads.", moot="result backends are always safe to share"
    )
    result_exchange: str = setting(
        "celeryresults",
        "Exchange of results on AMQP.",
        old=("CELERY_RESULT_EXCHANGE",),
        moot="it belongs to a result backend that Celery dropped in version 5",
    )
    result_exchange_type: str = setting(
        "direct",
        "Type of that exchange.",
        old=("CELERY_RESULT_EXCHANGE_TYPE",),
        moot="it belongs to a result backend that Celery dropped in version 5",
    )
