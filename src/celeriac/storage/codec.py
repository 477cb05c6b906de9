"""How headers, properties and histories are stored: as JSON, so that a store can be read by eye.

Owns the fallbacks for what msgspec refuses. Knows nothing of tasks: a head is two dictionaries.
"""

from __future__ import annotations

import json
from typing import Any, TypeAlias

import msgspec

from celeriac.exceptions import DecodeError, EncodeError
from celeriac.message import MAX_PRIORITY, MIN_PRIORITY, Loss, Message

Head: TypeAlias = tuple[dict[str, Any], dict[str, Any]]

_encoder = msgspec.json.Encoder()
_head_decoder = msgspec.json.Decoder(tuple[dict[str, Any], dict[str, Any]])
_history_decoder = msgspec.json.Decoder(tuple[Loss, ...])


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


def decode_head(blob: bytes) -> Head:
    """The inverse of `encode_head`.

    Raises:
        DecodeError: the stored bytes are not what `encode_head` writes.
    """
    try:
        return _head_decoder.decode(blob)
    except (ValueError, msgspec.DecodeError):
        pass  # what json.dumps wrote
    try:
        headers, properties = json.loads(blob)
    except (TypeError, ValueError) as exc:
        raise DecodeError(f"a stored message's headers are not readable: {exc}") from exc
    if not isinstance(headers, dict) or not isinstance(properties, dict):
        raise DecodeError(f"a stored message's headers are not two dictionaries but {blob[:60]!r}")
    return headers, properties


def encode_history(history: tuple[Loss, ...]) -> bytes | None:
    """Losses as JSON, or None for an empty history: nearly all are, and NULL costs nothing."""
    return _encoder.encode(history) if history else None


def decode_history(blob: bytes | None) -> tuple[Loss, ...]:
    """The inverse of `encode_history`."""
    return _history_decoder.decode(blob) if blob else ()


def priority_level(priority: int) -> int:
    """The level at which a message of this priority is stored: the nearest one that exists."""
    return min(max(priority, MIN_PRIORITY), MAX_PRIORITY)
