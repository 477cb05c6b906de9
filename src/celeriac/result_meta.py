"""The result meta: what Celery stores of a task, `{"status": ..., "result": ..., "traceback": ..., ...}`, as bytes.

Owns its fields, their order and the mark of compression. Knows nothing of backends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from celeriac.exceptions import DecodeError, EncodeError
from celeriac.outcome import ResultRecord
from celeriac.protocol.times import format_iso
from celeriac.remote_errors import exception_from_meta, exception_to_meta, wire_name
from celeriac.serialization import (
    compress,
    content_type_of,
    decode,
    decompress,
    encode,
    find_offender,
)
from celeriac.serialization.json import decode_json
from celeriac.serialization.unread import Unread
from celeriac.states import EXCEPTION_STATES, FAILURE

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

__all__ = [
    "decode_body",
    "decode_meta",
    "decode_part",
    "encode_body",
    "encode_meta",
    "encode_part",
    "exception_from_meta",
    "exception_to_meta",
    "failure_record",
    "join_compressed",
    "split_compressed",
    "traceback_text",
]

#: Before a compressed meta, followed by the MIME type and a NUL.
_COMPRESSED: Final = b"\x00celery-compressed\x00"
_DEFAULT_INFLATED_LIMIT: Final = 128 * 1024 * 1024
#: A traceback longer than this is cut in the middle; a chain of exceptions has no bound of its own.
_MAX_TRACEBACK: Final = 64 * 1024


def encode_meta(
    *,
    task_id: str,
    status: str,
    result: object,
    traceback: str | None = None,
    children: Sequence[Any] | None = None,
    date_done: datetime | None = None,
    group_id: str | None = None,
    parent_id: str | None = None,
    extended: Mapping[str, Any] | None = None,
    serializer: str = "json",
    compression: str | None = None,
) -> bytes:
    """Return the meta of a task, encoded, its fields in Celery's order.

    Args:
        task_id: whose result it is.
        status: its state.
        result: the value; in the states FAILURE, RETRY and REVOKED an exception (or None).
        traceback: text, or None.
        children: result tuples of the tasks it sent.
        date_done: when it was done; None for states that are not final.
        group_id: its group, left out if None.
        parent_id: the task that sent it, left out if None.
        extended: further fields (`name`, `args`, `worker`, ...) for `result_extended`.
        serializer: `result_serializer`.
        compression: `result_compression`.

    Raises:
        EncodeError: the result can not be serialised; the text names what of it.

    Example:
        >>> encode_meta(task_id="1", status="SUCCESS", result=5, children=[])
        b'{"status": "SUCCESS", "result": 5, "traceback": null, "children": [], "date_done": null, "task_id": "1"}'
    """
    if isinstance(result, BaseException) and status in EXCEPTION_STATES:
        result = _stored_exception(result, serializer)
    meta: dict[str, Any] = {
        "status": status,
        "result": result,
        "traceback": traceback,
        "children": children,
        "date_done": format_iso(date_done) if date_done is not None else None,
    }
    if group_id is not None:
        meta["group_id"] = group_id
    if parent_id is not None:
        meta["parent_id"] = parent_id
    if extended:
        meta.update(extended)
    meta["task_id"] = task_id
    try:
        body = encode(meta, serializer).body
    except EncodeError as error:
        # The codec's own error would only say the same in other words, with frames that are all ours.
        raise EncodeError(find_offender(result, serializer, "the result") or str(error)) from None
    return _compressed(body, compression)


def encode_group(stored: Sequence[Any], *, serializer: str = "json", compression: str | None = None) -> bytes:
    """Return what is kept of a saved group.

    Args:
        stored: its result tuple, `((id, parent), members)`.
        serializer: `result_serializer`.
        compression: `result_compression`.

    Raises:
        EncodeError: it can not be serialised.

    Example:
        >>> encode_group((("g", None), [(("t", None), None)]))
        b'{"result": [["g", null], [[["t", null], null]]]}'
    """
    return _compressed(encode({"result": stored}, serializer).body, compression)


def _compressed(body: bytes, compression: str | None) -> bytes:
    if compression is None:
        return body
    compressed, mime = compress(body, compression)
    return join_compressed(mime, compressed)


def join_compressed(mime: str, compressed: bytes) -> bytes:
    """Return a compressed meta as it is stored: behind a mark and the MIME type of its compression."""
    return _COMPRESSED + mime.encode("ascii", "replace") + b"\x00" + compressed


def split_compressed(meta: bytes) -> tuple[str | None, bytes]:
    """Return the MIME type of a meta's compression and the rest; None and all of it if it is not compressed."""
    if not meta.startswith(_COMPRESSED):
        return None, meta
    mime, _, compressed = meta[len(_COMPRESSED) :].partition(b"\x00")
    return mime.decode("ascii", "replace"), compressed


