"""The message of a retry: the same record, due again, one retry older."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from celeriac.exceptions import EncodeError
from celeriac.message import OWN_HEADER_PREFIX, Message
from celeriac.protocol.building import PERSISTENT, check_size, expiration
from celeriac.protocol.plain import checked_args, checked_headers, checked_kwargs
from celeriac.protocol.reprs import DEFAULT_MAX_LEVELS, safe_repr
from celeriac.protocol.times import format_iso
from celeriac.serialization import Encoded, compress, encode, find_offender
from celeriac.serialization.unread import read

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from celeriac.protocol.reading import Invocation

#: What a transport noted about one delivery.
_DELIVERY_PROPERTIES: Final = frozenset({"delivery_info", "delivery_tag", "body_encoding"})
#: What RabbitMQ notes about dead-lettering and native delay; sent again it would count twice.
_DELIVERY_HEADER_PREFIXES: Final = ("x-death", "x-first-death-", "x-last-death-")


class Changes(NamedTuple):
    """What is different in a retry; None where it stays as it was.

    Attributes:
        args: positional arguments.
        kwargs: keyword arguments.
        expires: when it expires.
        time_limit: hard time limit in seconds.
        soft_time_limit: soft time limit in seconds.
        priority: its priority.
        headers: further custom headers.
        serializer: the serialiser of its body.
        compression: the compression of its body.
    """

    args: Sequence[Any] | None = None
    kwargs: Mapping[str, Any] | None = None
    expires: datetime | None = None
    time_limit: float | None = None
    soft_time_limit: float | None = None
    priority: int | None = None
    headers: Mapping[str, Any] | None = None
    serializer: str | None = None
    compression: str | None = None

    @property
    def of_body(self) -> bool:
        """The body can not be sent as it came."""
        return any(part is not None for part in (self.args, self.kwargs, self.serializer, self.compression))


def retry_message(
    message: Message,
    invocation: Invocation,
    changes: Changes,
    *,
    retries: int,
    now: datetime,
    size_limit: int,
    eta: datetime | None = None,
    repr_maxlevels: int = DEFAULT_MAX_LEVELS,
) -> Message:
    """Return the message that replaces `message` when its task is retried.

    It keeps the id, root, group, links, chord, name to show, limits, custom headers, stamps, priority, reply queue,
    origin and expiry; its parent is the task itself. A protocol 1 message comes back as protocol 2.

    Args:
        message: what was received.
        invocation: the same, read.
        changes: what is different.
        retries: how often the task was retried, this time included.
        now: the time of the retry.
        size_limit: bytes that the body may have, after compression.
        eta: when it is due, or None for at once.
        repr_maxlevels: levels that the reprs show.

    Raises:
        TypeError: `args` is not a sequence or `kwargs` not a mapping.
        EncodeError: an argument or a header can not be serialised.
        MessageTooLarge: the body is over the limit.
    """
    fields = _headers(invocation, changes, retries, eta)
    _update_reprs(fields, invocation, changes, repr_maxlevels)
    fields |= _carried(message.headers or {}, invocation)
    if changes.headers:
        fields |= checked_headers(changes.headers)
    properties = _properties(message.properties or {}, invocation, changes, now)
    return _with_body(message, invocation, changes, fields, properties, size_limit)


def _with_body(
    message: Message,
    invocation: Invocation,
    changes: Changes,
    fields: dict[str, Any],
    properties: dict[str, Any],
    size_limit: int,
) -> Message:
    """The message with its body: the bytes that came, where they will do."""
    mime = (message.headers or {}).get("compression")
    if invocation.protocol == 2 and not changes.of_body:
        if mime is not None:
            fields["compression"] = mime
        return Message(fields, properties, message.body, message.content_type, message.content_encoding)
    encoded = _encode(invocation, changes, changes.serializer or message.content_type)
    body, method = encoded.body, changes.compression or mime
    if method is not None:
        body, fields["compression"] = compress(body, method)
    check_size(invocation.task, body, size_limit)
    return Message(fields, properties, body, encoded.content_type, encoded.content_encoding)


def _headers(invocation: Invocation, changes: Changes, retries: int, eta: datetime | None) -> dict[str, Any]:
    fields = invocation.headers.copy()
    fields["retries"] = retries
    fields["parent_id"] = invocation.id
    fields["eta"] = format_iso(eta) if eta is not None else None
    if changes.expires is not None:
        fields["expires"] = format_iso(changes.expires)
    kept = zip((changes.time_limit, changes.soft_time_limit), fields["timelimit"], strict=True)
    fields["timelimit"] = [old if new is None else new for new, old in kept]
    return fields


def _update_reprs(fields: dict[str, Any], invocation: Invocation, changes: Changes, levels: int) -> None:
    """Show changed arguments, unless the sender chose what is shown (perhaps to keep a secret out of logs)."""
    args, kwargs = changes.args, changes.kwargs
    if args is not None and fields["argsrepr"] == safe_repr(tuple(invocation.args), maxlevels=levels):
        fields["argsrepr"] = safe_repr(tuple(checked_args(args, invocation.task)), maxlevels=levels)
    if kwargs is not None and fields["kwargsrepr"] == safe_repr(invocation.kwargs, maxlevels=levels):
        fields["kwargsrepr"] = safe_repr(checked_kwargs(kwargs, invocation.task), maxlevels=levels)


def _carried(headers: Mapping[str, Any], invocation: Invocation) -> dict[str, Any]:
    """Return the headers beside protocol 2's that the retry keeps: the sender's and our own."""
    carried = {
        name: value for name, value in invocation.custom.items() if not name.startswith(_DELIVERY_HEADER_PREFIXES)
    }
    carried |= {name: value for name, value in headers.items() if name.startswith(OWN_HEADER_PREFIX)}
    return carried


def _properties(received: Mapping[str, Any], invocation: Invocation, changes: Changes, now: datetime) -> dict[str, Any]:
    expires = changes.expires or invocation.expires
    properties = {"correlation_id": invocation.id, "reply_to": "", "delivery_mode": PERSISTENT, "priority": 0}
    properties |= {name: value for name, value in received.items() if name not in _DELIVERY_PROPERTIES}
    properties.pop("expiration", None)
    if expires is not None and not (invocation.chain or invocation.chord):  # as in a new message
        properties["expiration"] = expiration(expires, now)
    if changes.priority is not None:
        properties["priority"] = changes.priority
    return properties


def _encode(invocation: Invocation, changes: Changes, serializer: str) -> Encoded:
    args, kwargs = changes.args, changes.kwargs
    new_args = checked_args(args, invocation.task) if args is not None else tuple(invocation.args)
    new_kwargs = checked_kwargs(kwargs, invocation.task) if kwargs is not None else invocation.kwargs
    embed = {
        "callbacks": invocation.callbacks,
        "errbacks": invocation.errbacks,
        "chain": read(invocation.chain),
        "chord": read(invocation.chord),
    }
    try:
        return encode((new_args, new_kwargs, embed), serializer)
    except EncodeError as error:
        reason = find_offender(new_args, serializer, "args") or find_offender(new_kwargs, serializer, "kwargs") or error
        raise EncodeError(f"task {invocation.task!r} can not be retried: {reason}") from error
