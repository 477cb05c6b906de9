"""Compression under kombu's names and MIME types, and inflation that stops at a bound.

A body comes from elsewhere: a few hundred bytes can claim a gigabyte, so nothing is inflated past the limit.
"""

from __future__ import annotations

import zlib
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from celeriac.exceptions import CeleriacError, DecodeError, EncodeError, MessageTooLarge
from celeriac.spelling import near_names

if TYPE_CHECKING:
    from collections.abc import Callable

#: What an xz or zstd header may ask for as working memory; the strongest presets need 65 MiB.
_WORKING_MEMORY: Final = 128 * 1024 * 1024
_CHUNK: Final = 256 * 1024


class _Decompressor(Protocol):
    """What `bz2` and `lzma` have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Method(NamedTuple):
    mime: str
    names: tuple[str, ...]
    compress: Callable[[bytes], bytes]
    inflate: Callable[[bytes, int], bytes]


def compress(body: bytes, method: str) -> tuple[bytes, str]:
    """Compress `body`.

    Args:
        body: what to compress.
        method: `zlib`, `gzip` (the same: a zlib stream, as kombu has it), `bzip2`, `lzma`, `zstd`, `brotli`, or a
            MIME type.

    Returns:
        The compressed body and the MIME type for the header `compression`.

    Raises:
        EncodeError: no such method, or its library is not installed.

    Example:
        >>> compress(b"a" * 100, "zlib")[1]
        'application/x-gzip'
    """
    known = _BY_NAME.get(method)
    if known is None:
        near = near_names(method, compression_names())
        guess = f"did you mean {near[0]!r}? There" if near else "there"
        raise EncodeError(f"no compression {method!r}: {guess} are {', '.join(compression_names())}")
    return known.compress(body), known.mime


def decompress(body: bytes, mime: str, *, limit: int) -> bytes:
    """Inflate `body`, to at most `limit` bytes.

    Args:
        body: what was received.
        mime: the MIME type of the header `compression` (or a method's name).
        limit: bytes that the result may have.

    Raises:
        MessageTooLarge: the result would be larger. No more than about `limit` bytes were inflated to find out.
        DecodeError: no such method, the body is damaged or cut short, or the library is not installed.
    """
    known = _BY_NAME.get(mime)
    if known is None:
        raise DecodeError(f"unknown compression {mime!r}; known are: {', '.join(sorted(_BY_MIME))}")
    inflated = known.inflate(body, limit)
    if len(inflated) > limit:
        raise MessageTooLarge(
            f"a body of {len(body)} bytes inflates to more than {limit} bytes, "
            "the limit task_message_inflated_size_limit; send less, or raise the setting on this side"
        )
    return inflated


def compression_names() -> tuple[str, ...]:
    """Return the names of all methods."""
    return tuple(name for method in _METHODS for name in method.names)


def _inflate_zlib(body: bytes, limit: int) -> bytes:
    # +32: take gzip framing as well, which other senders may understand by the MIME type application/x-gzip
    stream = zlib.decompressobj(wbits=zlib.MAX_WBITS + 32)
    try:
        inflated = stream.decompress(body, limit + 1)
    except zlib.error as error:
        raise DecodeError(f"the body is not a zlib stream: {error}") from error
    if len(inflated) <= limit:
        _check_end(stream.eof, stream.unused_data, "zlib")
    return inflated


def _compress_bz2(body: bytes) -> bytes:
    import bz2  # noqa: PLC0415 - start-up time

    return bz2.compress(body)


def _inflate_bz2(body: bytes, limit: int) -> bytes:
    import bz2  # noqa: PLC0415 - start-up time

    return _inflate_stream(bz2.BZ2Decompressor(), body, limit, OSError, "bzip2")


def _compress_lzma(body: bytes) -> bytes:
    import lzma  # noqa: PLC0415 - start-up time

    return lzma.compress(body)


def _inflate_lzma(body: bytes, limit: int) -> bytes:
    import lzma  # noqa: PLC0415 - start-up time

    stream = lzma.LZMADecompressor(memlimit=_WORKING_MEMORY)
    return _inflate_stream(stream, body, limit, lzma.LZMAError, "xz")


def _inflate_stream(stream: _Decompressor, body: bytes, limit: int, error_class: type[Exception], name: str) -> bytes:
    try:
        inflated = stream.decompress(body, max_length=limit + 1)
    except (error_class, EOFError, ValueError) as error:
        raise DecodeError(f"the body is not one {name} stream: {error}") from error
    if len(inflated) <= limit:
        _check_end(stream.eof, stream.unused_data, name)
    return inflated


def _check_end(eof: bool, unused: bytes, name: str) -> None:
    if not eof:
        raise DecodeError(f"the {name} body is cut short")
    if unused:
        raise DecodeError(f"there are {len(unused)} bytes behind the end of the {name} body")


def _compress_zstd(body: bytes) -> bytes:
    compressed: bytes = _zstandard(EncodeError).ZstdCompressor().compress(body)
    return compressed


def _inflate_zstd(body: bytes, limit: int) -> bytes:
    zstandard = _zstandard(DecodeError)
    reader = zstandard.ZstdDecompressor(max_window_size=_WORKING_MEMORY).stream_reader(body)
    parts: list[bytes] = []
    room = limit + 1
    try:
        while room > 0 and (part := reader.read(min(room, _CHUNK))):
            parts.append(part)
            room -= len(part)
    except zstandard.ZstdError as error:
        raise DecodeError(f"the body is not a zstd frame: {error}") from error
    inflated = b"".join(parts)
    if room > 0:
        _check_zstd_length(zstandard, body, len(inflated))
    return inflated


def _check_zstd_length(zstandard: Any, body: bytes, length: int) -> None:
    """The reader takes a cut frame for a short one: compare with the length that the frame's header states."""
    try:
        stated: int = zstandard.frame_content_size(body)
    except zstandard.ZstdError as error:
        raise DecodeError(f"the body is not a zstd frame: {error}") from error
    if stated > length:
        raise DecodeError("the zstd body is cut short")


def _compress_brotli(body: bytes) -> bytes:
    compressed: bytes = _brotli(EncodeError).compress(body)
    return compressed


def _inflate_brotli(body: bytes, limit: int) -> bytes:
    brotli = _brotli(DecodeError)
    stream = brotli.Decompressor()
    parts: list[bytes] = []
    room, data = limit + 1, body
    try:
        while room > 0 and not stream.is_finished():
            part = stream.process(data, output_buffer_limit=min(room, _CHUNK))
            data = b""
            if not part and not stream.is_finished() and stream.can_accept_more_data():
                raise DecodeError("the brotli body is cut short")
            parts.append(part)
            room -= len(part)
    except brotli.error as error:
        raise DecodeError(f"the body is not a brotli stream: {error}") from error
    return b"".join(parts)


def _zstandard(error_class: type[CeleriacError]) -> Any:
    try:
        import zstandard  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise error_class('zstd compression needs a library: pip install "celeriac[zstd]"') from error
    return zstandard


def _brotli(error_class: type[CeleriacError]) -> Any:
    try:
        brotli = import_module("brotli")  # it has no types
    except ImportError as error:
        raise error_class('brotli compression needs a library: pip install "celeriac[brotli]"') from error
    if not hasattr(brotli.Decompressor, "can_accept_more_data"):  # came with the bound on what is inflated
        raise error_class("this brotli can not bound what it inflates: pip install 'brotli>=1.2'")
    return brotli


_METHODS: Final = (
    _Method("application/x-gzip", ("zlib", "gzip"), zlib.compress, _inflate_zlib),
    _Method("application/x-bz2", ("bzip2", "bzip"), _compress_bz2, _inflate_bz2),
    _Method("application/x-lzma", ("lzma", "xz"), _compress_lzma, _inflate_lzma),
    _Method("application/zstd", ("zstd", "zstandard"), _compress_zstd, _inflate_zstd),
    _Method("application/x-brotli", ("brotli",), _compress_brotli, _inflate_brotli),
)
_BY_MIME: Final = {method.mime: method for method in _METHODS}
_BY_NAME: Final = {**_BY_MIME, **{name: method for method in _METHODS for name in method.names}}