def decode_meta(
    meta: bytes,
    *,
    serializer: str = "json",
    accept: Collection[str],
    inflated_size_limit: int = _DEFAULT_INFLATED_LIMIT,
) -> dict[str, Any]:
    """Return the fields of a stored meta; the result of an exception state is an exception.

    The fields that Celery always writes are there, with None for a missing one.

    Args:
        meta: what was stored.
        serializer: `result_serializer`; nothing in the bytes says which it was.
        accept: serialisers that may be decoded (`result_accept_content`).
        inflated_size_limit: bytes that a compressed meta may inflate to.

    Raises:
        ContentDisallowed: `serializer` is not accepted.
        DecodeError: the bytes are not a meta of that serialiser.
        MessageTooLarge: it inflates to more than the limit.
    """
    fields = _decoded(meta, serializer, accept, inflated_size_limit)
    if not isinstance(fields, dict) or not isinstance(fields.get("status"), str):
        raise DecodeError(f"what is stored is no task result: {fields!r:.100}")
    for name in ("result", "traceback", "children", "date_done", "task_id"):
        fields.setdefault(name, None)
    if fields["status"] in EXCEPTION_STATES and fields["result"] is not None:
        fields["result"] = exception_from_meta(fields["result"])
    return fields


def encode_part(task_id: str, status: str, result: object, serializer: str = "json") -> bytes:
    """Return what a member of a chord's header has come to, as Celery keeps it until the header is complete.

    Raises:
        EncodeError: the result can not be serialised; the text names what of it.

    Example:
        >>> encode_part("1", "SUCCESS", 5)
        b'[1, "1", "SUCCESS", 5]'
    """
    if isinstance(result, BaseException) and status in EXCEPTION_STATES:
        result = _stored_exception(result, serializer)
    try:
        return encode([1, task_id, status, result], serializer).body
    except EncodeError as error:
        raise EncodeError(find_offender(result, serializer, "the result") or str(error)) from None


def decode_part(part: bytes, *, serializer: str = "json", accept: Collection[str]) -> tuple[str, str, Any]:
    """Return a member's id, state and result; that of an exception state is an exception.

    Args:
        part: what `encode_part` or Celery made.
        serializer: `result_serializer`.
        accept: serialisers that may be decoded.

    Raises:
        ContentDisallowed: `serializer` is not accepted.
        DecodeError: the bytes are no part of a chord.
    """
    fields = decode(part, content_type_of(serializer), "", accept=accept)
    match fields:
        case [_, str(task_id), str(status), result]:
            if status in EXCEPTION_STATES and result is not None:
                result = exception_from_meta(result)
            return task_id, status, result
    raise DecodeError(f"what is stored is no part of a chord: {fields!r:.100}")


def decode_group(
    meta: bytes,
    *,
    serializer: str = "json",
    accept: Collection[str],
    inflated_size_limit: int = _DEFAULT_INFLATED_LIMIT,
) -> Sequence[Any]:
    """Return the result tuple of a saved group.

    Args and errors are those of `decode_meta`.

    Example:
        >>> decode_group(b'{"result": [["g", null], []]}', accept=["json"])
        [['g', None], []]
    """
    fields = _decoded(meta, serializer, accept, inflated_size_limit)
    stored = fields.get("result") if isinstance(fields, dict) else None
    if not isinstance(stored, list | tuple):
        raise DecodeError(f"what is stored is no group: {fields!r:.100}")
    return stored


