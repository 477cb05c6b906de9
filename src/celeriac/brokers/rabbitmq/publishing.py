"""From publications to parcels, and the trip with them: what goes where, and what has to be there for it."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from celeriac.brokers.rabbitmq import delays
from celeriac.brokers.rabbitmq.declaring import QUEUE_END_SECONDS
from celeriac.brokers.rabbitmq.naming import DEAD, DUE_HEADER, task_queue_of
from celeriac.brokers.rabbitmq.wire import content_of
from celeriac.exceptions import NotSupported, OperationalError, StoreRefused
from celeriac.message import Loss, Message
from celeriac.storage.rabbitmq.links import AllRefused, Parcel, SomeRefused

if TYPE_CHECKING:
    from celeriac.brokers.rabbitmq.declaring import Declarer
    from celeriac.clock import Clock
    from celeriac.message import Publication
    from celeriac.storage.rabbitmq.links import Links
    from celeriac.topology import Topology

#: A Unix time for what is never due: RabbitMQ closes the connection of who sends it an infinite number.
_FAR: Final = 1e15
#: Bytes of the name of a queue.
_LONGEST_NAME: Final = 255

#: Seconds for a new quorum queue to find its leader, and between tries meanwhile.
_LEADER_SECONDS: Final = 1.0
_REFUSED_SECONDS: Final = 0.05


class Publisher:
    """Sends messages, and returns when the server has confirmed them.

    Args:
        links: connections.
        declarer: has queues there.
        topology: which queues an exchange leads to, for what is delayed.
        clock: for due times.
    """

    def __init__(self, links: Links, declarer: Declarer, topology: Topology, clock: Clock) -> None:
        self._links = links
        self._declarer = declarer
        self._topology = topology
        self._clock = clock

    def parcels(self, publications: Sequence[Publication]) -> list[Parcel]:
        """What is sent for `publications`.

        Raises:
            EncodeError, StoreRefused: one of them can not be sent; nothing was sent then.
        """
        made: list[Parcel] = []
        for one in publications:
            if one.exchange is None:
                delays.check_name(_checked(one.queue))  # else no worker could take from it
                made.append(self.parcel(one.message, one.queue, one.priority, one.not_before))
            elif self._delay(one.not_before) > 0:
                made += self._delayed_by_exchange(one)
            else:
                made.append(Parcel(one.exchange, one.routing_key, content_of(one.message, one.priority), one.mandatory))
        return made

    def parcel(
        self,
        message: Message,
        queue: str,
        priority: int,
        not_before: float | None = None,
        history: tuple[Loss, ...] = (),
        extra: Mapping[str, Any] | None = None,
    ) -> Parcel:
        """What is sent for one message to a queue, at once or to be delayed."""
        task_queue = task_queue_of(queue)
        if task_queue is not None and not self._declarer.has_suspects(task_queue):
            queue = task_queue
        seconds = 0.0 if not_before is None else self._delay(not_before)
        if seconds <= 0:
            return Parcel("", _checked(queue), content_of(message, priority, history, extra), True)
        content = content_of(message, priority, history, {**(extra or {}), DUE_HEADER: min(not_before or 0.0, _FAR)})
        whole = int(min(seconds, delays.LONGEST))
        if not whole:
            return Parcel("", _checked(queue), content, True)  # whoever takes it waits for the rest of its second
        return Parcel(delays.entrance(whole), delays.entrance_key(whole, _checked(queue)), content, True)

    def send(self, parcels: Sequence[Parcel]) -> None:
        """Send all of them; return when the server has them.

        Raises:
            OperationalError: the server is away or does not take them. Some may have been stored.
            StoreRefused: no queue takes a message that must reach one.
        """
        for parcel in parcels:
            self._prepare(parcel)
        try:
            returned = self._publish(parcels)
        except OperationalError:
            self._declarer.forget()  # an exchange may be gone
            raise
        if returned:
            self._send_again(returned)

    def _publish(self, parcels: Sequence[Parcel]) -> list[Parcel]:
        """A quorum queue that was declared just now refuses everything until it has a leader."""
        deadline = time.monotonic() + _LEADER_SECONDS
        while True:
            try:
                return self._links.publish(parcels)
            except AllRefused:
                if time.monotonic() >= deadline:
                    raise
            time.sleep(_REFUSED_SECONDS)

    def _send_again(self, returned: Sequence[Parcel]) -> None:
        """Their queues were there before, and are gone."""
        for parcel in returned:
            if not self._is_own(parcel):
                raise StoreRefused(
                    f"no queue took the message to exchange {parcel.exchange!r} with routing key "
                    f"{parcel.routing_key!r}: bind one, or send without mandatory"
                )
            self._declarer.forget(_queue_of(parcel))
        time.sleep(QUEUE_END_SECONDS)
        for parcel in returned:
            self._prepare(parcel)
        lost = self._publish(returned)
        if lost:
            names = ", ".join(sorted({repr(_queue_of(parcel)) for parcel in lost}))
            raise SomeRefused(f"the server took no message for the queues {names}: are they being deleted?", lost)

    def _prepare(self, parcel: Parcel) -> None:
        if not parcel.exchange:
            self._declarer.ensure_queue(parcel.routing_key)
        elif parcel.exchange in delays.ENTRANCES:
            self._declarer.ensure_delay(_queue_of(parcel))
        elif parcel.exchange == DEAD:
            self._declarer.ensure_dead()
        else:
            self._declarer.ensure_exchange(parcel.exchange)

    def _is_own(self, parcel: Parcel) -> bool:
        return parcel.exchange in {"", DEAD} or parcel.exchange in delays.ENTRANCES

    def _delay(self, not_before: float | None) -> float:
        if not_before is None or math.isnan(not_before):
            return 0.0
        return not_before - self._clock.time()

    def _delayed_by_exchange(self, publication: Publication) -> list[Parcel]:
        """The ladder leads to queues: the ones that the exchange leads to are known from the settings."""
        exchange, key = str(publication.exchange), publication.routing_key
        queues = self._topology.matching(exchange, key, publication.message.headers)
        if not queues:
            raise StoreRefused(
                f"future work for exchange {exchange!r} with routing key {key!r} reaches no queue that is known here: "
                "list its queues in task_queues, or name a queue"
            )
        if not {queue.name for queue in self._topology.bound(exchange)}.issuperset(queues):
            raise NotSupported(
                f"what is sent to the Broadcast {exchange!r} can not be delayed: the delay leads to queues by their "
                "names, and those of single workers are not known here. Send it without countdown and eta"
            )
        return [
            self.parcel(publication.message, queue, publication.priority, publication.not_before) for queue in queues
        ]


def _queue_of(parcel: Parcel) -> str:
    return delays.strip_bits(parcel.routing_key)


def _checked(queue: str) -> str:
    try:
        size = len(queue.encode())
    except UnicodeEncodeError:
        size = 0
    if not 0 < size <= _LONGEST_NAME or queue.startswith("amq."):
        raise StoreRefused(
            f"a queue on RabbitMQ can not be called {queue[:40]!r}: names have 1 to {_LONGEST_NAME} bytes of UTF-8 and "
            "do not begin with 'amq.'"
        )
    return queue
