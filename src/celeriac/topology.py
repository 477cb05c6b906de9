"""The topology: which queues, exchanges and bindings there are by the settings, and which queues a message reaches.

Owns the way from a queue's name to its declaration, which is Celery's to the letter but for the default type of queues.
Declares nothing itself: brokers do. Knows nothing of tasks and of how they choose a queue (`celeriac.routing`).
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from celeriac.config.queues import as_queue, queue_from_options
from celeriac.entities import EXCHANGE_TYPES, Broadcast, Exchange, Queue, binding
from celeriac.exceptions import ImproperlyConfigured, NotSupported, QueueNotFound
from celeriac.matching import headers_match, topic_matches
from celeriac.spelling import near_names

if TYPE_CHECKING:
    from celeriac.config import Settings

#: Settings that a topology is made of.
TOPOLOGY_SETTINGS: Final = (
    "task_queues",
    "task_default_queue",
    "task_default_queue_type",
    "task_default_exchange",
    "task_default_exchange_type",
    "task_default_routing_key",
    "task_create_missing_queues",
    "task_create_missing_queue_type",
    "task_create_missing_queue_exchange_type",
    "task_queue_max_priority",
)
#: Queues that no setting names and that are kept all the same. Programs may use any number of names.
_KEPT_MISSING: Final = 1000


class Known(NamedTuple):
    """A queue that was made known.

    Attributes:
        given: as it was given.
        queue: with what it had left open filled in.
    """

    given: Queue
    queue: Queue


class Topology:
    """All queues by name.

    Args:
        queues: those of `task_queues`; what they leave open is filled in.
        default: the queue of tasks that name none, if it is not among `queues`.
        default_queue: its name.
        default_exchange: of queues that have none.
        default_routing_key: of queues that have none.
        create_missing: queues that are asked for by name and not known are made.
        missing_type: RabbitMQ's type of those, `classic` or `quorum`.
        missing_exchange_type: the type of their exchanges.
        max_priority: `x-max-priority` of queues that have none.

    Attributes:
        default_queue: the name of the queue of tasks that name none.

    Example:
        >>> from celeriac.config import Settings
        >>> topology = Topology.of(Settings(task_queues=["mail", "pictures"]))
        >>> topology.names
        ('mail', 'pictures')
        >>> topology.queue("mail").exchange.name
        'mail'
    """

    def __init__(
        self,
        queues: Iterable[Queue | str] = (),
        *,
        default: Queue | None = None,
        default_queue: str = "celery",
        default_exchange: Exchange | None = None,
        default_routing_key: str = "celery",
        create_missing: bool = True,
        missing_type: str = "quorum",
        missing_exchange_type: str | None = None,
        max_priority: int | None = None,
    ) -> None:
        self.default_queue = default_queue
        self._default_exchange = default_exchange or Exchange(default_queue)
        self._default_routing_key = default_routing_key
        self._create_missing = create_missing
        self._missing_type = missing_type
        self._missing_exchange_type = missing_exchange_type
        self._max_priority = max_priority
        self._lock = threading.Lock()
        self._known: dict[str, Known] = {}
        self._aliases: dict[str, Queue] = {}
        self._bound: dict[str, list[tuple[binding, Queue]]] = {}
        self._missing: dict[str, Queue] = {}
        for queue in queues:
            self.add(self._new_missing(queue) if isinstance(queue, str) else queue)
        if not self._known and default is not None:
            self.add(default)
        #: The names of the queues that a worker takes from when it is not told otherwise.
        self.names: tuple[str, ...] = tuple(self._known)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The topology that settings describe.

        Raises:
            ImproperlyConfigured: settings that can not go together.
        """
        name = settings.task_default_queue
        exchange = Exchange(settings.task_default_exchange or name, settings.task_default_exchange_type)
        key = settings.task_default_routing_key or name
        kind = _queue_type(settings, "task_default_queue_type")
        arguments = {"x-queue-type": kind} if kind == "quorum" else None
        return cls(
            _queues_of(settings.task_queues),
            default=Queue(name, exchange, key, queue_arguments=arguments),
            default_queue=name,
            default_exchange=exchange,
            default_routing_key=key,
            create_missing=settings.task_create_missing_queues,
            missing_type=_queue_type(settings, "task_create_missing_queue_type"),
            missing_exchange_type=settings.task_create_missing_queue_exchange_type,
            max_priority=settings.task_queue_max_priority,
        )

    # -- queues by name --------------------------------------------------------------------------------------------

    def queue(self, name: str) -> Queue:
        """The queue of a name or an alias: a known one, or one that is made as the settings say.

        Raises:
            QueueNotFound: it is not known, and `task_create_missing_queues` is off.
        """
        known = self._known.get(name)
        found = self._aliases.get(name) or (known.queue if known is not None else self._missing.get(name))
        if found is not None:
            return found
        if not self._create_missing:
            near = near_names(name, [*self._known, *self._aliases])
            guess = f"did you mean {near[0]!r}? If not, add" if near else "add"
            raise QueueNotFound(
                f"queue {name!r} is not in task_queues, and task_create_missing_queues is off: {guess} it there"
            )
        made = self._complete(self._new_missing(name))
        with self._lock:
            if len(self._missing) >= _KEPT_MISSING:
                self._missing.clear()
            return self._missing.setdefault(name, made)

    @property
    def default(self) -> Queue:
        """The queue of tasks that name none, also where none is made that is not known."""
        known = self._known.get(self.default_queue)
        return known.queue if known is not None else self._complete(self._new_missing(self.default_queue))

    def known(self, name: str) -> Known | None:
        """The queue of this name, if a setting or `add` has made it known."""
        return self._known.get(name)

    def add(self, queue: Queue) -> Queue:
        """Make a queue known, in place of another of that name. Returns it with what it had left open filled in."""
        complete = self._complete(queue)
        with self._lock:
            self._missing.pop(complete.name, None)
            self._known = {
                **self._known,
                complete.name: Known(queue, complete),
            }  # readers may be under way in other threads
            if complete.alias:
                self._aliases = {**self._aliases, complete.alias: complete}
            self._bound = _by_exchange(known.queue for known in self._known.values())
        return complete

    def select(self, wanted: Sequence[str] | None, unwanted: Sequence[str] | None = None) -> tuple[str, ...]:
        """The names of the queues that a worker takes from, told which (`-Q`) and which not (`-X`).

        Raises:
            QueueNotFound: as `queue`.
        """
        names = [self.queue(name).name for name in wanted] if wanted else self.names
        left_out = {found.name if (found := self._aliases.get(name)) else name for name in unwanted or ()}
        return tuple(name for name in dict.fromkeys(names) if name not in left_out)

    def exchange(self, name: str) -> Exchange | None:
        """The exchange of this name that a known queue is bound to."""
        ways = self._ways_of(name)
        if ways:
            return ways[0][0].exchange
        return self._default_exchange if name == self._default_exchange.name else None

    def bound(self, exchange: str) -> list[Queue]:
        """The known queues that are bound to an exchange, but for those that each worker has one of its own of."""
        queues = dict.fromkeys(queue for _, queue in self._ways_of(exchange))
        return [queue for queue in queues if not (isinstance(queue, Broadcast) and queue.own)]

    # -- what an exchange does, for brokers that have none -------------------------------------------------------------

    def matching(self, exchange: str, routing_key: str, headers: Mapping[str, Any]) -> list[str]:
        """The names of the known queues that a message reaches, each once.

        Args:
            exchange: where it is published; empty: the default exchange, which leads to the queue of that name.
            routing_key: its key.
            headers: its headers, for a headers exchange.

        Raises:
            NotSupported: an exchange of a type that only a plugin of RabbitMQ knows.
        """
        if not exchange:
            return [routing_key]
        names: dict[str, None] = {}
        for way, queue in self._ways_of(exchange):
            if _takes(way, routing_key, headers):
                names[queue.name] = None
        return list(names)

    # -- inside --------------------------------------------------------------------------------------------------------

    def _ways_of(self, exchange: str) -> list[tuple[binding, Queue]]:
        """The ways from an exchange into known queues; what is made by name has an exchange of that name."""
        ways = self._bound.get(exchange, [])
        made = self._missing.get(exchange)
        return ways if made is None else [*ways, *((way, made) for way in made.all_bindings())]

    def _new_missing(self, name: str) -> Queue:
        arguments = {"x-queue-type": "quorum"} if self._missing_type == "quorum" else None
        return Queue(name, Exchange(name, self._missing_exchange_type or ""), name, queue_arguments=arguments)

    def _complete(self, queue: Queue) -> Queue:
        """Fill in what a queue leaves open."""
        exchange = queue.exchange if queue.exchange is not None and queue.exchange.name else self._default_exchange
        arguments = queue.queue_arguments
        if self._max_priority is not None and "x-max-priority" not in arguments and not queue.is_quorum:
            arguments = {**arguments, "x-max-priority": self._max_priority}
        return queue.replaced(
            exchange=exchange, routing_key=queue.routing_key or self._default_routing_key, queue_arguments=arguments
        )


