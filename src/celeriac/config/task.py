"""Settings of tasks: how they are acknowledged, limited, retried and called.

Where their messages go is in `routing`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from celeriac.config.checks import rate
from celeriac.config.queues import checked_queues, checked_routes
from celeriac.config.table import Section, setting

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MIB = 1024 * 1024


class TaskSettings(Section, title="Tasks", intro="An option of the task itself takes precedence."):
    """How tasks run and how they are called."""

    task_acks_late: bool = setting(
        True,
        "Acknowledge a message after its task has run, so that a killed worker's tasks run again; False: "
        "just before. Celery's default is False.",
        old=("CELERY_ACKS_LATE",),
    )
    task_acks_on_failure_or_timeout: bool = setting(
        True,
        "With late acknowledgement, acknowledge also what failed or timed out. The next two settings take precedence.",
        old=("CELERY_ACKS_ON_FAILURE_OR_TIMEOUT",),
    )
    task_acks_on_failure: bool | None = setting(
        None,
        "With late acknowledgement, acknowledge what failed; None: as `task_acks_on_failure_or_timeout`.",
        old=("CELERY_ACKS_ON_FAILURE",),
    )
    task_acks_on_timeout: bool | None = setting(
        None,
        "With late acknowledgement, acknowledge what went over its time limit; None: as "
        "`task_acks_on_failure_or_timeout`.",
        old=("CELERY_ACKS_ON_TIMEOUT",),
    )
    task_reject_on_worker_lost: bool | None = setting(
        None,
        "With late acknowledgement, what becomes of a task whose executor was killed. None and True: it runs"
        " again, up to `task_max_deliveries`; False: it fails with WorkerLostError.",
        old=("CELERY_REJECT_ON_WORKER_LOST", "CELERY_TASK_REJECT_ON_WORKER_LOST"),
    )
    task_retry_on_worker_lost: bool = setting(
        False,
        "Count a killed executor as one of the task's retries.",
        old=("CELERY_RETRY_ON_WORKER_LOST",),
        moot="a killed task runs again in any case; `task_max_deliveries` bounds how often",
    )
    task_max_deliveries: int = setting(
        5,
        "A message whose task was lost with its executor or worker this many times goes to the dead letters.",
        own=True,
        at_least=1,
    )
    task_executor: Literal["process", "thread", "asyncio"] | None = setting(
        None,
        "Executor of tasks that name none; None: by the worker's pool, and `asyncio` for `async def` tasks.",
        own=True,
    )
    task_always_eager: bool = setting(
        False,
        "`delay` and `apply_async` run the task at once in the caller's process and return an EagerResult. For tests.",
        old=("CELERY_ALWAYS_EAGER", "CELERY_TASK_ALWAYS_EAGER"),
    )
    task_eager_propagates: bool = setting(
        False,
        "Exceptions of tasks that run eagerly are raised in the caller.",
        old=("CELERY_EAGER_PROPAGATES_EXCEPTIONS", "CELERY_EAGER_PROPAGATES"),
    )
    task_store_eager_result: bool = setting(
        False, "Store the results of tasks that run eagerly, too.", old=("CELERY_STORE_EAGER_RESULT",)
    )
    task_annotations: dict[str, dict[str, Any]] | Sequence[Any] | None = setting(
        None,
        "Overrides attributes of tasks from the configuration: `{name or '*': {attribute: value}}`, or a "
        "list of such dictionaries and of objects with `annotate(task)`. Tasks of this package whose names begin with "
        "`celeriac.` are left out.",
        old=("CELERY_ANNOTATIONS",),
    )
    task_time_limit: float | None = setting(
        None,
        "Hard limit of a run: then the executor is replaced and the task fails with TimeLimitExceeded.",
        unit="s",
        old=("CELERYD_TASK_TIME_LIMIT", "CELERYD_TIME_LIMIT"),
        above=0,
    )
    task_soft_time_limit: float | None = setting(
        None,
        "Soft limit of a run: SoftTimeLimitExceeded is raised in the task, which may clean up.",
        unit="s",
        old=("CELERYD_TASK_SOFT_TIME_LIMIT", "CELERYD_SOFT_TIME_LIMIT"),
        above=0,
    )
    task_ignore_result: bool = setting(False, "Do not store results.", old=("CELERY_IGNORE_RESULT",))
    task_store_errors_even_if_ignored: bool = setting(
        False,
        "Store failures of tasks whose results are ignored.",
        old=("CELERY_STORE_ERRORS_EVEN_IF_IGNORED",),
    )
    task_track_started: bool = setting(
        False,
        "Store the state STARTED when a task begins. One more write for each task.",
        old=("CELERY_TRACK_STARTED", "CELERY_TASK_TRACK_STARTED"),
    )
    task_serializer: str = setting("json", "Serializer of task messages.", old=("CELERY_TASK_SERIALIZER",))
    task_compression: str | None = setting(
        None,
        "Compression of task messages: gzip, zlib, bzip2, lzma, zstd, brotli.",
        old=("CELERY_MESSAGE_COMPRESSION", "CELERY_COMPRESSION"),
    )
    task_message_size_limit: int = setting(
        16 * MIB,
        "Largest body of a message; `delay` raises MessageTooLarge beyond it. Put large data elsewhere and "
        "send its address.",
        unit="bytes",
        own=True,
        at_least=1,
    )
    task_message_inflated_size_limit: int = setting(
        128 * MIB, "Largest body after decompression that a worker takes.", unit="bytes", own=True, at_least=1
    )
    task_protocol: Literal[2] = setting(
        2,
        "Message protocol of what is sent. Versions 1 and 2 are both read.",
        old=("CELERY_TASK_PROTOCOL",),
        refused={1: "version 1 is only read here, never sent; every Celery since 4.0 reads version 2"},
    )
    task_publish_retry: bool = setting(
        True,
        "Try again when a message can not be published because the broker is away.",
        old=("CELERY_TASK_PUBLISH_RETRY", "CELERY_PUBLISH_RETRY"),
    )
    task_publish_retry_policy: dict[str, Any] = setting(
        {"max_retries": 3, "interval_start": 0, "interval_max": 1, "interval_step": 0.2},
        "How: `max_retries` times, after `interval_start` seconds, then `interval_step` more each time, at "
        "most `interval_max`.",
        old=("CELERY_TASK_PUBLISH_RETRY_POLICY", "CELERY_PUBLISH_RETRY_POLICY"),
    )
    task_repr_maxlevels: int = setting(
        3,
        "How deep arguments are shown in the `argsrepr` and `kwargsrepr` of a message.",
        old=("CELERY_REPR_MAXLEVELS",),
        at_least=0,
    )
    task_remote_tracebacks: bool = setting(
        False,
        "Raise the exception of a failed task with its traceback from the worker.",
        old=("CELERY_REMOTE_TRACEBACKS",),
        later="tracebacks",
    )
    task_send_sent_event: bool = setting(
        False,
        "Send the event task-sent for each published task.",
        old=("CELERY_SEND_TASK_SENT_EVENT", "CELERY_SEND_SENT_EVENT"),
        later="events",
    )
    task_default_rate_limit: float | str | None = setting(
        None,
        "Rate limit of tasks that have none: '10/s', '100/m', '1000/h', or a number a second.",
        old=("CELERY_DEFAULT_RATE_LIMIT",),
        later="rate limits",
        check=rate,
        at_least=0,
    )
    task_allow_error_cb_on_chord_header: bool = setting(
        False,
        "An errback that is linked to a chord is called for each task of its header that fails, too.",
        old=("CELERY_ALLOW_ERROR_CB_ON_CHORD_HEADER",),
    )


class RoutingSettings(Section, title="Queues and routing"):
    """Where messages go and with which priority."""

    task_default_queue: str = setting("celery", "Queue of tasks that name none.", old=("CELERY_DEFAULT_QUEUE",))
    task_queues: Sequence[Any] | dict[str, Any] | None = setting(
        None,
        "Queues that a worker without `-Q` takes from: a list of `celeriac.Queue` or of names, or a dictionary of "
        "`{name: options}`; None: only `task_default_queue`.",
        old=("CELERY_QUEUES",),
        expects="queues (celeriac.Queue), names of queues, or a dictionary of options by name",
        check=checked_queues,
    )
    task_default_priority: int | None = setting(
        None,
        "Priority of tasks that have none: 0 to 9.",
        old=("CELERY_DEFAULT_PRIORITY",),
        at_least=0,
        at_most=9,
    )
    task_inherit_parent_priority: bool = setting(
        False, "What a task sends has the priority of that task.", old=("CELERY_INHERIT_PARENT_PRIORITY",)
    )
    task_routes: dict[Any, Any] | Sequence[Any] | Callable[..., Any] | str | object | None = setting(
        None,
        "Where a task goes that does not say it itself: `{name or pattern: queue or options}`, a list of such pairs, "
        "a function `(name, args, kwargs, options, task=None, **kw)`, an object with `route_for_task`, the dotted name "
        "of one, or a list of those.",
        old=("CELERY_ROUTES",),
        expects="a dictionary, a function, the name of one, or a list of those",
        check=checked_routes,
    )
    task_create_missing_queues: bool = setting(
        True,
        "Make queues that are not in `task_queues` when they are named; False: naming one is an error.",
        old=("CELERY_CREATE_MISSING_QUEUES",),
    )
    task_create_missing_queue_type: Literal["classic", "quorum"] = setting(
        "quorum",
        "RabbitMQ's type of queues made so. Celery's default is classic; so it is here with `task_queue_max_priority`.",
        old=("CELERY_CREATE_MISSING_QUEUE_TYPE",),
    )
    task_create_missing_queue_exchange_type: str | None = setting(
        None,
        "Type of the exchanges of queues made so; None: direct.",
        old=("CELERY_CREATE_MISSING_QUEUE_EXCHANGE_TYPE",),
    )
    task_default_queue_type: Literal["classic", "quorum"] = setting(
        "quorum",
        "RabbitMQ's type of the default queue, where `task_queues` does not have it. Celery's default is classic; so "
        "it is here with `task_queue_max_priority`.",
        old=("CELERY_DEFAULT_QUEUE_TYPE",),
    )
    task_default_exchange: str | None = setting(
        None,
        "Exchange of queues that name none; None: the name of the default queue.",
        old=("CELERY_DEFAULT_EXCHANGE",),
    )
    task_default_exchange_type: str = setting(
        "direct",
        "Type of that exchange: direct, topic, fanout, headers.",
        old=("CELERY_DEFAULT_EXCHANGE_TYPE",),
    )
    task_default_routing_key: str | None = setting(
        None,
        "Routing key of queues that name none; None: the name of the default queue.",
        old=("CELERY_DEFAULT_ROUTING_KEY",),
    )
    task_default_delivery_mode: int = setting(
        2,
        "2 or 'persistent': RabbitMQ writes messages to disk; 1 or 'transient': it may not.",
        old=("CELERY_DEFAULT_DELIVERY_MODE",),
        at_least=1,
        at_most=2,
        aliases={"persistent": 2, "transient": 1},
    )
    task_queue_max_priority: int | None = setting(
        None,
        "`x-max-priority` of queues that say none, on RabbitMQ. Quorum queues have no priorities.",
        old=("CELERY_QUEUE_MAX_PRIORITY",),
        at_least=0,
        at_most=255,
    )
