"""Reads task messages: protocol 2, protocol 1, and the mixture that some senders write.

Takes what a Celery worker takes. What makes a Celery worker die or loop (a missing id, a body of two elements, ...) is
an `InvalidTaskError` that says what is wrong, so that the message can be kept and the worker goes on.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from celeriac.exceptions import InvalidTaskError
from celeriac.message import OWN_HEADER_PREFIX, Message
from celeriac.protocol.reprs import safe_repr
from celeriac.protocol.times import parse_iso
from celeriac.serialization import decode, decompress
from celeriac.serialization.json import decode_json, may_hold_envelopes
from celeriac.serialization.registry import accepted_codec
from celeriac.serialization.unread import Unread, UnreadList, read

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

#: The headers of protocol 2 with what a missing one means.
HEADER_DEFAULTS: Final[dict[str, Any]] = {
    "lang": "py",
    "task": None,
    "id": None,
    "shadow": None,
    "eta": None,
    "expires": None,
    "group": None,
    "group_index": None,
    "retries": 0,
    "timelimit": [None, None],
    "root_id": None,
    "parent_id": None,
    "argsrepr": None,
    "kwargsrepr": None,
    "origin": None,
    "ignore_result": None,
    "replaced_task_nesting": 0,
    "stamped_headers": None,
    "stamps": {},
}
#: Headers that describe one transmission rather than the task.
_PASSING: Final = frozenset({"compression", "redelivered"})
_TEXTS: Final = ("shadow", "group", "root_id", "parent_id", "argsrepr", "kwargsrepr", "origin")
#: A time limit beyond this (some 3000 years, in seconds) is a mistake, and infinity no number for a timer.
_LONGEST: Final = 1e11
_NO_LIMITS: Final[list[float | None]] = [None, None]


class Invocation(msgspec.Struct):
    """A task message, read.

    Attributes:
        task: name of the task.
        id: task id.
        args: positional arguments.
        kwargs: keyword arguments.
        headers: all 19 headers of protocol 2, whatever the message's protocol was, missing ones by their defaults.
        custom: the sender's own headers.
        callbacks: signatures to send on success.
        errbacks: signatures to send on failure.
        chain: signatures that follow, last first; as they came where that was JSON.
        chord: signature of the chord's body, likewise.
        eta: not to be run before; aware.
        expires: not to be run after; aware.
        retries: how often it was retried.
        time_limit: hard time limit of the message in seconds.
        soft_time_limit: soft time limit of the message in seconds.
        protocol: 2 or 1.
    """

    task: str
    id: str
    args: list[Any]
    kwargs: dict[str, Any]
    headers: dict[str, Any]
    custom: dict[str, Any]
    callbacks: list[dict[str, Any]] | None = None
    errbacks: list[dict[str, Any]] | None = None
    chain: list[dict[str, Any]] | UnreadList | None = None
    chord: dict[str, Any] | Unread | None = None
    eta: datetime | None = None
    expires: datetime | None = None
    retries: int = 0
    time_limit: float | None = None
    soft_time_limit: float | None = None
    protocol: int = 2


def read_invocation(message: Message, *, accept: Collection[str], inflated_size_limit: int) -> Invocation:
    """Decode a task message.

    Args:
        message: what was received.
        accept: serialisers (names or MIME types) that may be decoded.
        inflated_size_limit: bytes that a compressed body may inflate to.

    Raises:
        InvalidTaskError: it is not a task message, or one of its fields can not be right.
        ContentDisallowed: its content type is not accepted.
        DecodeError: its body can not be decoded.
        MessageTooLarge: its body inflates to more than the limit.

    Example:
        >>> message = Message({"task": "add", "id": "1"}, {}, b"[[2, 3], {}, {}]")
        >>> read_invocation(message, accept=["json"], inflated_size_limit=1024).args
        [2, 3]
    """
    headers = message.headers or {}
    body = message.body
    mime = headers.get("compression")
    if mime is not None:
        body = decompress(body, _text(mime, "header 'compression'"), limit=inflated_size_limit)
    value = _decode(message, body, accept)
    if isinstance(value, dict):
        return _read_object(headers, value)
    if headers.get("task") is None:
        raise InvalidTaskError("not a task message: there is no header 'task', and the body is no protocol 1 object")
    if not isinstance(value, list | tuple) or len(value) != 3:
        raise InvalidTaskError(
            f"the body of a protocol 2 message must be [args, kwargs, embed], not {safe_repr(value, 100)}"
        )
    args, kwargs, embed = value
    return _build(headers, args, kwargs, embed)


class _Following(msgspec.Struct):
    """The third element of a body: what comes after the task."""

    callbacks: Any = None
    errbacks: Any = None
    chain: list[msgspec.Raw] | None = None
    chord: msgspec.Raw = msgspec.Raw(b"null")

    def links(self) -> dict[str, Any]:
        """The same as it is left to be read."""
        chain = UnreadList(self.chain) if self.chain is not None else None
        chord = Unread(self.chord) if memoryview(self.chord)[0] == _BRACE else decode_json(bytes(self.chord))
        return {"callbacks": self.callbacks, "errbacks": self.errbacks, "chain": chain, "chord": chord}


_body_decoder: Final = msgspec.json.Decoder(tuple[list[Any], dict[str, Any], _Following])
_BRACE: Final = ord("{")


def _decode(message: Message, body: bytes, accept: Collection[str]) -> Any:
    """The value of a body; of JSON what comes after the task is left unread."""
    codec = accepted_codec(message.content_type, accept)
    if codec.decode is decode_json and _is_utf8(body) and not may_hold_envelopes(body):
        try:
            args, kwargs, embed = _body_decoder.decode(body)
        except (msgspec.DecodeError, ValueError, RecursionError):
            pass  # nothing that is sent every day; below is found what it is
        else:
            return args, kwargs, embed
    return decode(body, message.content_type, message.content_encoding, accept=accept)


def _is_utf8(body: bytes) -> bool:
    """All of it, also what is left unread: damage is told of by whoever receives it, not a few steps later."""
    if body.isascii():  # nearly always: senders escape what is not
        return True
    try:
        str(body, "utf-8")
    except UnicodeDecodeError:
        return False
    return True


def header_expires(headers: Mapping[str, Any]) -> float | None:
    """Return the Unix time of the header `expires`, or None if it has none that can be read.

    Example:
        >>> header_expires({"expires": "1970-01-01T00:01:00Z"})
        60.0
    """
    return _time_of(headers.get("expires"))


def header_eta(headers: Mapping[str, Any]) -> float | None:
    """Return the Unix time of the header `eta`, or None if it has none that can be read."""
    return _time_of(headers.get("eta"))


def _time_of(text: Any) -> float | None:
    if text is None:
        return None
    try:
        return parse_iso(text).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None  # the attempt will say what is wrong with it


class _UsualHeaders(msgspec.Struct, forbid_unknown_fields=True):
    """All headers of protocol 2 and no other, each of its usual type: nothing is left to check but limits and times."""

    lang: str | None
    task: str
    id: str
    shadow: str | None
    eta: str | None
    expires: str | None
    group: str | None
    group_index: int | None
    retries: int
    timelimit: list[float | None]
    root_id: str
    parent_id: str | None
    argsrepr: str | None
    kwargsrepr: str | None
    origin: str | None
    ignore_result: bool | None
    replaced_task_nesting: int
    stamped_headers: list[str] | None
    stamps: dict[str, Any]


def _checked(headers: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The headers in their normal form, and the custom ones."""
    if len(headers) == len(HEADER_DEFAULTS) and type(headers) is dict:
        try:
            msgspec.convert(headers, _UsualHeaders)  # a sixth of the time of looking at each
        except msgspec.ValidationError:
            pass  # looked at one by one, to take what can be taken and to say what is wrong
        else:
            normal = headers.copy()
            normal["timelimit"] = _limits(normal["timelimit"])
            _text(normal["task"], "the task name")  # not empty
            _text(normal["id"], "the task id")
            return normal, {}
    normal = {name: headers.get(name, default) for name, default in HEADER_DEFAULTS.items()}
    _text(normal["task"], "the task name")
    _task_id(normal)
    _normalise(normal)
    return normal, _custom(headers)


