"""Queues, exchanges and bindings, by kombu's names and arguments: what a message broker is told to have.

Owns the declarations of single entities. Knows nothing of settings (`celeriac.topology` fills in what is left open),
of brokers, nor of where tasks go.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Final, Self

#: Types of exchanges whose matching is known here. Plugins of RabbitMQ bring others, which are passed on by name.
EXCHANGE_TYPES: Final = ("direct", "topic", "fanout", "headers")
_DELIVERY_MODES: Final[Mapping[Any, int | None]] = {
    None: None, 1: 1, 2: 2, "transient": 1, "persistent": 2,
}  # fmt: skip


class _Entity:
    """What all of them share: equality by value, and a `repr` that shows what was given."""

    __slots__: tuple[str, ...] = ()
    #: Slots in the order of the arguments.
    _FIELDS: ClassVar[tuple[str, ...]] = ()

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self._FIELDS)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Entity) or type(self) is not type(other):
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self) -> int:
        return hash((type(self), self._values()[0]))  # the others may be dictionaries

    def __repr__(self) -> str:
        shown = (f"{name}={value!r}" for name, value in zip(self._FIELDS, self._values(), strict=True) if value)
        return f"{type(self).__name__}({', '.join(shown)})"


class Exchange(_Entity):
    """Where messages are published, to be passed on to the queues that are bound to it.

    Not to be changed once a queue uses it.

    Args:
        name: its name; empty for the default one.
        type: `direct`, `topic`, `fanout`, `headers`, or one that a plugin of RabbitMQ brings.
        durable: it outlives a restart of the broker.
        auto_delete: it goes when no queue is bound to it any more.
        delivery_mode: of messages that say none: 2 or "persistent", 1 or "transient".
        arguments: more arguments of its declaration.
        no_declare: never declare it.
        passive: only see that it is there.

    Raises:
        TypeError, ValueError: an argument can not be.

    Example:
        >>> Exchange("feeds", type="topic").type
        'topic'
    """

    __slots__ = ("arguments", "auto_delete", "delivery_mode", "durable", "name", "no_declare", "passive", "type")
    _FIELDS = ("name", "type", "durable", "auto_delete", "delivery_mode", "arguments", "no_declare", "passive")

    def __init__(
        self,
        name: str = "",
        type: str = "",  # noqa: A002 - kombu's name
        *,
        durable: bool | None = None,
        auto_delete: bool | None = None,
        delivery_mode: int | str | None = None,
        arguments: Mapping[str, Any] | None = None,
        no_declare: bool | None = None,
        passive: bool | None = None,
    ) -> None:
        self.name = _text(name, "Exchange", "name")
        self.type = _text(type, "Exchange", "type") or "direct"
        what = f"Exchange {self.name!r}"
        self.durable = _flag(durable, True, what, "durable")
        self.auto_delete = _flag(auto_delete, False, what, "auto_delete")
        if delivery_mode not in _DELIVERY_MODES:
            raise ValueError(f"{what}: delivery_mode={delivery_mode!r}: expected 2, 'persistent', 1 or 'transient'")
        self.delivery_mode = _DELIVERY_MODES[delivery_mode]
        self.arguments = _arguments(arguments, what, "arguments")
        self.no_declare = _flag(no_declare, False, what, "no_declare")
        self.passive = _flag(passive, False, what, "passive")


class binding(_Entity):  # noqa: N801 - kombu's name
    """A way from an exchange into a queue, beside the queue's own.

    Args:
        exchange: from where; a name stands for a direct one.
        routing_key: which messages take it.
        arguments: what a headers exchange compares: `{"x-match": "any", "colour": "red"}`.
        unbind_arguments: kept for kombu's sake; nothing here takes a binding away.

    Raises:
        TypeError: an argument of another type.
    """

    __slots__ = ("arguments", "exchange", "routing_key", "unbind_arguments")
    _FIELDS = ("exchange", "routing_key", "arguments", "unbind_arguments")

    def __init__(
        self,
        exchange: Exchange | str | None = None,
        routing_key: str = "",
        arguments: Mapping[str, Any] | None = None,
        unbind_arguments: Mapping[str, Any] | None = None,
    ) -> None:
        self.exchange = as_exchange(exchange, "binding") or Exchange()
        self.routing_key = _text(routing_key, "binding", "routing_key")
        self.arguments = _arguments(arguments, "binding", "arguments")
        self.unbind_arguments = _arguments(unbind_arguments, "binding", "unbind_arguments")


class Queue(_Entity):
    """Where messages wait for workers. Not to be changed once it is in use: see `replaced`.

    Args:
        name: its name.
        exchange: from where messages come: an exchange, the name of a direct one, or a list of bindings. None: the one
            of `task_default_exchange`.
        routing_key: which messages of that exchange. Empty: `task_default_routing_key`.
        bindings: more ways into it; the main one is then that of the settings.
        durable: it outlives a restart of the broker.
        exclusive: for one connection only. It goes when nobody uses it any more.
        auto_delete: likewise.
        no_ack: kept for kombu's sake: workers here acknowledge every task.
        alias: another name that settings and options may use for it.
        queue_arguments: more arguments of its declaration, as RabbitMQ knows them: `{"x-queue-type": "quorum"}`.
        binding_arguments: arguments of its main binding; what a headers exchange compares.
        consumer_arguments: arguments of consuming from it: `{"x-priority": 5}`.
        expires: seconds without use after which it goes.
        message_ttl: seconds after which a message goes that nobody has taken.
        max_length: how many messages it holds at most.
        max_length_bytes: bytes of messages that it holds at most.
        max_priority: the highest priority that is told apart.
        no_declare: never declare it.

    Raises:
        TypeError, ValueError: an argument can not be.

    Example:
        >>> Queue("eu", Exchange("feeds", type="topic"), routing_key="feed.*.eu", max_length=10).declare_arguments()
        {'x-max-length': 10}
    """

    __slots__ = (
        "alias", "auto_delete", "binding_arguments", "bindings", "consumer_arguments", "durable", "exchange",
        "exclusive", "expires", "max_length", "max_length_bytes", "max_priority", "message_ttl", "name", "no_ack",
        "no_declare", "queue_arguments", "routing_key",
    )  # fmt: skip
    _FIELDS = (
        "name", "exchange", "routing_key", "bindings", "durable", "exclusive", "auto_delete", "no_ack", "alias",
        "queue_arguments", "binding_arguments", "consumer_arguments", "expires", "message_ttl", "max_length",
        "max_length_bytes", "max_priority", "no_declare",
    )  # fmt: skip

    exchange: Exchange | None

    def __init__(
        self,
        name: str = "",
        exchange: Exchange | str | Iterable[binding] | None = None,
        routing_key: str | None = "",
        *,
        bindings: Iterable[binding] | None = None,
        durable: bool | None = None,
        exclusive: bool | None = None,
        auto_delete: bool | None = None,
        no_ack: bool | None = None,
        alias: str | None = None,
        queue_arguments: Mapping[str, Any] | None = None,
        binding_arguments: Mapping[str, Any] | None = None,
        consumer_arguments: Mapping[str, Any] | None = None,
        expires: float | None = None,
        message_ttl: float | None = None,
        max_length: int | None = None,
        max_length_bytes: int | None = None,
        max_priority: int | None = None,
        no_declare: bool | None = None,
    ) -> None:
        self.name = _text(name, "Queue", "name")
        if not self.name:
            raise ValueError("Queue: a queue of tasks needs a name, such as Queue('mail')")
        what = f"Queue {self.name!r}"
        self.exchange, self.bindings = _ways_in(exchange, bindings, what)
        self.routing_key = _text(routing_key or "", what, "routing_key")
        self.durable = _flag(durable, True, what, "durable")
        self.exclusive = _flag(exclusive, False, what, "exclusive")
        self.auto_delete = _flag(auto_delete, False, what, "auto_delete") or self.exclusive
        self.no_ack = _flag(no_ack, False, what, "no_ack")
        self.alias = None if alias is None else _text(alias, what, "alias")
        self.queue_arguments = _arguments(queue_arguments, what, "queue_arguments")
        self.binding_arguments = _arguments(binding_arguments, what, "binding_arguments")
        self.consumer_arguments = _arguments(consumer_arguments, what, "consumer_arguments")
        self.expires = _seconds(expires, what, "expires")
        self.message_ttl = _seconds(message_ttl, what, "message_ttl")
        self.max_length = _count(max_length, what, "max_length")
        self.max_length_bytes = _count(max_length_bytes, what, "max_length_bytes")
        self.max_priority = _count(max_priority, what, "max_priority")
        self.no_declare = _flag(no_declare, False, what, "no_declare")

    @property
    def is_quorum(self) -> bool:
        """It asks for RabbitMQ's replicated type."""
        return self.queue_arguments.get("x-queue-type") == "quorum"

    def declare_arguments(self) -> dict[str, Any]:
        """All arguments of its declaration as they go to RabbitMQ: times in whole milliseconds."""
        given = {
            "x-expires": None if self.expires is None else int(self.expires * 1000),
            "x-message-ttl": None if self.message_ttl is None else int(self.message_ttl * 1000),
            "x-max-length": self.max_length,
            "x-max-length-bytes": self.max_length_bytes,
            "x-max-priority": self.max_priority,
        }
        return {**self.queue_arguments, **{name: value for name, value in given.items() if value is not None}}

    def all_bindings(self) -> list[binding]:
        """The way from its exchange, if that has a name, and its further bindings."""
        main = self.exchange
        first = [binding(main, self.routing_key, self.binding_arguments)] if main is not None and main.name else []
        return [*first, *self.bindings]

    def replaced(
        self, *, exchange: Exchange | None, routing_key: str, queue_arguments: Mapping[str, Any] | None = None
    ) -> Self:
        """A copy with what the settings say of a queue that leaves it open."""
        twin = type(self).__new__(type(self))
        for owner in type(self).__mro__:
            for slot in vars(owner).get("__slots__", ()):
                setattr(twin, slot, getattr(self, slot))
        twin.exchange, twin.routing_key = exchange, routing_key
        if queue_arguments is not None:
            twin.queue_arguments = dict(queue_arguments)
        return twin


