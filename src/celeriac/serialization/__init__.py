"""Serialisers and compression: Python values to bytes and back, under the names and MIME types that kombu uses.

Owns the codecs and the rule that a content type is decoded only when it is accepted. Knows nothing of tasks, headers or
brokers.
"""

from __future__ import annotations

from celeriac.serialization.compression import compress, compression_names, decompress
from celeriac.serialization.offender import find_offender
from celeriac.serialization.registry import (
    Encoded,
    content_type_of,
    decode,
    encode,
    register,
    serializer_names,
)

__all__ = [
    "Encoded",
    "compress",
    "compression_names",
    "content_type_of",
    "decode",
    "decompress",
    "encode",
    "find_offender",
    "register",
    "serializer_names",
]
