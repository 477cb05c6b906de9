"""Sees to it that queues, exchanges and bindings are there.

What is there is used as it is found: RabbitMQ closes the channel of who declares a queue with other arguments than it
has, and an existing deployment's queues shall go on. What is missing is declared as the topology says, which is as
Celery does. What was seen once is remembered until something shows that it is gone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from amqp.exceptions import NotFound, PreconditionFailed, ResourceLocked

from celeriac.brokers.rabbitmq import delays
from celeriac.brokers.rabbitmq.naming import DEAD, suspects_of, task_queue_of
from celeriac.storage.forks import renew_in_children

if TYPE_CHECKING:
    import amqp

    from celeriac.entities import Exchange, Queue
    from celeriac.storage.rabbitmq.links import Links
    from celeriac.topology import Topology

#: Types of exchanges that nothing is delayed to by its routing key.
_KEYLESS: Final = ("direct", "fanout", "headers")
#: Seconds to wait before a queue is declared that was there and is gone: a quorum queue that is declared anew at once
#: takes its old consumers for its own, who are not told that theirs has ended, and hear nothing of what it sends them.
QUEUE_END_SECONDS: Final = 0.3
#: Names that are remembered.
_MOST_KNOWN: Final = 10_000
#: Milliseconds after which what nobody holds any more leaves a queue for holding. It is fetched from there at once.
_HOLDING_TTL_MS: Final = 10_000
#: Such a queue is deleted after as many renewals as this were due, and some seconds, without any.
_HOLDING_LIFETIMES: Final = 10
_HOLDING_SECONDS: Final = 600.0


class Declarer:
    """Declares what is asked for, once.

    Args:
        links: connections.
        topology: says what queues are like.
        delay_queue_type: of the queues of delayed delivery, `quorum` or `classic`.
    """

    def __init__(self, links: Links, topology: Topology, delay_queue_type: str) -> None:
        self._links = links
        self._topology = topology
        self._delay_type = delay_queue_type
        self._known: set[tuple[str, str]] = set()
        #: Of queues for holding: the arguments of each, by its name. Its messages come back by these.
        self._holdings: dict[str, dict[str, Any]] = {}
        self.after_fork_in_child()
        renew_in_children(self)

    def after_fork_in_child(self) -> None:
        """Another thread may have held the lock."""
        self._lock = threading.Lock()

    def forget(self, queue: str | None = None) -> None:
        """Look again for `queue`, or for everything, when it is needed next."""
        if queue is None:
            self._known.clear()
        else:
            self._known -= {("queue", queue), ("delay", queue), ("consumed", queue)}

    def ensure_queue(self, name: str) -> None:
        """Have the queue there, with its exchange and bindings."""
        queue = task_queue_of(name)
        if (held := self._holdings.get(name)) is not None:
            self._once("queue", name, lambda channel: _declare_as_found(channel, name, held))
        elif queue is None:
            self._once("queue", name, lambda channel: declare_queue(channel, self._topology.queue(name)))
        else:
            arguments = {"x-queue-type": self._queue_type(queue)}
            self._once("queue", name, lambda channel: _declare_as_found(channel, name, arguments))

    def ensure_consumed(self, name: str) -> None:
        """Have the queue there for a worker, and one for its suspects; what Celery's producers delay reaches it too."""
        self.ensure_queue(name)
        if self.has_suspects(name):
            self.ensure_queue(suspects_of(name))
        queue = self._topology.queue(name)
        self._once("consumed", name, lambda channel: self._bind_exits(channel, queue))

    def ensure_exchange(self, name: str) -> None:
        """Have an exchange there that the settings know, and the queues that are bound to it.

        A queue whose first worker is still to come shall miss nothing.
        """
        exchange = self._topology.exchange(name)
        if exchange is None:
            return  # of another program: what is sent there finds it, or the error says that there is none
        self._once("exchange", name, lambda channel: _declare_exchange(channel, exchange))
        for queue in self._topology.bound(name):
            self.ensure_queue(queue.name)

    def ensure_delay(self, name: str) -> None:
        """Have the ladder there, and its end lead to the queue."""
        self.ensure_queue(name)
        self._once("delay", name, lambda channel: self._bind_exit(channel, name))

    def has_suspects(self, name: str) -> bool:
        """Whether the queue has another one for its suspects.

        Not if it is deleted with its last consumer: the other one would be left behind, by each start of a worker that
        has a queue of its own. What is lost goes back to the queue itself then.
        """
        queue = self._topology.queue(name)
        return not (queue.auto_delete or queue.exclusive)

    def queue(self, name: str) -> Queue:
        """What the topology says of a queue of tasks."""
        return self._topology.queue(name)

    def consumer_arguments(self, name: str) -> dict[str, Any] | None:
        """The arguments of the queue's consumers."""
        return self._topology.queue(name).consumer_arguments or None

    def ensure_dead(self) -> None:
        """Have the exchange and the queue of dead letters there."""
        self._once("queue", DEAD, _declare_dead)

    def ensure_holding(self, name: str, queue: str, seconds: float) -> None:
        """Have the queue there through which a hold on messages of `queue` is renewed each `seconds`.

        It is looked for each time: it expires when it is not used for long.
        """
        kind = self._queue_type(queue)
        arguments = {
            "x-queue-type": kind,
            "x-message-ttl": _HOLDING_TTL_MS,
            "x-expires": round((_HOLDING_LIFETIMES * seconds + _HOLDING_SECONDS) * 1000),
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": queue,
        }
        if kind == "quorum":
            arguments |= {"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}
        self._holdings[name] = arguments
        self.forget(name)
        self.ensure_queue(name)

    def count(self, name: str) -> int:
        """How many messages wait in the queue; 0 if there is none."""
        return self._links.run(lambda channel: _count(channel, name)) or 0

    def sees(self, name: str) -> bool:
        """Whether there is such a queue, be it for another connection only."""

        def look(channel: amqp.Channel) -> bool:
            try:
                return _count(channel, name) is not None
            except ResourceLocked:
                return True

        return self._links.run(look)

    def purge(self, name: str) -> int:
        """Delete what waits in the queue. Returns how many; 0 if there is no such queue."""

        def purge(channel: amqp.Channel) -> int:
            return 0 if _count(channel, name) is None else channel.queue_purge(name) or 0

        return self._links.run(purge)

    def _queue_type(self, name: str) -> str:
        return str(self._topology.queue(name).declare_arguments().get("x-queue-type", "classic"))

    def _once(self, what: str, name: str, declare: Callable[[amqp.Channel], object]) -> None:
        if (what, name) in self._known:
            return
        with self._lock:
            if (what, name) in self._known:
                return
            self._links.run(declare)
            if len(self._known) < _MOST_KNOWN:
                self._known.add((what, name))

    def _bind_exit(self, channel: amqp.Channel, name: str) -> None:
        self._declare_ladder(channel)
        channel.queue_bind(name, delays.DELIVERY_EXCHANGE, delays.exit_pattern(name))

    def _bind_exits(self, channel: amqp.Channel, queue: Queue) -> None:
        """As Celery's workers do for queues on topic exchanges: its producers delay to those.

        They do so where the settings have a quorum queue. Elsewhere the binding would only let in what is none of the
        queue's: it also takes longer keys that end alike.

        Celery's workers do it for fanout and headers exchanges too, which look at no routing key: whatever is delayed
        for a queue of that name (often the default one) then reaches all their queues as well. So does all that is
        delayed for anybody, where a key has wildcards only: such a queue gets what its exchange gets for others.
        """
        exchange = queue.exchange
        if exchange is None or exchange.type in _KEYLESS or not exchange.name or not self._celery_delays(queue):
            channel.exchange_declare(delays.DELIVERY_EXCHANGE, "topic", durable=True, auto_delete=False)
            channel.queue_bind(queue.name, delays.DELIVERY_EXCHANGE, delays.exit_pattern(queue.name))
            return
        self._declare_ladder(channel)
        for one in queue.all_bindings():
            if one.exchange.name and not set(one.routing_key.split(".")) <= {"*", "#"}:
                pattern = f"#.{one.routing_key}"
                channel.exchange_bind(one.exchange.name, delays.DELIVERY_EXCHANGE, pattern)
                channel.queue_bind(queue.name, one.exchange.name, pattern)

    def _celery_delays(self, queue: Queue) -> bool:
        """Whether Celery's producers use the ladder, with these settings."""
        return queue.is_quorum or any(self._topology.queue(name).is_quorum for name in self._topology.names)

    def _declare_ladder(self, channel: amqp.Channel) -> None:
        if ("ladder", "") in self._known:
            return
        if delays.is_ladder_there(channel):  # who only sends may have no right to declare it
            self._known.add(("ladder", ""))
            return
        other = "classic" if self._delay_type == "quorum" else "quorum"
        try:
            delays.declare_ladder(channel, self._delay_type)
        except PreconditionFailed:
            delays.declare_ladder(channel, other)  # it is there, and was made so
        self._known.add(("ladder", ""))


def declare_queue(channel: amqp.Channel, queue: Queue) -> None:
    """Have `queue` there, with its exchanges and bindings.

    Raises:
        amqp.exceptions.AMQPError: the server refuses.
    """
    name = queue.name
    if not queue.no_declare and _count(channel, name) is None:
        try:
            channel.queue_declare(
                name,
                durable=queue.durable,
                exclusive=queue.exclusive,
                auto_delete=queue.auto_delete,
                arguments=queue.declare_arguments() or None,
            )
        except PreconditionFailed:
            channel.queue_declare(name, passive=True)  # somebody was quicker, and has made it otherwise
    for one in queue.all_bindings():
        if one.exchange.name:
            _declare_exchange(channel, one.exchange)
            channel.queue_bind(name, one.exchange.name, one.routing_key or "", arguments=one.arguments or None)


def _declare_exchange(channel: amqp.Channel, exchange: Exchange) -> None:
    if exchange.no_declare or exchange.name.startswith("amq."):
        return
    try:
        channel.exchange_declare(exchange.name, exchange.type, passive=True)
    except NotFound:
        channel.exchange_declare(
            exchange.name,
            exchange.type,
            durable=exchange.durable,
            auto_delete=exchange.auto_delete,
            arguments=exchange.arguments or None,
        )


def _count(channel: amqp.Channel, name: str) -> int | None:
    """Messages that wait in a queue, None if there is no such queue. (py-amqp opens a closed channel again.)"""
    try:
        return channel.queue_declare(name, passive=True).message_count
    except NotFound:
        return None


def _declare_as_found(channel: amqp.Channel, name: str, arguments: dict[str, Any]) -> None:
    if _count(channel, name) is None:
        channel.queue_declare(name, durable=True, auto_delete=False, arguments=arguments)


def _declare_dead(channel: amqp.Channel) -> None:
    channel.exchange_declare(DEAD, "fanout", durable=True, auto_delete=False)
    _declare_as_found(channel, DEAD, {"x-queue-type": "classic"})
    channel.queue_bind(DEAD, DEAD)
