"""What one can say about a single call: the options of `apply_async`, `send_task`, signatures and `retry`.

Owns their names and types, and the one check of both. Knows nothing of what becomes of them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, TypedDict

from celeriac.config.convert import fit
from celeriac.option_rules import (
    COUNT,
    COUNTDOWN,
    LONGEST_SECONDS,
    MAPPING,
    NAME,
    SHARED_RULES,
    Rule,
    checked_value,
    rules_of,
)
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
        countdown: seconds (or a timedelta) from now before which no worker takes it.
        eta: the same as a moment; without a timezone it is in the app's.
        expires: seconds from now, or a moment, after which it is not run any more.
        priority: 0 to 9; 0 is taken first.
        queue: the queue's name.
        exchange: only `""`, the default exchange.
        routing_key: the queue's name, in AMQP's words.
        headers: more headers for the message, of JSON types; not those of the protocol.
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
    time_limit: float | timedelta | None
    soft_time_limit: float | timedelta | None
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
    message_id: str | None
    user_id: str | None
    app_id: str | None
    type: str | None
    timestamp: int | None
    cluster_id: str | None


#: Options that travel as message properties of the same name.
PROPERTY_NAMES: Final = ("message_id", "user_id", "app_id", "type", "timestamp", "cluster_id")
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

#: What a retry may change about the call.
RETRY_OPTIONS: Final = frozenset(
    {
        "compression",
        "expires",
        "headers",
        "priority",
        "queue",
        "routing_key",
        "serializer",
        "soft_time_limit",
        "time_limit",
    }
)
#: Options about publishing. A retry is not published, so there is nothing they could say.
_MOOT_IN_RETRIES: Final = frozenset({"retry", "retry_policy", "add_to_parent"})
#: Arguments of `retry` that are no call options.
_OF_RETRY: Final = frozenset({"args", "kwargs", "exc", "throw", "eta", "countdown", "max_retries"})


def checked_options(options: Mapping[str, Any], task: str) -> Mapping[str, Any]:
    """Check the options of a call of `task`.

    Returns:
        The options, with numbers for timedeltas; the mapping itself if nothing had to be changed.

    Raises:
        TypeError: an unknown option, or a value of another type than it has.
        ValueError: a value that can not be.
    """
    changed: dict[str, Any] | None = None
    for name, value in options.items():
        is_plain = _PLAIN.get(name)
        if is_plain is not None and (value is None or is_plain(value)):
            continue  # nearly all, in a fraction of a microsecond
        kept = checked_option(name, value, task)
        if kept is not value:
            changed = dict(options) if changed is None else changed
            changed[name] = kept
    if "eta" in options and options["eta"] is not None and options.get("countdown") is not None:
        countdown, eta = options["countdown"], options["eta"]
        raise TypeError(f"countdown={countdown!r} and eta={eta!r} of task {task} say the same thing: give one of them")
    return options if changed is None else changed


def checked_option(name: str, value: Any, task: str) -> Any:
    """`checked_options` for one of them."""
    rule = _rules().get(name)
    if rule is None:
        raise TypeError(_unknown(name, value, task))
    return None if value is None else checked_value(rule, value, f"call option {name!r} of task {task}")


def checked_retry_options(options: Mapping[str, Any], task: str) -> dict[str, Any]:
    """Check what `retry()` of `task` shall change about the call.

    Raises:
        TypeError, ValueError: as `checked_options`; or it can not be changed.
    """
    for name in options:
        if name in CALL_OPTION_NAMES and name not in RETRY_OPTIONS and name not in _MOOT_IN_RETRIES:
            raise TypeError(
                f"retry() of task {task} can not change {name!r}, only {', '.join(sorted(RETRY_OPTIONS))}, the "
                "arguments and the time"
            )
        if name not in CALL_OPTION_NAMES:
            raise TypeError(f"retry() of task {task}: {_not_of_retry(name)}")
    checked = checked_options(options, task)
    kept = {name: value for name, value in checked.items() if name not in _MOOT_IN_RETRIES}
    if "routing_key" in kept:
        kept["queue"] = kept.pop("routing_key")
    return kept


def check_retry_kwargs(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Check the arguments that `retry()` gets when it is called for `autoretry_for`.

    Raises:
        TypeError, ValueError: the text is what is expected.
    """
    kept = dict(given)
    for name, value in given.items():
        if name == "max_retries":
            kept[name] = _part(MAX_RETRIES, name, value)
        elif name in RETRY_OPTIONS or name in {"eta", "countdown"}:
            kept[name] = None if value is None else _part(_rules()[name], name, value)
        elif name not in _OF_RETRY and name not in _MOOT_IN_RETRIES:
            raise TypeError(f"arguments of retry(): {_not_of_retry(name)}")
    return kept


