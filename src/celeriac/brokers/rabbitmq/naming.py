"""Names on the server: of what is ours, and of the headers that only RabbitMQ or this broker reads."""

from __future__ import annotations

import hashlib
from typing import Final

from celeriac.message import OWN_HEADER_PREFIX

#: Exchange and queue of dead letters.
DEAD: Final = "celeriac.dead"

#: Losses so far, as a list of dictionaries.
LOSSES_HEADER: Final = f"{OWN_HEADER_PREFIX}losses"
#: Unix time before which nobody may take it.
DUE_HEADER: Final = f"{OWN_HEADER_PREFIX}due"
#: Names one stay in a queue for what is held long.
HOLD_HEADER: Final = f"{OWN_HEADER_PREFIX}hold"
#: Headers and properties as JSON, where AMQP has no form for them.
HEAD_HEADER: Final = f"{OWN_HEADER_PREFIX}head"
#: Of dead letters: why, when, from which queue, and a name to find it by.
REASON_HEADER: Final = f"{OWN_HEADER_PREFIX}reason"
DIED_HEADER: Final = f"{OWN_HEADER_PREFIX}died-at"
QUEUE_HEADER: Final = f"{OWN_HEADER_PREFIX}queue"
DEAD_TAG_HEADER: Final = f"{OWN_HEADER_PREFIX}dead-tag"

#: A quorum queue says here how often the message came back. Celery's workers also give back what they have only
#: fetched, so it tells nothing of losses.
COUNT_HEADER: Final = "x-delivery-count"
#: What RabbitMQ adds when a message passes a delay or is dead-lettered.
_DEATH_HEADERS: Final = (
    "x-death",
    "x-first-death-exchange",
    "x-first-death-queue",
    "x-first-death-reason",
    "x-last-death-exchange",
    "x-last-death-queue",
    "x-last-death-reason",
)
#: Headers that tell of one stay in one queue; they do not travel on.
PASSING_HEADERS: Final = frozenset({LOSSES_HEADER, DUE_HEADER, HOLD_HEADER, HEAD_HEADER, COUNT_HEADER, *_DEATH_HEADERS})

_SUSPECTS: Final = "celeriac.suspects."
#: Bytes of a name in AMQP.
_LONGEST_NAME: Final = 255


def suspects_of(queue: str) -> str:
    """The queue of what was lost from `queue` together with its worker."""
    return _SUSPECTS + queue


def task_queue_of(suspects: str) -> str | None:
    """The inverse of `suspects_of`; None for a name that is none of its."""
    return suspects[len(_SUSPECTS) :] if suspects.startswith(_SUSPECTS) else None


def holding_of(owner: str, queue: str) -> str:
    """The queue through which one worker renews its hold on what it took from `queue`."""
    return _fitting(f"celeriac.held.{owner}.{queue}")


def presence_of(owner: str) -> str:
    """The exclusive queue that shows that a worker of this name is there."""
    return _fitting(f"celeriac.worker.{owner}")


def _fitting(name: str) -> str:
    """A name that AMQP can hold, and that is as good as `name` to tell two apart."""
    encoded = name.encode("utf-8", "surrogatepass")
    if len(encoded) <= _LONGEST_NAME:
        return name
    return f"{name[:40]}~{hashlib.sha256(encoded).hexdigest()}"