def _build(headers: Mapping[str, Any], args: object, kwargs: object, embed: object) -> Invocation:
    """Check the fields of a message in protocol 2's form."""
    normal, custom = _checked(headers)
    if normal["argsrepr"] is None:
        normal["argsrepr"] = safe_repr(tuple(args) if isinstance(args, list) else args)
    if normal["kwargsrepr"] is None:
        normal["kwargsrepr"] = safe_repr(kwargs)
    hard, soft = normal["timelimit"]
    eta, expires = normal["eta"], normal["expires"]
    links = _embed(embed)
    return Invocation(
        normal["task"],
        normal["id"],
        _args(args),
        _kwargs(kwargs),
        normal,
        custom,
        links.get("callbacks"),
        links.get("errbacks"),
        links.get("chain"),
        links.get("chord"),
        _moment(eta, "eta") if eta is not None else None,
        _moment(expires, "expires") if expires is not None else None,
        normal["retries"],
        hard,
        soft,
    )


def _read_object(headers: Mapping[str, Any], body: dict[str, Any]) -> Invocation:
    """Read a body that is an object: protocol 1, or with the headers of protocol 2 the mixture."""
    embed = {name: body.get(name) for name in ("callbacks", "errbacks", "chord")}
    args, kwargs = body.get("args", []), body.get("kwargs", {})
    if headers.get("task") is not None:
        if "args" not in body and "kwargs" not in body:
            raise InvalidTaskError("the body is an object with neither args nor kwargs")
        return _build(headers, args, kwargs, embed)
    if body.get("task") is None:
        raise InvalidTaskError("not a task message: neither the headers nor the body name a task")
    fields = {name: body[name] for name in HEADER_DEFAULTS if name in body}
    if body.get("taskset") is not None:
        fields["group"] = body["taskset"]
    if body.get("utc", True) is False:
        _localise(fields)
    invocation = _build(fields, args, kwargs, embed)
    invocation.custom = _custom(headers)
    invocation.protocol = 1
    return invocation


