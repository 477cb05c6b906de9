"""What one can say about a single call: the options of `apply_async` and `send_task`.

Owns their names and types, and what is said about a name that is none of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, TypedDict

from celeriac.spelling import near_names

SignatureLike = Mapping[str, Any]


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
        countdown: seconds from now before which no worker takes it.
        eta: the same as a moment; without a timezone it is in the app's.
        expires: seconds from now, or a moment, after which it is not run any more.
        priority: 0 to 9; 0 is taken first.
        queue: the queue's name.
        exchange: only `""`, the default exchange.
        routing_key: the queue's name, in AMQP's words.
        headers: more headers for the message, of JSON types.
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
        retries: how often it was retried.
        add_to_parent: note the result among the running task's children.
        delivery_mode: 2 to survive a restart of the broker, 1 not to.
        argsrepr: the arguments as logs shall show them.
        kwargsrepr: the keyword arguments as logs shall show them.
        properties: more properties for the message.
    """

    task_id: str | None
    countdown: float | None
    eta: datetime | None
    expires: float | datetime | timedelta | str | None
    priority: int | None
    queue: str | None
    exchange: str | None
    routing_key: str | None
    headers: Mapping[str, Any] | None
    link: SignatureLike | Sequence[SignatureLike] | None
    link_error: SignatureLike | Sequence[SignatureLike] | None
    serializer: str | None
    compression: str | None
    shadow: str | None
    ignore_result: bool | None
    time_limit: float | None
    soft_time_limit: float | None
    retry: bool | None
    retry_policy: RetryPolicy | None
    reply_to: str | None
    root_id: str | None
    parent_id: str | None
    group_id: str | None
    group_index: int | None
    retries: int
    add_to_parent: bool
    delivery_mode: int | None
    argsrepr: str | None
    kwargsrepr: str | None
    properties: Mapping[str, Any] | None


CALL_OPTION_NAMES: Final = frozenset(CallOptions.__annotations__)

#: Options of Celery's that need what this version does not have, with what to do instead.
_NOT_YET: Final = {
    "exchange_type": "name a queue with queue=",
    "chord": "chords come with a later version",
    "chain": "chains come with a later version; use link=",
    "stamped_headers": "stamps come with a later version; use headers=",
    "producer": "messages go through the app's own connection",
    "connection": "messages go through the app's own connection",
    "publisher": "messages go through the app's own connection",
    "router": "routers come with a later version; use queue=",
}


def extra_properties(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options that are none of ours travel as message properties, as with Celery (`message_id`, `user_id`, ...).

    Raises:
        TypeError: one looks like a misspelt option, or is one that this version does not have.
    """
    extra: dict[str, Any] = dict(options.get("properties") or {})
    for name in options.keys() - CALL_OPTION_NAMES:
        if name in _NOT_YET:
            raise TypeError(f"the call option {name!r} is not available: {_NOT_YET[name]}")
        near = near_names(name, CALL_OPTION_NAMES)
        if near:
            raise TypeError(
                f"unknown call option {name!r}: did you mean {near[0]!r}? A message property of that name can be "
                f"given with properties={{{name!r}: ...}}"
            )
        extra[name] = options[name]
    return extra