class Broadcast(Queue):
    """A queue that each worker has one of its own of, so that every worker gets every message.

    Args:
        name: of the fanout exchange, and the name by which settings and options know it.
        queue: the queue's name; None: one that no other process has.
        unique: make `queue` a prefix of such a name.
        auto_delete: the queue goes with its worker.
        exchange: another exchange.
        alias: another name to know it by.
        **options: see `Queue`.

    Raises:
        TypeError, ValueError: an argument can not be.

    Example:
        >>> Broadcast("reload").exchange.type
        'fanout'
    """

    __slots__ = ("own",)

    def __init__(
        self,
        name: str | None = None,
        queue: str | None = None,
        unique: bool = False,
        auto_delete: bool = True,
        exchange: Exchange | str | None = None,
        alias: str | None = None,
        **options: Any,
    ) -> None:
        if not name and exchange is None:
            raise ValueError("Broadcast: it needs a name, that of its exchange, such as Broadcast('reload')")
        #: True if no other process has a queue of this name.
        self.own = unique or queue is None
        super().__init__(
            f"{queue or 'bcast'}.{uuid.uuid4()}" if queue is None or unique else queue,
            exchange if exchange is not None else Exchange(name or "", "fanout"),
            alias=alias or name,
            auto_delete=auto_delete,
            **options,
        )