def _localise(fields: dict[str, Any]) -> None:
    """`utc: false` of protocol 1: a time without an offset is local time, as far as this machine knows it."""
    for name in ("eta", "expires"):
        if fields.get(name) is not None:
            text = _text(fields[name], name)
            try:
                fields[name] = datetime.fromisoformat(text).astimezone().isoformat()
            except (ValueError, OverflowError) as error:
                raise InvalidTaskError(f"invalid {name} value {text!r}: {error}") from error


def _custom(headers: Mapping[str, Any]) -> dict[str, Any]:
    if headers.keys() <= HEADER_DEFAULTS.keys():
        return {}
    return {
        name: value
        for name, value in headers.items()
        if name not in HEADER_DEFAULTS and name not in _PASSING and not name.startswith(OWN_HEADER_PREFIX)
    }


def _normalise(normal: dict[str, Any]) -> None:
    """Check the headers' types; a null header means the same as a missing one."""
    retries = normal["retries"]
    if type(retries) is not int:
        normal["retries"] = _count(retries, "retries")
    nesting = normal["replaced_task_nesting"]
    if type(nesting) is not int:
        normal["replaced_task_nesting"] = _count(nesting, "replaced_task_nesting")
    normal["timelimit"] = _limits(normal["timelimit"])
    for name in _TEXTS:
        value = normal[name]
        if value is not None and type(value) is not str:
            normal[name] = _text(value, f"header {name!r}")
    if normal["root_id"] is None:
        normal["root_id"] = normal["id"]
    index = normal["group_index"]
    if index is not None and type(index) is not int:
        normal["group_index"] = _count(index, "group_index")
    normal["stamps"] = _stamps(normal["stamps"])
    stamped = normal["stamped_headers"]
    if stamped is not None and not _are(str, stamped):
        raise InvalidTaskError(f"header 'stamped_headers' must be a list of names, not {stamped!r:.100}")


