"""Dead letters: one queue, behind an exchange of the same name, with the reason in each message's headers.

AMQP has no way to look into a queue but to take from it, so looking takes all there is, up to a bound, and gives back.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, Final

import msgspec

from celeriac.brokers.rabbitmq.naming import (
    DEAD,
    DEAD_TAG_HEADER,
    DIED_HEADER,
    QUEUE_HEADER,
    REASON_HEADER,
)
from celeriac.brokers.rabbitmq.wire import read_content
from celeriac.exceptions import DecodeError
from celeriac.message import DeadLetter, Message

if TYPE_CHECKING:
    import amqp

    from celeriac.brokers.rabbitmq.declaring import Declarer
    from celeriac.brokers.rabbitmq.publishing import Publisher
    from celeriac.storage.rabbitmq.links import Links

#: Dead letters that are looked at in one go.
_MOST_SEEN: Final = 10_000

_OWN_HEADERS: Final = frozenset({REASON_HEADER, DIED_HEADER, QUEUE_HEADER, DEAD_TAG_HEADER})


class DeadLetters:
    """What can not be run.

    Args:
        links: connections for nothing else: one is held while others publish.
        declarer: has the queue there.
        publisher: sends what is to be tried again.
    """

    def __init__(self, links: Links, declarer: Declarer, publisher: Publisher) -> None:
        self._links = links
        self._declarer = declarer
        self._publisher = publisher

    def list(self, queue: str | None, limit: int, offset: int) -> list[DeadLetter]:
        """See `Broker.dead_letters`."""
        found: list[DeadLetter] = []

        def look(letter: DeadLetter) -> bool:
            if queue is None or letter.queue == queue:
                found.append(letter)
            return False

        self._walk(look)
        found.reverse()
        return found[offset : offset + limit]

    def requeue(self, tags: Collection[int | str]) -> int:
        """See `Broker.requeue_dead_letters`."""

        def send_again(letter: DeadLetter) -> bool:
            if letter.tag not in tags:
                return False
            self._publisher.send([self._publisher.parcel(letter.message, letter.queue, letter.priority)])
            return True

        return self._walk(send_again)

    def purge(self, queue: str | None) -> int:
        """See `Broker.purge_dead_letters`."""
        return self._walk(lambda letter: queue is None or letter.queue == queue)

    def _walk(self, visit: Callable[[DeadLetter], bool]) -> int:
        """Show all dead letters, oldest first, to `visit`; remove those for which it is true, and count them."""
        self._declarer.ensure_dead()

        def walk(channel: amqp.Channel) -> int:
            removed = 0
            try:
                for _ in range(_MOST_SEEN):
                    content = channel.basic_get(DEAD)
                    if content is None:
                        break
                    if visit(_read(content)):
                        channel.basic_ack(content.delivery_info["delivery_tag"])
                        removed += 1
            finally:
                channel.basic_recover(requeue=True)
            return removed

        return self._links.run(walk)


def _read(content: amqp.Message) -> DeadLetter:
    headers: dict[str, Any] = dict(content.properties.get("application_headers") or {})
    arrival = read_content(content, redelivered=False)
    try:
        message = arrival.packed.unpack()
    except DecodeError:
        packed = arrival.packed
        message = Message({}, {}, packed.body, packed.content_type, packed.content_encoding)
    message.headers = {name: value for name, value in message.headers.items() if name not in _OWN_HEADERS}
    return DeadLetter(
        tag=str(headers.get(DEAD_TAG_HEADER)),
        message=message,
        queue=str(headers.get(QUEUE_HEADER, "")),
        reason=str(headers.get(REASON_HEADER, "put here by another program")),
        at=_time(headers.get(DIED_HEADER)),
        history=arrival.history,
        priority=arrival.priority,
    )


def _time(value: object) -> float:
    """A Unix time; 0 for what is none, as another program may have put there."""
    try:
        time = msgspec.convert(value, float, strict=False)
    except msgspec.ValidationError:
        return 0.0
    return time if math.isfinite(time) else 0.0
