"""What may be written in `task_queues`: queues, names, Celery's old dictionaries of options, and kombu's objects.

Owns how each becomes a `Queue`, and the forms of `task_routes`. What is left open in a queue is filled in by
`celeriac.topology`; what routes mean is `celeriac.routing`'s part.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from celeriac.entities import Broadcast, Exchange, Queue, binding
from celeriac.spelling import near_names

#: Options of one queue in Celery's old form that are not arguments of `Queue`.
_OLD_OPTIONS: Final = frozenset(
    {
        "binding_key",
        "delivery_mode",
        "exchange_arguments",
        "exchange_auto_delete",
        "exchange_durable",
        "exchange_type",
        "queue_auto_delete",
        "queue_durable",
    }
)
#: Arguments of `Queue` that the old form passes on as they are.
_PASSED_ON: Final = (
    "bindings",
    "exclusive",
    "no_ack",
    "alias",
    "queue_arguments",
    "binding_arguments",
    "consumer_arguments",
    "expires",
    "message_ttl",
    "max_length",
    "max_length_bytes",
    "max_priority",
    "no_declare",
)
_KNOWN_OPTIONS: Final = _OLD_OPTIONS | {*_PASSED_ON, "exchange", "routing_key", "durable", "auto_delete"}
_EXPECTED: Final = "queues (celeriac.Queue), names of queues, or a dictionary of options by name"


def checked_queues(given: Sequence[Any] | Mapping[str, Any]) -> Sequence[Queue | str] | Mapping[str, Any]:
    """Check the value of `task_queues`. A list comes back with queues of ours for those of kombu.

    Raises:
        ValueError: the text says what is expected.
    """
    try:
        if isinstance(given, Mapping):
            for name, options in given.items():
                queue_from_options(name, options)
            return given
        return tuple(_checked_queue(each) for each in given)
    except TypeError as error:
        raise ValueError(str(error)) from None


def _checked_queue(given: object) -> Queue | str:
    if isinstance(given, str):
        if not given:
            raise ValueError(f"{_EXPECTED}; a name is empty")
        return given
    return as_queue(given)


def as_queue(given: object) -> Queue:
    """A queue of ours, of one of ours or of kombu's.

    Raises:
        TypeError: it is neither; the text says what is expected.
    """
    if isinstance(given, Queue):
        return given
    if _is_of_kombu(given, "Queue"):
        return _from_kombu(given)
    raise TypeError(f"{_EXPECTED}, not {given!r:.100}")


def checked_routes(given: Any) -> Any:
    """Check the form of the value of `task_routes`.

    Raises:
        ValueError: the text says what is expected.
    """
    if isinstance(given, str) and given.lstrip().startswith("{"):  # on a command line
        import json  # noqa: PLC0415 - rarely needed

        given = json.loads(given)
    if isinstance(given, Sequence) and not isinstance(given, str):
        for router in given:
            _check_router(router)
    else:
        _check_router(given)
    return given


def _check_router(router: Any) -> None:
    if isinstance(router, str) or callable(router) or hasattr(router, "route_for_task"):
        return
    if isinstance(router, Mapping):
        pairs: Sequence[Any] = list(router.items())
    elif isinstance(router, Sequence):
        pairs = [router] if is_pair(router) else router
    else:
        raise ValueError(f"{_ROUTES}; {router!r:.100} is none of them")  # noqa: TRY004 - what checks of settings raise
    for pair in pairs:
        if not is_pair(pair):
            raise ValueError(f"{_ROUTES}; {pair!r:.100} is no pair of a pattern and a route")
        if not (isinstance(pair[1], str | Mapping) or is_queue(pair[1])):
            raise ValueError(
                f"{_ROUTES}; the route of {pair[0]!r} is {pair[1]!r:.100}, neither a queue nor a dictionary of options"
            )


_ROUTES: Final = "`{name or pattern: queue or options}`, pairs of them, a function, the name of one, or a list of those"


def is_pair(given: object) -> bool:
    """Whether this is a pattern and a route."""
    return isinstance(given, tuple | list) and len(given) == 2 and isinstance(given[0], str | re.Pattern)


def is_queue(given: object) -> bool:
    """Whether `as_queue` takes it."""
    return isinstance(given, Queue) or _is_of_kombu(given, "Queue")


def queue_from_options(name: Any, options: Any) -> Queue:
    """A queue of what Celery's old form says: `{name: options}`.

    Args:
        name: the queue's.
        options: `exchange`, `exchange_type`, `routing_key` (or `binding_key`), `durable` and the like, and the
            arguments of `Queue`; or a queue.

    Raises:
        TypeError, ValueError: the text says what is expected.

    Example:
        >>> queue_from_options("eu", {"exchange": "feeds", "exchange_type": "topic"}).routing_key
        'eu'
    """
    if is_queue(options):
        return as_queue(options)
    if options is None:
        options = {}
    if not isinstance(name, str) or not isinstance(options, Mapping):
        raise TypeError(f"a dictionary of options for queue {name!r}, such as {{'routing_key': 'mail'}}")
    for option in options:
        if option not in _KNOWN_OPTIONS:
            near = near_names(str(option), _KNOWN_OPTIONS)
            guess = f", did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"options of a queue; {option!r} of queue {name!r} is none{guess}")
    exchange = options.get("exchange")
    if exchange is None or isinstance(exchange, str):
        exchange = Exchange(
            exchange or "",
            options.get("exchange_type") or "",
            delivery_mode=options.get("delivery_mode"),
            durable=_first(options, "exchange_durable", "durable"),
            auto_delete=_first(options, "exchange_auto_delete", "auto_delete"),
            arguments=options.get("exchange_arguments"),
        )
    return Queue(
        name,
        exchange,
        options.get("binding_key") or options.get("routing_key") or name,
        durable=_first(options, "queue_durable", "durable"),
        auto_delete=_first(options, "queue_auto_delete", "auto_delete"),
        **{option: options[option] for option in _PASSED_ON if option in options},
    )


def _first(options: Mapping[str, Any], *names: str) -> Any:
    return next((options[name] for name in names if options.get(name) is not None), None)


# -- kombu's objects, known by their module: kombu itself is not needed here ---------------------------------------


def _is_of_kombu(given: object, name: str) -> bool:
    return any(each.__module__.partition(".")[0] == "kombu" and each.__name__ == name for each in type(given).__mro__)


def _from_kombu(given: Any) -> Queue:
    arguments: dict[str, Any] = {name: getattr(given, name, None) for name in _PASSED_ON if name != "bindings"}
    arguments |= {option: getattr(given, option) for option in ("durable", "auto_delete")}
    exchange = _exchange_from_kombu(given.exchange)
    if _is_of_kombu(given, "Broadcast"):
        alias = arguments.pop("alias")
        broadcast = Broadcast(alias, given.name, False, exchange=exchange or Exchange(), **arguments)
        broadcast.own = given.name.rpartition(".")[2].count("-") == _DASHES_OF_A_UUID
        return broadcast
    ways = [
        binding(_exchange_from_kombu(way.exchange), way.routing_key, way.arguments, way.unbind_arguments)
        for way in given.bindings
    ]
    return Queue(given.name, exchange, given.routing_key or "", bindings=ways, **arguments)


_DASHES_OF_A_UUID: Final = 4


def _exchange_from_kombu(given: Any) -> Exchange | None:
    if given is None or isinstance(given, str):
        return None if given is None else Exchange(given)
    return Exchange(
        given.name,
        given.type,
        durable=given.durable,
        auto_delete=given.auto_delete,
        delivery_mode=given.delivery_mode,
        arguments=given.arguments,
        no_declare=given.no_declare,
        passive=given.passive,
    )
