"""The types of options: what `@app.task` and `apply_async` take, for type checkers and for the checks of values.

No `from __future__ import annotations` here: a `TypedDict` compiles each annotation that is a text, which made these
classes the slowest part of `import celeriac`.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, TypedDict

from celeriac.entities import Exchange, Queue

SignatureLike = Mapping[str, Any]
#: One exception class, or several. Tasks keep them as a tuple.
ExceptionClasses = type[BaseException] | Sequence[type[BaseException]]
ExecutorKind = Literal["process", "thread", "asyncio"]


class RetryPolicy(TypedDict, total=False):
    """How publishing is tried again when the broker can not be reached.

    Attributes:
        max_retries: how often; 3 by default.
        interval_start: seconds before the first further try; 0 by default.
        interval_step: seconds by which each wait is longer than the one before; 0.2 by default.
        interval_max: seconds that no wait exceeds; 1 by default.
    """

    max_retries: int | None
    interval_start: float
    interval_step: float
    interval_max: float


class CallOptions(TypedDict, total=False):
    """The options of one call, by Celery's names.

    Attributes:
        task_id: an id of the caller's choice; must be new.
        countdown: seconds (or a timedelta) from now before which no worker takes it.
        eta: the same as a moment; without a timezone it is in the app's.
        expires: seconds from now, or a moment, after which it is not run any more.
        priority: 0 to 9; 0 is taken first.
        queue: the queue, or its name.
        exchange: the exchange to publish to, or its name, with `routing_key`; `""` is the default one.
        routing_key: the key by which the exchange finds queues; of no meaning without an exchange for a queue on a
            direct one.
        route_name: go where the task of this name goes by default; what maps do.
        exchange_type: the type of the exchange, if no queue of the settings tells it.
        mandatory: whether it is an error if no queue takes it; by default it is, unless it is a fanout.
        headers: more headers for the message, of JSON types; not those of the protocol.
        stamped_headers: names of the stamps among the options; see `Signature.stamp`.
        link: signature (or several) to send with the result on success.
        link_error: signature (or several) to call on failure.
        serializer: name of a serializer.
        compression: name of a compression.
        shadow: name to show in logs instead of the task's.
        ignore_result: do not store the result.
        time_limit: seconds after which the attempt is ended by force.
        soft_time_limit: seconds after which `SoftTimeLimitExceeded` is raised in the task.
        retry: try again when the broker can not be reached.
        retry_policy: how.
        reply_to: where an `rpc://` result goes.
        root_id: the first task of the tree; that of the running task by default.
        parent_id: the task that sends it; the running one by default.
        group_id: id of its group.
        group_index: its place in the group.
        chain: signatures of what comes after it, the last one first.
        chord: signature of the body of the chord that it is a member of.
        replaced_task_nesting: how often tasks were replaced to come to this one.
        retries: how often it was retried.
        add_to_parent: note the result among the running task's children.
        delivery_mode: 2 to survive a restart of the broker, 1 not to.
        argsrepr: the arguments as logs shall show them.
        kwargsrepr: the keyword arguments as logs shall show them.
        properties: more properties for the message.
        message_id: as AMQP has it; the next ones likewise. Nothing here reads them.
        user_id: likewise.
        app_id: likewise.
        type: likewise.
        timestamp: Unix time.
        cluster_id: likewise.
    """

    task_id: str | None
    countdown: float | timedelta | None
    eta: datetime | None
    expires: float | datetime | timedelta | str | None
    priority: int | None
    queue: str | Queue | None
    exchange: str | Exchange | None
    routing_key: str | None
    route_name: str | None
    exchange_type: str | None
    mandatory: bool | None
    headers: Mapping[str, Any] | None
    stamped_headers: Sequence[str] | None
    link: SignatureLike | Sequence[SignatureLike] | None
    link_error: SignatureLike | Sequence[SignatureLike] | None
    serializer: str | None
    compression: str | None
    shadow: str | None
    ignore_result: bool | None
    time_limit: float | timedelta | None
    soft_time_limit: float | timedelta | None
    retry: bool | None
    retry_policy: RetryPolicy | None
    reply_to: str | None
    root_id: str | None
    parent_id: str | None
    group_id: str | None
    group_index: int | None
    chain: Sequence[SignatureLike] | None
    chord: SignatureLike | None
    replaced_task_nesting: int
    retries: int
    add_to_parent: bool
    delivery_mode: int | None
    argsrepr: str | None
    kwargsrepr: str | None
    properties: Mapping[str, Any] | None
    message_id: str | None
    user_id: str | None
    app_id: str | None
    type: str | None
    timestamp: int | None
    cluster_id: str | None


class TaskOptions(TypedDict, total=False):
    """The options of `@app.task` beside `bind` and `base`. They are described at the attributes of `Task`."""

    name: str | None
    typing: bool | None
    filter: Callable[[Callable[..., Any]], Callable[..., Any]] | None
    lazy: bool
    shared: bool
    executor: ExecutorKind | None
    max_retries: int | None
    default_retry_delay: float | timedelta
    rate_limit: str | float | None
    time_limit: float | timedelta | None
    soft_time_limit: float | timedelta | None
    ignore_result: bool
    store_errors_even_if_ignored: bool
    store_eager_result: bool
    trail: bool
    send_events: bool
    serializer: str
    compression: str | None
    track_started: bool
    acks_late: bool
    acks_on_failure_or_timeout: bool
    acks_on_failure: bool | None
    acks_on_timeout: bool | None
    reject_on_worker_lost: bool | None
    retry_on_worker_lost: bool
    throws: ExceptionClasses
    expires: float | datetime | timedelta | str | None
    priority: int | None
    resultrepr_maxsize: int
    queue: str | Queue | None
    exchange: str | Exchange | None
    routing_key: str | None
    delivery_mode: int | None
    autoretry_for: ExceptionClasses
    dont_autoretry_for: ExceptionClasses
    retry_kwargs: Mapping[str, Any]
    retry_backoff: bool | float
    retry_backoff_max: float | timedelta
    retry_jitter: bool
    pydantic: bool
    pydantic_strict: bool | None
    pydantic_context: Mapping[str, Any] | None
    pydantic_dump_kwargs: Mapping[str, Any] | None
    before_start: Callable[..., object]
    on_success: Callable[..., object]
    on_failure: Callable[..., object]
    on_retry: Callable[..., object]
    after_return: Callable[..., object]
