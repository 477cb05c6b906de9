"""What one can say about a single call: the options of `apply_async`, `send_task`, signatures and `retry`.

Owns their names and types, and the one check of both. Knows nothing of what becomes of them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from celeriac.config.convert import fit
from celeriac.entities import Exchange
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
from celeriac.option_types import CallOptions, RetryPolicy
from celeriac.spelling import near_names

#: Options that travel as message properties of the same name.
PROPERTY_NAMES: Final = ("message_id", "user_id", "app_id", "type", "timestamp", "cluster_id")
CALL_OPTION_NAMES: Final = frozenset(CallOptions.__annotations__)

#: Options of Celery's that need what this version does not have, with what to do instead.
_NOT_YET: Final = {
    "producer": "messages go through the app's own connection",
    "connection": "messages go through the app's own connection",
    "publisher": "messages go through the app's own connection",
    "router": "use the setting task_routes, or queue=",
    "declare": "queues are declared where they are used: give a celeriac.Queue as queue=, or add it to task_queues",
    "immediate": "RabbitMQ has not known it since 2013; use expires=",
}

#: What a retry may change about the call.
RETRY_OPTIONS: Final = frozenset(
    {
        "compression",
        "exchange",
        "exchange_type",
        "expires",
        "headers",
        "mandatory",
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
        if name not in CALL_OPTION_NAMES and name in (options.get("stamped_headers") or ()):
            continue  # a stamp
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
    return {name: value for name, value in checked.items() if name not in _MOOT_IN_RETRIES}


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
    **dict.fromkeys(("shadow", "reply_to", "argsrepr", "kwargsrepr"), _is(str)),
    "exchange": _is(str, Exchange),
    **dict.fromkeys(("ignore_result", "retry", "add_to_parent", "mandatory"), _is(bool)),
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


def _checked_names(given: Any) -> list[str]:
    if isinstance(given, str) or not all(isinstance(name, str) for name in given):
        raise TypeError("the names of stamps, as a list; signature.stamp(...) sets it")
    return list(given)


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
    **dict.fromkeys(("task_id", "root_id", "parent_id", "group_id", "exchange_type", "route_name"), NAME),
    "countdown": COUNTDOWN,
    "eta": Rule(expects="a datetime; seconds are given with countdown="),
    "link": _LINKS,
    "link_error": _LINKS,
    "chain": _LINKS,
    "chord": _LINKS,
    "stamped_headers": Rule(type=object, check=_checked_names),
    "replaced_task_nesting": COUNT,
    "headers": MAPPING,
    "properties": MAPPING,
    "retry_policy": MAPPING._replace(check=_checked_policy),
    "group_index": COUNT,
    "retries": COUNT,
}
