"""The message: the only form in which work travels.

Owns the shape (headers, properties, body) and what a broker must know to place it. Knows nothing of serialisers,
brokers or tasks: `celeriac.protocol` builds and reads messages.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from celeriac.exceptions import DecodeError, EncodeError

#: Prefix of the headers that are ours alone; Celery ignores them.
OWN_HEADER_PREFIX: Final = "x-celeriac-"

#: Header of a message that came before its time and was put aside: the `eta` that it was put aside for. It is not put
#: aside for the same one again, or a worker whose clock is slow would do so over and over.
PARKED_HEADER: Final = f"{OWN_HEADER_PREFIX}parked"

MIN_PRIORITY: Final = 0
MAX_PRIORITY: Final = 9

_encoder: Final = msgspec.json.Encoder()
_head_decoder: Final = msgspec.json.Decoder(tuple[dict[str, Any], dict[str, Any]])


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


class Head(msgspec.Struct, frozen=True):
    """What a supervisor must know of a message's headers: as sent, unchecked.

    Attributes:
        task: name of the task; None in protocol 1, which has it in the body.
        id: the task's id.
        expires: ISO text.
        timelimit: hard and soft limit in seconds.
        ignore_result: the result is not wanted.
        eta: ISO text.
        parked: see `PARKED_HEADER`.
    """

    task: Any = None
    id: Any = None
    expires: Any = None
    timelimit: Any = None
    ignore_result: Any = None
    eta: Any = None
    parked: Any = msgspec.field(name=PARKED_HEADER, default=None)

    @classmethod
    def of(cls, headers: Mapping[str, Any]) -> Head:
        """The head of a message with these headers."""
        get = headers.get  # one by one: a loop over the fields takes three times as long, for each message
        return cls(
            get("task"),
            get("id"),
            get("expires"),
            get("timelimit"),
            get("ignore_result"),
            get("eta"),
            get(PARKED_HEADER),
        )

    def __str__(self) -> str:
        """`name[id]`, as in every log line about a task."""
        return f"{self.task}[{self.id}]"


class PackedMessage(msgspec.Struct, frozen=True, array_like=True):
    """A message as stores keep it: headers and properties in one JSON array, the body as it is.

    It travels from store to executor without being unpacked on the way; a supervisor only peeks.
    """

    head: bytes
    body: bytes
    content_type: str
    content_encoding: str

    @classmethod
    def pack(cls, message: Message) -> PackedMessage:
        """Encode `message`.

        Raises:
            EncodeError: a value in its headers or properties has no JSON form.
        """
        return cls(encode_head(message), message.body, message.content_type, message.content_encoding)

    @property
    def label(self) -> str:
        """`name[id]` for log lines, whatever the state of the head."""
        try:
            return str(self.peek())
        except DecodeError:
            return "a message with a damaged head"

    def unpack(self) -> Message:
        """A fresh message.

        Raises:
            DecodeError: the stored bytes are damaged.
        """
        headers, properties = decode_head(self.head)
        return Message(headers, properties, self.body, self.content_type, self.content_encoding)

    def peek(self) -> Head:
        """The few headers that are needed to place the message, at a third of the cost of `unpack`.

        Raises:
            DecodeError: the stored bytes are damaged.
        """
        try:
            return _peeker.decode(self.head)[0]
        except (ValueError, RecursionError, msgspec.DecodeError):  # as in `decode_head`
            return Head.of(decode_head(self.head)[0])


def encode_head(message: Message) -> bytes:
    """Headers and properties of `message` as one JSON array.

    Raises:
        EncodeError: a value in them has no JSON form.
    """
    head = (message.headers, message.properties)
    try:
        return _encoder.encode(head)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.EncodeError):
        pass  # lone surrogates, for one; the library's own codec escapes them
    try:
        return json.dumps(head).encode()
    except (TypeError, ValueError, RecursionError) as exc:
        raise EncodeError(
            f"the message's headers or properties can not be stored as JSON: {exc}; "
            "use strings, numbers, lists and dictionaries there"
        ) from exc


def decode_head(blob: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """The inverse of `encode_head`.

    Raises:
        DecodeError: the stored bytes are not what `encode_head` writes.
    """
    try:
        return _head_decoder.decode(blob)
    except (ValueError, RecursionError, msgspec.DecodeError):
        pass  # what json.dumps wrote
    try:
        headers, properties = json.loads(blob)
    except (TypeError, ValueError, RecursionError) as exc:
        raise DecodeError(f"a stored message's headers are not readable: {exc}") from exc
    if not isinstance(headers, dict) or not isinstance(properties, dict):
        raise DecodeError(f"a stored message's headers are not two dictionaries but {blob[:60]!r}")
    return headers, properties


class Publication(msgspec.Struct, frozen=True):
    """A message and where it shall go.

    Attributes:
        message: what to send.
        queue: the queue's name.
        priority: 0 to 9; 0 is taken first, as in Celery on Redis.
        not_before: Unix time before which no worker may take it, or None for at once.
        exchange: where it is published instead of to the queue, on a broker that has exchanges.
        routing_key: by which that exchange chooses queues.
        mandatory: it is an error if no queue takes it.
    """

    message: Message
    queue: str
    priority: int = MIN_PRIORITY
    not_before: float | None = None
    exchange: str | None = None
    routing_key: str = ""
    mandatory: bool = False


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
        token: fencing token; with the tag it names one delivery, so that an old owner's settlement is refused.
        packed: what was sent.
        queue: the queue it was taken from.
        priority: the level it was stored at.
        history: losses so far, oldest first; its length is what `task_max_deliveries` bounds.
        started: the message had been marked as started by the worker that lost it (see `Broker.mark_started`).
        lost_by: set by `Broker.recover` to the owner it was taken over from; None on an ordinary delivery.
        doubtful: set by `Broker.recover` where nothing shows that a worker ever had it: it runs again in any case.
    """

    tag: int | str
    token: int
    packed: PackedMessage
    queue: str
    priority: int = MIN_PRIORITY
    history: tuple[Loss, ...] = ()
    started: bool = False
    lost_by: str | None = None
    doubtful: bool = False
    _head: Head | None = None

    @property
    def head(self) -> Head:
        """The headers that matter here; all None when the stored bytes are damaged."""
        if self._head is None:
            try:
                self._head = self.packed.peek()
            except DecodeError:
                self._head = _DAMAGED_HEAD
        return self._head

    def note_head(self, head: Head) -> None:
        """Have `head` be this: read before, or found in the body, where protocol 1 keeps it."""
        self._head = head

    @property
    def is_damaged(self) -> bool:
        """The stored head can not be read."""
        return self.head is _DAMAGED_HEAD

    @property
    def label(self) -> str:
        """`name[id]` for log lines."""
        return self.packed.label if self.is_damaged else str(self.head)

    @property
    def message(self) -> Message:
        """What was sent, unpacked anew at each use.

        Raises:
            DecodeError: the stored bytes are damaged.
        """
        return self.packed.unpack()

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


_DAMAGED_HEAD: Final = Head()
_peeker: Final = msgspec.json.Decoder(tuple[Head, msgspec.Raw])
