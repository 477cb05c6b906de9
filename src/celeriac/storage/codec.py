"""How histories and priorities are stored. How messages are is `celeriac.message.PackedMessage`'s."""

from __future__ import annotations

import msgspec

from celeriac.message import MAX_PRIORITY, MIN_PRIORITY, Loss

_encoder = msgspec.json.Encoder()
_history_decoder = msgspec.json.Decoder(tuple[Loss, ...])


def encode_history(history: tuple[Loss, ...]) -> bytes | None:
    """Losses as JSON, or None for an empty history: nearly all are, and NULL costs nothing."""
    return _encoder.encode(history) if history else None


def decode_history(blob: bytes | None) -> tuple[Loss, ...]:
    """The inverse of `encode_history`."""
    return _history_decoder.decode(blob) if blob else ()


def priority_level(priority: int) -> int:
    """The level at which a message of this priority is stored: the nearest one that exists."""
    return min(max(priority, MIN_PRIORITY), MAX_PRIORITY)