def check_shared(queue: Queue) -> None:
    """Refuse a queue that each worker has one of its own of: only the exchanges of a broker can find them all.

    Raises:
        NotSupported: it is one.
    """
    if isinstance(queue, Broadcast) and queue.own:
        raise NotSupported(
            f"Broadcast({queue.alias!r}) gives each worker a queue of its own, and only a broker with exchanges finds "
            "them all: use RabbitMQ, or one named queue for each worker (worker_direct) and send to each"
        )


def _queues_of(given: Sequence[Any] | Mapping[str, Any] | None) -> list[Queue | str]:
    if isinstance(given, Mapping):
        return [queue_from_options(name, options) for name, options in given.items()]
    return [each if isinstance(each, str) else as_queue(each) for each in given or ()]


def _queue_type(settings: Settings, name: str) -> str:
    """RabbitMQ's type of queues that are made by name.

    Quorum queues have no priorities, so who asks for priorities asks for classic ones.
    """
    kind: str = settings[name]
    if settings.task_queue_max_priority is None or kind != "quorum":
        return kind
    if settings.value_set_for(name):
        raise ImproperlyConfigured(
            f"task_queue_max_priority={settings.task_queue_max_priority} and {name}='quorum': RabbitMQ's quorum queues "
            f"take no x-max-priority. Set {name}='classic', or leave the priority out"
        )
    return "classic"


def _by_exchange(queues: Iterable[Queue]) -> dict[str, list[tuple[binding, Queue]]]:
    bound: dict[str, list[tuple[binding, Queue]]] = {}
    for queue in queues:
        for way in queue.all_bindings():
            bound.setdefault(way.exchange.name, []).append((way, queue))
    return bound


def _takes(way: binding, routing_key: str, headers: Mapping[str, Any]) -> bool:
    kind = way.exchange.type
    if kind == "fanout":
        return True
    if kind == "direct":
        return way.routing_key == routing_key
    if kind == "topic":
        return topic_matches(way.routing_key, routing_key)
    if kind == "headers":
        return headers_match(way.arguments, headers)
    raise NotSupported(
        f"exchange {way.exchange.name!r} is of type {kind!r}, which only RabbitMQ with its plugin knows: "
        f"use {', '.join(EXCHANGE_TYPES)}, or name a queue with queue="
    )
