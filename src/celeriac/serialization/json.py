"""JSON as kombu speaks it: plain JSON, and envelopes `{"__type__": ..., "__value__": ...}` for some more types.

Owns the two directions and nothing else. Written by the standard library, so that `Infinity`, `NaN`, key coercion and
refusals are what a Celery peer expects; read by msgspec where that gives the same value, by the standard library else.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import sys
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Any, Final

import msgspec

from celeriac.exceptions import DecodeError

if TYPE_CHECKING:
    from collections.abc import Callable

_TYPE_KEY: Final = "__type__"
_VALUE_KEY: Final = "__value__"
_ENVELOPE_KEYS: Final = frozenset({_TYPE_KEY, _VALUE_KEY})

#: An escape that could spell one of the letters of `__type__` (0x5f, 0x65, 0x70, 0x74, 0x79).
_ESCAPED_LETTER: Final = re.compile(rb"\\u00[567]")


def encode_json(value: object) -> bytes:
    """Return `value` as JSON bytes, with `", "` and `": "` between items and non-ASCII escaped, as kombu writes it.

    Raises:
        TypeError: a type that JSON has no form for.
        ValueError: an integer of more digits than Python converts.
        RecursionError: a value that contains itself, or is nested too deeply.
    """
    return _ENCODER.encode(value).encode("ascii")


def decode_json(body: bytes) -> Any:
    """Return the value of a JSON body, envelopes replaced by what they hold.

    Raises:
        DecodeError: an envelope of an unknown type or with a value that can not be one.
        ValueError: not JSON.
        RecursionError: nested too deeply.

    Example:
        >>> decode_json(b'[{"__type__": "date", "__value__": "2026-01-02"}]')
        [datetime.date(2026, 1, 2)]
    """
    if not may_hold_envelopes(body):
        try:
            return _FAST_DECODER.decode(body)
        except (msgspec.DecodeError, ValueError):
            pass  # NaN, Infinity, lone surrogates, 1e400: the standard library takes them; it also words the error
    return json.loads(str(body, "utf-8"), object_hook=_open_envelope)


def may_hold_envelopes(body: bytes) -> bool:
    """Some value in it may be another than plain JSON has."""
    return b"__type__" in body or (b"\\u00" in body and _ESCAPED_LETTER.search(body) is not None)


def _write_other(value: object) -> object:
    """Give the JSON form of what the encoder does not know by itself."""
    reducer: Callable[[], object] | None = getattr(value, "__json__", None)
    if reducer is not None:
        return reducer()
    if isinstance(value, datetime):  # before date: a datetime is a date
        return _envelope("datetime", value.isoformat())
    if isinstance(value, date):
        return _envelope("date", value.isoformat())
    if isinstance(value, time):
        return _envelope("time", value.isoformat())
    if isinstance(value, bytes):
        try:
            return _envelope("bytes", value.decode("utf-8"))
        except UnicodeDecodeError:
            return _envelope("base64", base64.b64encode(value).decode("ascii"))
    return _write_rare(value)


def _write_rare(value: object) -> object:
    from decimal import Decimal  # noqa: PLC0415 - start-up time
    from uuid import UUID  # noqa: PLC0415 - start-up time

    if isinstance(value, Decimal):
        return _envelope("decimal", str(value))
    if isinstance(value, UUID):
        return _envelope("uuid", {"hex": value.hex})
    if _is_lazy_text(value):
        return str(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def _is_lazy_text(value: object) -> bool:
    """Django's translated texts are written as text, as kombu does; they can only exist where Django is imported."""
    module = sys.modules.get("django.utils.functional")
    return module is not None and isinstance(value, module.Promise)


def _envelope(name: str, value: object) -> dict[str, object]:
    return {_TYPE_KEY: name, _VALUE_KEY: value}


def _open_envelope(fields: dict[str, Any]) -> Any:
    if fields.keys() != _ENVELOPE_KEYS:
        return fields
    name, value = fields[_TYPE_KEY], fields[_VALUE_KEY]
    opener = _OPENERS.get(name) if isinstance(name, str) else None
    if opener is None:
        known = ", ".join(_OPENERS)
        raise DecodeError(
            f"unknown __type__ {name!r} in the JSON body (known: {known}): "
            "the sender registered a type of its own with kombu, which only its own peers can read"
        )
    try:
        return opener(value)
    except (ValueError, TypeError, ArithmeticError) as error:
        raise DecodeError(f"{value!r:.200} is no value for __type__ {name!r}: {error}") from error


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    raise TypeError(f"expected text, got {type(value).__name__}")


def _open_date(value: object) -> date:
    return datetime.fromisoformat(_text(value)).date()


def _open_base64(value: object) -> bytes:
    try:
        return base64.b64decode(_text(value).encode("ascii"))
    except binascii.Error as error:
        raise ValueError(str(error)) from error


def _open_decimal(value: object) -> object:
    from decimal import Decimal  # noqa: PLC0415 - start-up time

    return Decimal(_text(value))


def _open_uuid(value: object) -> object:
    from uuid import UUID  # noqa: PLC0415 - start-up time

    return UUID(hex=_text(value["hex"] if isinstance(value, dict) and "hex" in value else value))


_OPENERS: Final[dict[str, Callable[[object], object]]] = {
    "datetime": lambda value: datetime.fromisoformat(_text(value)),
    "date": _open_date,
    "time": lambda value: time.fromisoformat(_text(value)),
    "uuid": _open_uuid,
    "decimal": _open_decimal,
    "bytes": lambda value: _text(value).encode("utf-8"),
    "base64": _open_base64,
}

# Without the circularity check: it costs a dict per call, and a circle ends in a RecursionError just as well.
_ENCODER: Final = json.JSONEncoder(check_circular=False, default=_write_other)
_FAST_DECODER: Final[msgspec.json.Decoder[Any]] = msgspec.json.Decoder()
