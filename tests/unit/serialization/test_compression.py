"""Compression: kombu's names, and no inflating past the bound."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import sys
import tracemalloc
import zlib
from importlib import import_module
from typing import Protocol

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from celeriac.exceptions import DecodeError, EncodeError, MessageTooLarge
from celeriac.serialization import compress, compression_names, decompress

MIME_TYPES = {
    "zlib": "application/x-gzip",
    "gzip": "application/x-gzip",
    "bzip2": "application/x-bz2",
    "bzip": "application/x-bz2",
    "lzma": "application/x-lzma",
    "xz": "application/x-lzma",
    "zstd": "application/zstd",
    "zstandard": "application/zstd",
    "brotli": "application/x-brotli",
}
METHODS = ["zlib", "bzip2", "lzma", "zstd", "brotli"]


def test_names_and_types_are_kombus() -> None:
    assert {name: compress(b"x", name)[1] for name in compression_names()} == MIME_TYPES
    assert compress(b"x", "application/x-bz2")[1] == "application/x-bz2"


@pytest.mark.parametrize("method", METHODS)
@given(body=st.binary(max_size=5000))
def test_bodies_come_back(method: str, body: bytes) -> None:
    compressed, mime = compress(body, method)
    assert decompress(compressed, mime, limit=len(body)) == body


@pytest.mark.parametrize("method", METHODS)
def test_the_limit_is_exact(method: str) -> None:
    compressed, mime = compress(b"ab" * 5000, method)
    assert len(decompress(compressed, mime, limit=10_000)) == 10_000
    for limit in (9_999, 100, 0):
        with pytest.raises(MessageTooLarge, match=f"inflates to more than {limit} bytes"):
            decompress(compressed, mime, limit=limit)


@pytest.mark.parametrize("method", METHODS)
@given(data=st.data())
def test_damaged_bodies_are_decode_errors(method: str, data: st.DataObject) -> None:
    compressed, mime = compress(b"some text, some more text" * 10, method)
    cut = data.draw(st.integers(0, len(compressed) - 1))
    with pytest.raises(DecodeError):
        decompress(compressed[:cut], mime, limit=10_000)


@pytest.mark.parametrize("method", METHODS)
@given(body=st.binary(max_size=100))
def test_any_bytes_are_a_body_or_an_error(method: str, body: bytes) -> None:
    with contextlib.suppress(DecodeError, MessageTooLarge):
        decompress(body, MIME_TYPES[method], limit=1000)


def bomb(method: str) -> bytes:
    """Zeros, far more than the limit (a gigabyte where the method packs them quickly)."""
    piece = bytes(1 << 20)
    if method == "bzip2":
        return packed(bz2.BZ2Compressor(1), [piece] * 32)
    if method == "lzma":
        return packed(lzma.LZMACompressor(preset=0), [piece] * 64)
    if method == "zstd":
        return packed(zstandard.ZstdCompressor(level=1).compressobj(), [piece] * 1024)
    if method == "zlib":
        return packed(zlib.compressobj(1), [piece] * 256)
    stream = import_module("brotli").Compressor(quality=1)
    made: bytes = b"".join([stream.process(piece) for _ in range(1024)]) + stream.finish()
    return made


class Packer(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


def packed(packer: Packer, pieces: list[bytes]) -> bytes:
    return b"".join([packer.compress(piece) for piece in pieces]) + packer.flush()


@pytest.mark.parametrize("method", METHODS)
def test_a_bomb_is_refused_without_inflating_it(method: str) -> None:
    body = bomb(method)
    limit = 4 << 20
    tracemalloc.start()
    try:
        with pytest.raises(MessageTooLarge, match="task_message_inflated_size_limit"):
            decompress(body, MIME_TYPES[method], limit=limit)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16 << 20


def test_working_memory_that_a_header_asks_for_is_bounded() -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 29}]
    with pytest.raises(DecodeError, match="Memory usage limit"):
        decompress(lzma.compress(b"x", filters=filters), "application/x-lzma", limit=1000)


def test_gzip_framing_is_read_too() -> None:
    assert decompress(gzip.compress(b"text"), "application/x-gzip", limit=10) == b"text"


@pytest.mark.parametrize("method", ["zlib", "bzip2", "lzma"])
def test_nothing_may_follow_the_end(method: str) -> None:
    compressed, mime = compress(b"text", method)
    with pytest.raises(DecodeError, match="7 bytes behind the end"):
        decompress(compressed + b"garbage", mime, limit=100)


def test_unknown_methods_are_named_with_those_there_are() -> None:
    with pytest.raises(EncodeError, match="no compression 'rar': there are zlib, gzip, bzip2"):
        compress(b"", "rar")
    with pytest.raises(DecodeError, match="unknown compression 'application/x-rar'"):
        decompress(b"", "application/x-rar", limit=1)


@pytest.mark.parametrize(("method", "module"), [("zstd", "zstandard"), ("brotli", "brotli")])
def test_a_missing_library_is_named_with_the_cure(method: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(EncodeError, match=rf'pip install "celeriac\[{method}\]"'):
        compress(b"x", method)
    with pytest.raises(DecodeError, match=rf'pip install "celeriac\[{method}\]"'):
        decompress(b"x", MIME_TYPES[method], limit=1)