def _task_id(normal: dict[str, Any]) -> None:
    task_id = normal["id"]
    if type(task_id) is int:  # Celery runs it and then fails to store its result
        task_id = normal["id"] = str(task_id)
    if task_id is None:
        raise InvalidTaskError(f"the message of task {normal['task']!r} has no id")
    _text(task_id, "the task id")


def _stamps(value: object) -> dict[str, Any]:
    if not value:
        return {}
    if isinstance(value, dict):
        return value
    raise InvalidTaskError(f"header 'stamps' must be an object, not {value!r:.100}")


def _text(value: object, what: str) -> str:
    if isinstance(value, str) and value:
        return value
    raise InvalidTaskError(f"{what} must be a text, not {value!r:.100}")


def _count(value: object, name: str) -> int:
    if value is None:
        return 0
    if isinstance(value, int | float | str):
        try:
            return int(value)
        except (ValueError, OverflowError):
            pass  # the error below names header and value
    raise InvalidTaskError(f"header {name!r} must be a number, not {value!r:.100}")


def _limits(value: object) -> list[float | None]:
    if value is None or value == _NO_LIMITS:
        return [None, None]
    if isinstance(value, list | tuple) and len(value) == 2:
        hard, soft = value
        if _is_limit(hard) and _is_limit(soft):
            return [hard, soft]
    raise InvalidTaskError(f"header 'timelimit' must be [hard, soft] in seconds or null, not {value!r:.100}")


def _is_limit(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _LONGEST)


def _moment(value: object, name: str) -> datetime:
    if not isinstance(value, str):
        raise InvalidTaskError(f"invalid {name} value {value!r:.100}: it must be ISO 8601 text")
    try:
        return parse_iso(value)
    except ValueError as error:
        raise InvalidTaskError(f"invalid {name} value {value!r:.100}: {error}") from error


def _args(value: object) -> list[Any]:
    if isinstance(value, list):
        return value
    if isinstance(value, tuple):
        return list(value)
    raise InvalidTaskError(f"task args must be a list, not {safe_repr(value, 100)}")


def _kwargs(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidTaskError(f"task kwargs must be a mapping, not {safe_repr(value, 100)}")
    for key in value:
        if type(key) is not str:
            raise InvalidTaskError(f"task kwargs must have text as keys, not {safe_repr(key, 100)}")
    return value


def _embed(value: object) -> dict[str, Any]:
    if value is None:
        return {}
    if isinstance(value, _Following):
        value = value.links()
    if not isinstance(value, dict):
        raise InvalidTaskError(f"the third element of the body must be an object, not {safe_repr(value, 100)}")
    for name in ("callbacks", "errbacks", "chain"):
        signatures = value.get(name)
        if signatures is not None and not _are(dict, signatures):
            raise InvalidTaskError(f"{name!r} must be a list of signatures, not {safe_repr(read(signatures), 100)}")
    chord = value.get("chord")
    if chord is not None and not isinstance(chord, dict | Unread):
        raise InvalidTaskError(f"'chord' must be a signature, not {safe_repr(chord, 100)}")
    return value


def _are(kind: type, value: object) -> bool:
    if isinstance(value, UnreadList):
        value = [*value[-1:]]  # the one that is next; the others are looked at in their turn
    return isinstance(value, list | tuple) and all(isinstance(item, kind) for item in value)
