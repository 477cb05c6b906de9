"""Celery's native delayed delivery: a ladder of queues whose messages move on when their time to live has passed.

Names, arguments and bits are those of Celery 5.5 and newer, so that a Celery worker and ours use the same ladder. A
message enters with a routing key of 28 bits, the delay in seconds, most significant first, followed by where it goes in
the end. The queue of a level takes it when its bit is set and holds it for that many seconds; after the last level it
comes to the exchange `celery_delayed_delivery`.

A queue of ours is bound there with exactly 28 words before its name, which is written as one word that nothing else
begins like. Celery binds its exchanges with `#.` before the routing key of a queue, which also catches longer keys that
end alike: what is for a queue named `feed` must not get to all that listen to the topic `feed`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from amqp.exceptions import NotFound

from celeriac.exceptions import StoreRefused

if TYPE_CHECKING:
    import amqp

#: Where due messages come out.
DELIVERY_EXCHANGE: Final = "celery_delayed_delivery"
#: Of the names of levels, and of that exchange.
LEVEL_PREFIX: Final = "celery_delayed_"
_LEVELS: Final = 28
_TOP: Final = _LEVELS - 1
#: The longest delay that the ladder takes at once, in seconds; longer ones pass it several times.
LONGEST: Final = 2**_LEVELS - 1
#: Bytes of a routing key.
_LONGEST_KEY: Final = 255
_MARK: Final = "~"
_DOT: Final = "~d"
_TILDE: Final = "~t"
#: Bytes of the name of a queue behind the bits of a delay; less by one for each dot and each tilde in it.
LONGEST_NAME: Final = _LONGEST_KEY - 2 * _LEVELS - len(_MARK)


def level_name(level: int) -> str:
    """The exchange, and the queue, of a level."""
    return f"{LEVEL_PREFIX}{level}"


#: The exchanges where messages enter.
ENTRANCES: Final = frozenset(map(level_name, range(_LEVELS)))


def entrance(seconds: int) -> str:
    """The exchange where a message enters that is delayed by so much: that of the first level where it waits.

    Celery lets all enter at the top. They get to the same queues, but each level that a message passes has its price:
    all 28 cost the server more than all the rest of its way.

    Example:
        >>> entrance(10), entrance(2**27)
        ('celery_delayed_3', 'celery_delayed_27')
    """
    return level_name(max(seconds.bit_length() - 1, 0))


def entrance_key(seconds: int, queue: str) -> str:
    """The routing key with which a message enters.

    Args:
        seconds: the delay, 0 to `LONGEST`.
        queue: where it goes when it comes out.

    Raises:
        StoreRefused: that would be longer than AMQP allows.

    Example:
        >>> entrance_key(10, "jobs")[-13:]
        '1.0.1.0.~jobs'
    """
    return _key("".join(f"{bit}." for bit in f"{seconds:0{_LEVELS}b}"), queue)


def exit_pattern(queue: str) -> str:
    """The binding by which messages for `queue` are found when they come out."""
    return _key("*." * _LEVELS, queue)


def _key(bits: str, queue: str) -> str:
    whole = bits + _MARK + queue.replace(_MARK, _TILDE).replace(".", _DOT)
    if len(whole.encode()) > _LONGEST_KEY:
        raise StoreRefused(
            f"{queue!r} is too long for a queue on RabbitMQ: to be reached by future work, a name has {LONGEST_NAME} "
            "bytes at most, where dots and tildes count twice"
        )
    return whole


@lru_cache(maxsize=1024)
def check_name(queue: str) -> None:
    """See to it that future work can be for `queue`, so that workers can take from it.

    Raises:
        StoreRefused: its name is too long.
    """
    exit_pattern(queue)


def strip_bits(key: str) -> str:
    """The queue that a message was for, or the routing key that it had, before it was delayed."""
    words = key.split(".", _LEVELS)
    if len(words) <= _LEVELS or any(word not in {"0", "1"} for word in words[:_LEVELS]):
        return key
    end = words[_LEVELS]
    return end[len(_MARK) :].replace(_DOT, ".").replace(_TILDE, _MARK) if end.startswith(_MARK) else end


def queue_arguments(level: int, queue_type: str) -> dict[str, Any]:
    """The arguments with which the queue of a level is declared."""
    arguments: dict[str, Any] = {
        "x-queue-type": queue_type,
        "x-overflow": "reject-publish",
        "x-message-ttl": 2**level * 1000,
        "x-dead-letter-exchange": level_name(level - 1) if level else DELIVERY_EXCHANGE,
    }
    if queue_type == "quorum":
        arguments["x-dead-letter-strategy"] = "at-least-once"
    return arguments


def declare_ladder(channel: amqp.Channel, queue_type: str) -> None:
    """Declare all levels, in one go: errors come with the last answer.

    Raises:
        amqp.exceptions.AMQPError: among others where it is there with another type of queues.
    """
    for level in range(_TOP, -1, -1):
        name, ones, zeros = level_name(level), "*." * (_TOP - level) + "1.#", "*." * (_TOP - level) + "0.#"
        lower = level_name(level - 1) if level else DELIVERY_EXCHANGE
        channel.exchange_declare(name, "topic", durable=True, auto_delete=False, nowait=True)
        channel.queue_declare(
            name, durable=True, auto_delete=False, arguments=queue_arguments(level, queue_type), nowait=True
        )
        channel.queue_bind(name, name, ones, nowait=True)
        channel.exchange_declare(lower, "topic", durable=True, auto_delete=False, nowait=True)
        channel.exchange_bind(lower, name, zeros, nowait=True)
    channel.queue_declare(level_name(0), passive=True)


def is_ladder_there(channel: amqp.Channel) -> bool:
    """Whether all levels are there. To ask needs no rights, and one trip."""
    try:
        channel.exchange_declare(DELIVERY_EXCHANGE, "topic", passive=True, nowait=True)
        for level in range(_TOP, 0, -1):
            channel.exchange_declare(level_name(level), "topic", passive=True, nowait=True)
            channel.queue_declare(level_name(level), passive=True, nowait=True)
        channel.exchange_declare(level_name(0), "topic", passive=True, nowait=True)
        channel.queue_declare(level_name(0), passive=True)
    except NotFound:  # py-amqp opens the closed channel again
        return False
    return True
