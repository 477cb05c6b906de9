"""Properties of messages as bytes and back, as py-amqp writes and reads them, in less than half the time.

The types on the wire are py-amqp's choice among those that RabbitMQ knows; Celery's messages have them, too. Values of
rarer types are left to py-amqp itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from struct import Struct
from typing import Any, Final

_SIZE: Final = Struct(">I")
_INT: Final = Struct(">i")
_LONG: Final = Struct(">q")
_DOUBLE: Final = Struct(">d")
_TEXT: Final = Struct(">cI")
_SMALL: Final = Struct(">ci")
_LARGE: Final = Struct(">cq")
_FLOAT: Final = Struct(">cd")
_TIMESTAMP: Final = Struct(">Q")
_FLAGS: Final = Struct(">H")
#: What py-amqp writes as 32 bits.
_LEAST_SMALL: Final = -2_147_483_647
_MOST_SMALL: Final = 2_147_483_647

# In the order of the specification; each has the next lower bit of the flags, from the highest down.
_PROPERTIES: Final = (
    "content_type",
    "content_encoding",
    "application_headers",
    "delivery_mode",
    "priority",
    "correlation_id",
    "reply_to",
    "expiration",
    "message_id",
    "timestamp",
    "type",
    "user_id",
    "app_id",
    "cluster_id",
)
_BYTES: Final = frozenset({"delivery_mode", "priority"})


class Unusual(Exception):
    """A value is of a type that is neither written nor read here."""


def encode_properties(properties: Mapping[str, Any]) -> bytes:
    """Flags and values of a header frame.

    Raises:
        Unusual: one is of a rarer type.
        Exception: one has no form in AMQP.

    Example:
        >>> encode_properties({"priority": 3, "application_headers": {"a": True}})
        b'(\\x00\\x00\\x00\\x00\\x04\\x01at\\x01\\x03'
    """
    flags, bit = 0, 0x8000
    out: list[bytes] = [b""]
    for name in _PROPERTIES:
        value = properties.get(name)
        if value is not None:
            flags |= bit
            if name == "application_headers":
                _put_table(out, value)
            elif name in _BYTES:
                out.append(bytes((value,)))
            elif name == "timestamp":
                out.append(_TIMESTAMP.pack(value))
            else:
                out.append(_short_text(value))
        bit >>= 1
    out[0] = _FLAGS.pack(flags)
    return b"".join(out)


def _short_text(value: object) -> bytes:
    if type(value) is not str:
        raise Unusual
    encoded = value.encode("utf-8", "surrogatepass")
    return bytes((len(encoded),)) + encoded


#: Of headers there are few names.
_name = lru_cache(maxsize=512)(_short_text)


def _put_table(out: list[bytes], table: Any) -> None:
    if type(table) is not dict:
        raise Unusual
    inner: list[bytes] = []
    for name, value in table.items():
        inner.append(_name(name))
        _put_value(inner, value)
    _put_sized(out, inner)


def _put_array(out: list[bytes], values: Any) -> None:
    inner: list[bytes] = []
    for value in values:
        _put_value(inner, value)
    _put_sized(out, inner)


def _put_sized(out: list[bytes], inner: list[bytes]) -> None:
    data = b"".join(inner)
    out.append(_SIZE.pack(len(data)))
    out.append(data)


def _put_value(out: list[bytes], value: Any) -> None:
    """By exact types, the frequent ones first: subclasses may have forms of their own."""
    kind = type(value)
    if kind is str:
        encoded = value.encode("utf-8", "surrogatepass")
        out.append(_TEXT.pack(b"S", len(encoded)))
        out.append(encoded)
    elif value is None:
        out.append(b"V")
    elif kind is int:
        if _LEAST_SMALL <= value <= _MOST_SMALL:
            out.append(_SMALL.pack(b"I", value))
        else:
            out.append(_LARGE.pack(b"L", value))
    elif kind is bool:
        out.append(b"t\x01" if value else b"t\x00")
    elif kind is dict:
        out.append(b"F")
        _put_table(out, value)
    elif kind is list or kind is tuple:
        out.append(b"A")
        _put_array(out, value)
    elif kind is float:
        if not math.isfinite(value):
            raise ValueError("RabbitMQ ends a connection over a header that is no finite number")
        out.append(_FLOAT.pack(b"d", value))
    else:
        raise Unusual


def decode_properties(data: bytes, at: int) -> tuple[dict[str, Any], int]:
    """The inverse of `encode_properties`: what begins at `at`, and where it ends.

    Raises:
        Unusual: one is of a rarer type.
        UnicodeDecodeError: a text is none in UTF-8.
        Exception: this is no such thing.

    Example:
        >>> decode_properties(b'(\\x00\\x00\\x00\\x00\\x04\\x01at\\x01\\x03', 0)
        ({'application_headers': {'a': True}, 'priority': 3}, 11)
    """
    (flags,) = _FLAGS.unpack_from(data, at)
    if flags & 0b11:  # one that is not in the specification, or more flags
        raise Unusual
    at += 2
    found: dict[str, Any] = {}
    bit = 0x8000
    for name in _PROPERTIES:
        if flags & bit:
            if name == "application_headers":
                found[name], at = _get_table(data, at)
            elif name in _BYTES:
                found[name] = data[at]
                at += 1
            elif name == "timestamp":
                (found[name],) = _TIMESTAMP.unpack_from(data, at)
                at += 8
            else:
                end = at + 1 + data[at]
                found[name] = _text(data[at + 1 : end])
                at = end
        bit >>= 1
    return found, at


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


#: Of headers there are few names.
_read_name = lru_cache(maxsize=512)(_text)


def _get_table(data: bytes, at: int) -> tuple[dict[str, Any], int]:
    at += 4
    end = at + _SIZE.unpack_from(data, at - 4)[0]
    table: dict[str, Any] = {}
    while at < end:
        begin = at + 1
        at = begin + data[at]
        table[_read_name(data[begin:at])], at = _get_value(data, at)
    return table, at


def _get_array(data: bytes, at: int) -> tuple[list[Any], int]:
    at += 4
    end = at + _SIZE.unpack_from(data, at - 4)[0]
    values: list[Any] = []
    while at < end:
        value, at = _get_value(data, at)
        values.append(value)
    return values, at


def _get_value(data: bytes, at: int) -> tuple[Any, int]:
    """By its letter, the frequent ones first."""
    kind, at = data[at], at + 1
    if kind == 0x53:  # S, text or bytes
        begin = at + 4
        at = begin + _SIZE.unpack_from(data, at)[0]
        return _text(data[begin:at]), at
    if kind == 0x56:  # V, nothing
        return None, at
    if kind == 0x49:  # I, 32 bits
        return _INT.unpack_from(data, at)[0], at + 4
    if kind == 0x74:  # t, a truth value
        return data[at] != 0, at + 1
    if kind == 0x46:  # F, a table
        return _get_table(data, at)
    if kind == 0x41:  # A, an array
        return _get_array(data, at)
    if kind == 0x64:  # d, a float
        return _DOUBLE.unpack_from(data, at)[0], at + 8
    if kind in {0x4C, 0x6C}:  # L and l, 64 bits
        return _LONG.unpack_from(data, at)[0], at + 8
    raise Unusual
