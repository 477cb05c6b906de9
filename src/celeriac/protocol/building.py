"""Builds protocol 2 messages: 19 headers in Celery's order, properties, and the body `[args, kwargs, embed]`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Unpack

from celeriac.exceptions import EncodeError, MessageTooLarge
from celeriac.message import Message
from celeriac.protocol.options import MessageOptions
from celeriac.protocol.origin import process_name
from celeriac.protocol.plain import checked_args, checked_headers, checked_json, checked_kwargs
from celeriac.protocol.reprs import DEFAULT_MAX_LENGTH, DEFAULT_MAX_LEVELS, safe_repr
from celeriac.protocol.times import assume_utc, format_iso
from celeriac.serialization import compress, find_offender
from celeriac.serialization.json import encode_json
from celeriac.serialization.registry import codec_of, encode_with
from celeriac.serialization.unread import Unread, UnreadList, read

#: `delivery_mode`: survive a restart of the broker.
PERSISTENT: Final = 2

_EMPTY_EMBED: Final[dict[str, Any]] = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
_EMPTY_TAIL: Final = b", " + encode_json(_EMPTY_EMBED) + b"]"
#: What a body without arguments begins with; nothing else is as frequent.
_NO_ARGUMENTS: Final = b"[[], {}"
_OPTION_OF: Final = {"callbacks": "link", "errbacks": "link_error"}


def task_message(
    *,
    task: str,
    task_id: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    size_limit: int,
    group_index: int | None = None,
    argsrepr: str | None = None,
    kwargsrepr: str | None = None,
    **options: Unpack[MessageOptions],
) -> Message:
    """Return the protocol 2 message of one call, as Celery would send it.

    Args:
        task: name of the task.
        task_id: its id.
        args: positional arguments.
        kwargs: keyword arguments.
        size_limit: bytes that the body may have, after compression.
        group_index: position in the group.
        argsrepr: what to show for `args`, for example to keep secrets out of logs.
        kwargsrepr: what to show for `kwargs`.
        **options: see `MessageOptions`.

    Raises:
        TypeError: `args` is not a sequence or `kwargs` not a mapping.
        EncodeError: an argument, a signature or a header can not be serialised; the text names it.
        MessageTooLarge: the body is over the limit.

    Example:
        >>> message = task_message(task="add", task_id="1", args=(2, 3), kwargs={}, size_limit=1024)
        >>> message.body
        b'[[2, 3], {}, {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]'
    """
    template = MessageTemplate(task=task, size_limit=size_limit, **options)
    return template.message(task_id, args, kwargs, group_index=group_index, argsrepr=argsrepr, kwargsrepr=kwargsrepr)


class MessageTemplate:
    """What many messages of one task have in common, worked out once; `message` fills in the rest.

    Args:
        task: name of the task.
        size_limit: bytes that a body may have, after compression.
        **options: see `MessageOptions`.

    Raises:
        EncodeError: a signature or a header can not be serialised, or there is no such serialiser.

    Example:
        >>> template = MessageTemplate(task="add", size_limit=1024)
        >>> template.message("id-1", (2, 3), {}).headers["argsrepr"]
        '(2, 3)'
    """

    __slots__ = (
        "_codec",
        "_compression",
        "_custom",
        "_embed",
        "_headers",
        "_json_tail",
        "_levels",
        "_properties",
        "_root_id",
        "_size_limit",
        "_task",
    )

    def __init__(self, *, task: str, size_limit: int, **options: Unpack[MessageOptions]) -> None:
        self._task = task
        self._size_limit = size_limit
        self._codec = codec_of(options.get("serializer", "json"))
        self._compression = options.get("compression")
        self._levels = options.get("repr_maxlevels", DEFAULT_MAX_LEVELS)
        self._root_id = options.get("root_id")
        custom = options.get("headers")
        self._custom = checked_headers(custom) if custom else None
        self._headers = _common_headers(task, options)
        self._properties = _common_properties(options)
        self._embed, self._json_tail = _EMPTY_EMBED, _EMPTY_TAIL
        if any(options.get(name) is not None for name in _EMPTY_EMBED):
            self._embed = {name: options.get(name) for name in _EMPTY_EMBED}
            if self._codec.encode is encode_json:
                self._json_tail = b", {%b}]" % b", ".join(map(self._encoded_link, _EMPTY_EMBED))
            else:
                self._embed = {name: read(links) for name, links in self._embed.items()}

    def message(
        self,
        task_id: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        *,
        group_index: int | None = None,
        argsrepr: str | None = None,
        kwargsrepr: str | None = None,
    ) -> Message:
        """Return the message of one call.

        Args and errors are those of `task_message`.
        """
        args = checked_args(args, self._task)
        kwargs = checked_kwargs(kwargs, self._task)
        if argsrepr is None:
            argsrepr = safe_repr(args, DEFAULT_MAX_LENGTH, self._levels) if args else repr(args)
        if kwargsrepr is None:
            kwargsrepr = safe_repr(kwargs, DEFAULT_MAX_LENGTH, self._levels) if kwargs else "{}"
        headers = self._headers.copy()
        headers["id"] = task_id
        headers["root_id"] = self._root_id or task_id
        headers["timelimit"] = headers["timelimit"].copy()
        headers["stamps"] = headers["stamps"].copy()
        headers["group_index"] = group_index
        headers["argsrepr"] = argsrepr
        headers["kwargsrepr"] = kwargsrepr
        if self._custom is not None:
            headers.update(self._custom)
        body = self._body(args, kwargs)
        if self._compression is not None:
            body, headers["compression"] = compress(body, self._compression)
        check_size(self._task, body, self._size_limit)
        properties = self._properties.copy()
        properties["correlation_id"] = task_id
        codec = self._codec
        return Message(headers, properties, body, codec.content_type, codec.content_encoding)

    def _body(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bytes:
        if self._codec.encode is encode_json:  # the embedded part is the same each time
            if not args and not kwargs:
                return _NO_ARGUMENTS + self._json_tail
            return self._encode((args, kwargs), args, kwargs)[:-1] + self._json_tail
        return self._encode((args, kwargs, self._embed), args, kwargs)

    def _encoded_link(self, name: str) -> bytes:
        links = self._embed[name]
        json = links.json if isinstance(links, Unread | UnreadList) else self._encode(links, (), {})
        return b'"%b": %b' % (name.encode(), json)

    def _encode(self, value: object, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bytes:
        try:
            return encode_with(self._codec, value)
        except EncodeError as error:
            reason = self._find_offender(args, kwargs) or str(error)
            raise EncodeError(f"task {self._task!r} can not be sent: {reason}") from error

    def _find_offender(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
        """Say which argument or signature it was."""
        embedded = {_OPTION_OF.get(name, name): part for name, part in self._embed.items()}
        for name, part in {"args": args, "kwargs": kwargs, **embedded}.items():
            sentence = find_offender(part, self._codec.name, name)
            if sentence is not None:
                return sentence
        return None


def check_size(task: str, body: bytes, size_limit: int) -> None:
    """Refuse a body over the limit.

    Raises:
        MessageTooLarge: it is.
    """
    if len(body) > size_limit:
        raise MessageTooLarge(
            f"the message of task {task!r} is {len(body)} bytes, the limit task_message_size_limit is {size_limit}; "
            "pass a reference (a path, a key, a URL) instead of the data, compress it, or raise the setting"
        )


def expiration(expires: datetime, now: datetime | None) -> str:
    """Return the property `expiration`: whole milliseconds that are left, as text; 0 when it is over."""
    left = assume_utc(expires) - (assume_utc(now) if now is not None else datetime.now(UTC))
    return str(max(0, int(left.total_seconds() * 1000)))


def _common_headers(task: str, options: MessageOptions) -> dict[str, Any]:
    eta, expires = options.get("eta"), options.get("expires")
    stamped, stamps = options.get("stamped_headers"), options.get("stamps")
    return {
        "lang": "py",
        "task": task,
        "id": None,
        "shadow": options.get("shadow"),
        "eta": format_iso(eta) if eta is not None else None,
        "expires": format_iso(expires) if expires is not None else None,
        "group": options.get("group"),
        "group_index": None,
        "retries": options.get("retries", 0),
        "timelimit": [options.get("time_limit"), options.get("soft_time_limit")],
        "root_id": None,
        "parent_id": options.get("parent_id"),
        "argsrepr": None,
        "kwargsrepr": None,
        "origin": options.get("origin") or process_name(),
        "ignore_result": options.get("ignore_result"),
        "replaced_task_nesting": options.get("replaced_task_nesting", 0),
        "stamped_headers": list(stamped) if stamped is not None else None,
        "stamps": checked_json(stamps, "stamps") if stamps else {},
    }


def _common_properties(options: MessageOptions) -> dict[str, Any]:
    properties: dict[str, Any] = {"correlation_id": None, "reply_to": options.get("reply_to") or ""}
    further = options.get("properties")
    if further:
        properties.update(checked_json(further, "properties"))
    properties["delivery_mode"] = options.get("delivery_mode", PERSISTENT)
    expires = options.get("expires")
    # RabbitMQ drops what has expired without a word. A chord would wait for its member for ever, and who waits for a
    # chain, too: such a message must get to a worker, which says what has become of it.
    if expires is not None and not (options.get("chord") or options.get("chain")):
        properties["expiration"] = expiration(expires, options.get("now"))
    properties["priority"] = options.get("priority") or 0
    return properties
