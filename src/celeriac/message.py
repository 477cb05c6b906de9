"""The message: the only form in which work travels.

Owns the shape (headers, properties, body) and what a broker must know to place it. Knows nothing of serialisers,
brokers or tasks: `celeriac.protocol` builds and reads messages.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

#: Prefix of the headers that are ours alone; Celery ignores them.
OWN_HEADER_PREFIX: Final = "x-celeriac-"

MIN_PRIORITY: Final = 0
MAX_PRIORITY: Final = 9


class Message(msgspec.Struct):
    """One message of Celery's protocol 2 (or 1 on the way in).

    Attributes:
        headers: protocol 2 headers with custom headers merged in, JSON types only.
        properties: `correlation_id`, `reply_to`, `delivery_mode`, `priority`, `expiration`, and others as given.
        body: the serialised, perhaps compressed, body.
        content_type: MIME type of the body, such as `application/json`.
        content_encoding: `utf-8` or `binary`.
    """

    headers: dict[str, Any]
    properties: dict[str, Any]
    body: bytes
    content_type: str = "application/json"
    content_encoding: str = "utf-8"


class Publication(msgspec.Struct, frozen=True):
    """A message and where it shall go.

    Attributes:
        message: what to send.
        queue: the queue's name.
        priority: 0 to 9; 0 is taken first, as in Celery on Redis.
        not_before: Unix time before which no worker may take it, or None for at once.
    """

    message: Message
    queue: str
    priority: int = MIN_PRIORITY
    not_before: float | None = None


class Loss(msgspec.Struct, frozen=True):
    """One line of a message's history: a delivery that ended without an outcome.

    Attributes:
        at: Unix time at which the loss was noticed.
        worker: the lease owner that held the message.
        reason: what is known, for example `WorkerLostError: executor 4711 was killed by signal 9`.
    """

    at: float
    worker: str
    reason: str


class Delivery(msgspec.Struct):
    """A message that a worker holds by lease.

    Attributes:
        tag: the broker's handle of the stored message.
        token: fencing token; it changes with every change of owner, so that an old owner's settlement is refused.
        message: what was sent.
        queue: the queue it was taken from.
        priority: the level it was stored at.
        history: losses so far, oldest first; its length is what `task_max_deliveries` bounds.
        started: the message had been marked as started by the worker that lost it (see `Broker.mark_started`).
        lost_by: set by `Broker.recover` to the owner it was taken over from; None on an ordinary delivery.
    """

    tag: int | str
    token: int
    message: Message
    queue: str
    priority: int = MIN_PRIORITY
    history: tuple[Loss, ...] = ()
    started: bool = False
    lost_by: str | None = None

    @property
    def redelivered(self) -> bool:
        """An earlier delivery of this message was lost."""
        return bool(self.history)


class DeadLetter(msgspec.Struct, frozen=True):
    """A message that can not be run, kept with the reason.

    Attributes:
        tag: the broker's handle, for `requeue_dead_letters` and `purge_dead_letters`.
        message: the message as it was when it died.
        queue: the queue it came from.
        reason: one or two lines: what is wrong.
        at: Unix time of its death.
        history: the losses before.
        priority: the level it was stored at.
    """

    tag: int | str
    message: Message
    queue: str
    reason: str
    at: float
    history: tuple[Loss, ...] = ()
    priority: int = MIN_PRIORITY
