"""MessagePack as kombu uses it: raw strings off, bytes as bin, no type that only one of the two sides would know.

msgspec would quietly write a set as an array and a datetime as an extension; Celery's peer refuses or misreads those,
so they are refused here, before they are sent.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from celeriac.exceptions import DecodeError

_SCALARS: Final = frozenset({str, int, float, bool, bytes, type(None)})


def encode_msgpack(value: object) -> bytes:
    """Return `value` as MessagePack.

    Raises:
        TypeError: a type that MessagePack has no form for, or a key that a peer would refuse.
        ValueError: a text with lone surrogates.
        OverflowError: an integer of more than 64 bits.
        RecursionError: a value that contains itself, or is nested too deeply.
    """
    return msgspec.msgpack.encode(_plain(value))


def decode_msgpack(body: bytes) -> Any:
    """Return the value of a MessagePack body.

    Raises:
        DecodeError: not MessagePack, or an extension type.
    """
    try:
        return _DECODER.decode(body)
    except (msgspec.DecodeError, ValueError, TypeError) as error:
        raise DecodeError(f"the body is not valid MessagePack: {error}") from error


def _plain(value: object) -> object:
    """Return `value` with nothing but plain types in it."""
    kind = type(value)
    if kind in _SCALARS:
        return value
    if kind is list or kind is tuple:
        return [_plain(item) for item in value]  # type: ignore[attr-defined]
    if isinstance(value, dict):
        return {_plain_key(key): _plain(item) for key, item in value.items()}
    return _plain_subclass(value)


def _plain_key(key: object) -> str | bytes:
    if isinstance(key, str):
        return str.__str__(key)
    if isinstance(key, bytes):
        return bytes(key)
    raise TypeError(f"keys must be text or bytes for msgpack, not {type(key).__name__}")


def _plain_subclass(value: object) -> object:
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, str):  # also the members of an enumeration that are texts or numbers
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    raise TypeError(f"Object of type {type(value).__name__} is not msgpack serializable")


def _refuse_extension(code: int, _data: memoryview) -> Any:
    raise ValueError(f"extension type {code} has no meaning here")


_DECODER: Final[msgspec.msgpack.Decoder[Any]] = msgspec.msgpack.Decoder(ext_hook=_refuse_extension)
