"""Which serialisers there are, by name and by MIME type, and the gate that lets only accepted types be decoded."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Final, NamedTuple

from celeriac.exceptions import ContentDisallowed, DecodeError, EncodeError
from celeriac.serialization.json import decode_json, encode_json
from celeriac.serialization.msgpack import decode_msgpack, encode_msgpack
from celeriac.serialization.pickle import decode_pickle, encode_pickle
from celeriac.serialization.yaml import decode_yaml, encode_yaml
from celeriac.spelling import near_names

Encoder = Callable[[object], bytes]
Decoder = Callable[[bytes], Any]


class Encoded(NamedTuple):
    """A serialised value and how to read it."""

    content_type: str
    content_encoding: str
    body: bytes


class Codec(NamedTuple):
    """One serialiser: both directions and what it is called on the wire."""

    name: str
    content_type: str
    content_encoding: str
    encode: Encoder
    decode: Decoder


_BY_NAME: Final[dict[str, Codec]] = {}
_BY_CONTENT_TYPE: Final[dict[str, Codec]] = {}


def register(name: str, encode: Encoder, decode: Decoder, content_type: str, content_encoding: str = "utf-8") -> None:
    """Add a serialiser, or replace the one of that name.

    Args:
        name: what settings and options call it.
        encode: value to bytes; raises TypeError, ValueError or EncodeError.
        decode: bytes to value; raises ValueError, TypeError or DecodeError.
        content_type: MIME type on the wire.
        content_encoding: `utf-8` for text, `binary` otherwise.

    Example:
        >>> register("text", lambda value: str(value).encode(), bytes.decode, "text/plain")
    """
    codec = Codec(name, content_type, content_encoding, encode, decode)
    _BY_NAME[name] = codec
    _BY_CONTENT_TYPE[content_type] = codec


def codec_of(serializer: str) -> Codec:
    """Return the codec of a name or MIME type.

    Raises:
        EncodeError: no such serialiser.
    """
    codec = _BY_NAME.get(serializer) or _BY_CONTENT_TYPE.get(serializer)
    if codec is None:
        near = near_names(serializer, _BY_NAME)
        guess = f"did you mean {near[0]!r}? There" if near else "there"
        raise EncodeError(f"no serializer {serializer!r}: {guess} are {', '.join(_BY_NAME)}")
    return codec


def content_type_of(serializer: str) -> str:
    """Return the MIME type of a serialiser (or of a MIME type, itself).

    Raises:
        EncodeError: no such serialiser.

    Example:
        >>> content_type_of("json")
        'application/json'
    """
    return codec_of(serializer).content_type


def serializer_names() -> tuple[str, ...]:
    """Return the names of all serialisers, in the order of their registration."""
    return tuple(_BY_NAME)


def encode(value: object, serializer: str = "json") -> Encoded:
    """Serialise `value`.

    Args:
        value: what to serialise.
        serializer: a name such as `json`, or a MIME type.

    Raises:
        EncodeError: no such serialiser, a value it has no form for, or its library is missing.

    Example:
        >>> encode({"a": (1, 2)}).body
        b'{"a": [1, 2]}'
    """
    codec = codec_of(serializer)
    return Encoded(codec.content_type, codec.content_encoding, encode_with(codec, value))


def encode_with(codec: Codec, value: object) -> bytes:
    """Serialise `value` by a codec that was looked up before.

    Raises:
        EncodeError: a value it has no form for, or its library is missing.
    """
    try:
        return codec.encode(value)
    except EncodeError:
        raise
    except RecursionError as error:
        raise EncodeError(
            f"a value contains itself or is nested too deeply for {codec.name}: send plain data"
        ) from error
    except Exception as error:
        raise EncodeError(f"{type(error).__name__}: {error}") from error


def decode(body: bytes, content_type: str, content_encoding: str, *, accept: Collection[str]) -> Any:
    """Deserialise `body`.

    Args:
        body: what was received, decompressed.
        content_type: its MIME type; it must match exactly, as Celery has it.
        content_encoding: `utf-8`, `binary` or empty. The content type alone decides how the body is read.
        accept: the names or MIME types that may be read.

    Raises:
        ContentDisallowed: the content type is not accepted.
        DecodeError: the body is not of that type.

    Example:
        >>> decode(b"[1, 2]", "application/json", "utf-8", accept=["json"])
        [1, 2]
    """
    codec = accepted_codec(content_type, accept)
    try:
        return codec.decode(body)
    except DecodeError:
        raise
    except RecursionError as error:
        raise DecodeError(f"the {codec.name} body is nested too deeply") from error
    except Exception as error:  # a registered decoder may raise anything
        encoding = f" ({content_encoding})" if content_encoding else ""
        raise DecodeError(f"the body is not valid {codec.name}{encoding}: {error}") from error


def accepted_codec(content_type: str, accept: Collection[str]) -> Codec:
    """Return what reads bodies of this type.

    Raises:
        ContentDisallowed: the content type is not accepted.
    """
    codec = _BY_CONTENT_TYPE.get(content_type)
    if codec is None or not (codec.name in accept or content_type in accept):
        raise ContentDisallowed(_disallowed(content_type, accept))
    return codec


def _disallowed(content_type: str, accept: Collection[str]) -> str:
    accepted = ", ".join(sorted(accept)) or "nothing"
    text = f"content type {content_type!r} is not accepted (accept_content: {accepted})"
    bare = content_type.partition(";")[0].strip()
    if bare != content_type and bare in _BY_CONTENT_TYPE:
        return f"{text}; it has parameters, the sender must write exactly {bare!r}"
    codec = _BY_CONTENT_TYPE.get(content_type)
    if codec is None:
        return f"{text}; no such serialiser is registered"
    return f"{text}; if its senders are trusted, add {codec.name!r} to accept_content"


register("json", encode_json, decode_json, "application/json")
register("msgpack", encode_msgpack, decode_msgpack, "application/x-msgpack", "binary")
register("yaml", encode_yaml, decode_yaml, "application/x-yaml")
register("pickle", encode_pickle, decode_pickle, "application/x-python-serialize", "binary")