def _decoded(meta: bytes, serializer: str, accept: Collection[str], inflated_size_limit: int) -> Any:
    mime, meta = split_compressed(meta)
    if mime is not None:
        meta = decompress(meta, mime, limit=inflated_size_limit)
    return decode(meta, content_type_of(serializer), "", accept=accept)


def encode_body(body: Mapping[str, Any] | Unread, serializer: str) -> bytes:
    """Return the body of a chord as a store keeps it: JSON, or marked with its serialiser where it has no JSON form.

    Raises:
        EncodeError: it can not be serialised.
    """
    if isinstance(body, Unread):
        return body.json
    try:
        return encode(body, "json").body
    except EncodeError as error:
        serializer = (body.get("options") or {}).get("serializer") or serializer  # the one that it will be sent with
        if serializer in ("json", "application/json"):
            raise EncodeError(find_offender(body, "json", "the body of the chord") or str(error)) from None
        return b"\x00" + serializer.encode() + b"\x00" + encode(body, serializer).body


def decode_body(stored: bytes, accept: Collection[str]) -> dict[str, Any]:
    """Return the signature that `encode_body` was given.

    Args:
        stored: the bytes.
        accept: serialisers that may be decoded; JSON always is.

    Raises:
        ContentDisallowed: its serialiser is not accepted.
        DecodeError: the bytes are no signature.
    """
    if stored[:1] != b"\x00":
        body: Any = decode_json(stored)
    else:
        name, _, rest = stored[1:].partition(b"\x00")
        body = decode(rest, content_type_of(name.decode()), "", accept=accept)
    if not isinstance(body, dict):
        raise DecodeError(f"what is stored is no signature: {body!r:.100}")
    return body


def failure_record(
    task_id: str,
    exc: BaseException,
    *,
    now: datetime,
    ttl: float | None,
    traceback: str | None = None,
    status: str = FAILURE,
    serializer: str = "json",
    reply_to: str | None = None,
) -> ResultRecord:
    """Return the record of a failure that no attempt reports itself: worker lost, hard limit, revoked, not registered.

    Args:
        task_id: whose result it is.
        exc: what went wrong.
        now: when.
        ttl: seconds to keep it, or None for ever.
        traceback: text, if there is one.
        status: FAILURE or REVOKED.
        serializer: `result_serializer`.
        reply_to: the queue that the sender named for the result.
    """
    meta = encode_meta(
        task_id=task_id,
        status=status,
        result=exc,
        traceback=traceback,
        children=[],
        date_done=now,
        serializer=serializer,
    )
    return ResultRecord(task_id, status, meta, ttl, reply_to)


def traceback_text(exc: BaseException) -> str:
    """Return the traceback of an exception as Python prints it, cut in the middle when it is very long."""
    from traceback import format_exception  # noqa: PLC0415 - start-up time

    text = "".join(format_exception(exc))
    if len(text) <= _MAX_TRACEBACK:
        return text
    half = _MAX_TRACEBACK // 2
    return f"{text[:half]}\n  ... {len(text) - 2 * half} characters left out ...\n{text[-half:]}"


def _stored_exception(exc: BaseException, serializer: str) -> object:
    """Return what stands for an exception in a meta: as data, or as it is where pickle can carry it."""
    if serializer == "pickle" and wire_name(type(exc))[0] == type(exc).__module__ and _survives_pickle(exc):
        return exc
    return exception_to_meta(exc, serializer)


def _survives_pickle(exc: BaseException) -> bool:
    """Many exceptions can be pickled and not unpickled: their constructor wants other arguments than they hold."""
    import pickle  # noqa: PLC0415 - start-up time

    try:
        pickle.loads(pickle.dumps(exc))
    except Exception:  # noqa: BLE001 - reducers and constructors are user code and may raise anything
        return False
    return True