def _part(rule: Rule, name: str, value: Any) -> Any:
    """The value to keep for one name of an option that is a dictionary."""
    try:
        return fit(rule, value)
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"for {name!r} {error}") from None


MAX_RETRIES: Final = Rule("max_retries", int | None, at_least=0)


def _not_of_retry(name: str) -> str:
    near = near_names(name, _OF_RETRY | RETRY_OPTIONS)
    return f"{name!r} is none of its options" + (f", did you mean {near[0]!r}?" if near else "")


def _unknown(name: str, value: object, task: str) -> str:
    if name in _NOT_YET:
        return f"the call option {name!r} is not available: {_NOT_YET[name]}"
    near = near_names(name, CALL_OPTION_NAMES)
    guess = f"did you mean {near[0]!r}? Arguments" if near else "arguments"
    return (
        f"{name!r} is no call option: {guess} of the task go into args= or "
        f"kwargs={{{name!r}: {value!r:.50}}} of task {task}"
    )


# -- values ------------------------------------------------------------------------------------------------------------


def _is(*kinds: type) -> Callable[[Any], bool]:
    return lambda value: type(value) in kinds


def _is_name(value: Any) -> bool:
    return type(value) is str and value != ""


def _is_limit(value: Any) -> bool:
    return (type(value) is int or type(value) is float) and 0 < value <= LONGEST_SECONDS


def _is_countdown(value: Any) -> bool:
    kind = type(value)
    return (kind is int or kind is float) and -LONGEST_SECONDS <= value <= LONGEST_SECONDS


#: Says of each option whether a value needs no closer look.
_PLAIN: Final[Mapping[str, Callable[[Any], bool]]] = {
    **dict.fromkeys(("task_id", "queue", "routing_key", "root_id", "parent_id", "group_id"), _is_name),
    **dict.fromkeys(("serializer", "compression"), _is_name),
    **dict.fromkeys(("shadow", "reply_to", "exchange", "argsrepr", "kwargsrepr"), _is(str)),
    **dict.fromkeys(("ignore_result", "retry", "add_to_parent"), _is(bool)),
    **dict.fromkeys(("time_limit", "soft_time_limit"), _is_limit),
    **dict.fromkeys(("headers", "properties"), _is(dict)),
    "countdown": _is_countdown,
    "expires": lambda value: _is_countdown(value) or type(value) is datetime,
    "eta": _is(datetime),
    "priority": lambda value: type(value) is int and 0 <= value <= 9,
    "retries": lambda value: type(value) is int and value >= 0,
    "group_index": lambda value: type(value) is int and value >= 0,
}


def _checked_links(given: Any) -> Any:
    wanted = "a signature or a list of them, such as task.s(...)"
    if isinstance(given, str | bytes) or not isinstance(given, Mapping | Sequence):
        raise TypeError(wanted)
    for signature in [given] if isinstance(given, Mapping) else given:
        if not isinstance(signature, Mapping) or not isinstance(signature.get("task"), str):
            raise TypeError(wanted)
    return given


_PAUSE: Final = Rule(type=float, at_least=0, expects="a number of seconds")


def _checked_policy(given: Mapping[str, Any]) -> Mapping[str, Any]:
    names = RetryPolicy.__annotations__
    for name, value in given.items():
        if name not in names:
            near = near_names(name, names)
            guess = f", did you mean {near[0]!r}?" if near else ""
            raise TypeError(f"{', '.join(names)}: {name!r} is none of them{guess}")
        if name != "max_retries":
            _part(_PAUSE, name, value)
        elif value is None:
            raise ValueError("a number for 'max_retries'; None would wait for ever")
        else:
            _part(MAX_RETRIES, name, value)
    return given


@functools.cache
def _rules() -> dict[str, Rule]:
    return rules_of(CallOptions, _DETAILS)


_LINKS: Final = Rule(type=object, check=_checked_links)
_DETAILS: Final[Mapping[str, Rule]] = {
    **SHARED_RULES,
    **dict.fromkeys(("task_id", "root_id", "parent_id", "group_id"), NAME),
    "countdown": COUNTDOWN,
    "eta": Rule(expects="a datetime; seconds are given with countdown="),
    "link": _LINKS,
    "link_error": _LINKS,
    "headers": MAPPING,
    "properties": MAPPING,
    "retry_policy": MAPPING._replace(check=_checked_policy),
    "group_index": COUNT,
    "retries": COUNT,
}