def as_exchange(given: object, what: str) -> Exchange | None:
    """An exchange, of an exchange, of the name of a direct one, or of None.

    Raises:
        TypeError: it is something else.
    """
    if given is None or isinstance(given, Exchange):
        return given
    if isinstance(given, str):
        return Exchange(given)
    raise TypeError(f"{what}: exchange={given!r:.100}: expected an Exchange of celeriac, or a name")


def _ways_in(exchange: object, bindings: Iterable[binding] | None, what: str) -> tuple[Exchange | None, list[binding]]:
    """Exchange and bindings, of which the former may be given in the place of the latter. With bindings no exchange."""
    ways = list(bindings or ())
    if not isinstance(exchange, str) and isinstance(exchange, Iterable):
        ways, exchange = [*ways, *exchange], None
    for way in ways:
        if not isinstance(way, binding):
            raise TypeError(f"{what}: bindings has {way!r:.100}: expected celeriac.binding(exchange, routing_key)")
    main = as_exchange(exchange, what)
    return (None if ways else main), ways


def _text(value: object, what: str, name: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{what}: {name}={value!r:.100}: expected text")
    return value


def _flag(value: object, default: bool, what: str, name: str) -> bool:
    if value is None:
        return default
    if not isinstance(value, bool):
        raise TypeError(f"{what}: {name}={value!r:.100}: expected True or False")
    return value


def _arguments(value: object, what: str, name: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise TypeError(f"{what}: {name}={value!r:.100}: expected a dictionary")
    return dict(value)


def _seconds(value: object, what: str, name: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{what}: {name}={value!r:.100}: expected a number of seconds")
    if not 0 <= value < float("inf"):
        raise ValueError(f"{what}: {name}={value!r}: expected a number of seconds of at least 0")
    return value


def _count(value: object, what: str, name: str) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{what}: {name}={value!r:.100}: expected a whole number")
    if value < 0:
        raise ValueError(f"{what}: {name}={value!r}: expected a whole number of at least 0")
    return value


#: The exchange of the queues that single workers have, as in Celery.
_DIRECT_EXCHANGE: Final = Exchange("C.dq2")


def worker_direct(hostname: str | Queue) -> Queue:
    """The queue of one worker that runs with `worker_direct`; a queue is returned as it is.

    Args:
        hostname: the worker's node name.

    Example:
        >>> worker_direct("w1@example.com").name
        'w1@example.com.dq2'
    """
    if isinstance(hostname, Queue):
        return hostname
    return Queue(f"{hostname}.dq2", _DIRECT_EXCHANGE, hostname)
