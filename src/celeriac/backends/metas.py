"""Reads the state out of a stored meta, as cheaply as its serialiser allows.

Owns the short cuts. What they can not tell is decoded in full by `celeriac.result_meta`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Final

import msgspec

from celeriac.exceptions import BackendError, CeleriacError
from celeriac.result_meta import decode_meta
from celeriac.serialization import content_type_of


class _Head(msgspec.Struct):
    """What is looked at of a meta."""

    status: str


_JSON: Final = msgspec.json.Decoder(_Head)
_MSGPACK: Final = msgspec.msgpack.Decoder(_Head)
#: Behind protocol and length of the frame: a dictionary whose first key is the status.
_PICKLE: Final = re.compile(rb"\x80[\x04\x05]\x95.{8}\}\x94\(\x8c\x06status\x94\x8c.([\w-]+)\x94", re.DOTALL | re.ASCII)
#: The name of a field begins its line; what belongs to a value is indented.
_YAML: Final = re.compile(rb"^status: ([A-Za-z][\w-]*)$", re.MULTILINE | re.ASCII)


def _json_status(meta: bytes) -> str | None:
    try:
        return _JSON.decode(meta).status
    except (msgspec.DecodeError, UnicodeDecodeError):  # Infinity and NaN, say, which Celery's JSON may have
        return None


def _msgpack_status(meta: bytes) -> str | None:
    try:
        return _MSGPACK.decode(meta).status
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _pickle_status(meta: bytes) -> str | None:
    found = _PICKLE.match(meta)
    return found[1].decode("ascii") if found else None


def _yaml_status(meta: bytes) -> str | None:
    found = _YAML.search(meta)
    return found[1].decode("ascii") if found else None


#: By MIME type, as serialisers may be named by that too: the mark for scripts, and the short cut.
_SHORT_CUTS: Final[dict[str, tuple[str, Callable[[bytes], str | None]]]] = {
    "application/json": ("json", _json_status),
    "application/x-msgpack": ("msgpack", _msgpack_status),
    "application/x-python-serialize": ("pickle", _pickle_status),
    "application/x-yaml": ("yaml", _yaml_status),
}


def script_mark(serializer: str) -> str | None:
    """What `result.lua` calls the serialiser; None if it can not look into its metas."""
    short_cut = _SHORT_CUTS.get(content_type_of(serializer))
    return short_cut[0] if short_cut else None


def read_status(meta: bytes, *, serializer: str, accept: Collection[str], inflated_size_limit: int) -> str:
    """Return the state that a stored meta tells of.

    Args:
        meta: what is stored.
        serializer: `result_serializer`.
        accept: serialisers that may be decoded.
        inflated_size_limit: bytes that a compressed meta may inflate to.

    Raises:
        BackendError: it is no meta of that serialiser.

    Example:
        >>> read_status(b'{"status": "STARTED"}', serializer="json", accept=["json"], inflated_size_limit=1000)
        'STARTED'
    """
    try:
        short_cut = _SHORT_CUTS.get(content_type_of(serializer))
        status = short_cut[1](meta) if short_cut else None
        if status is not None:
            return status
        fields = decode_meta(meta, serializer=serializer, accept=accept, inflated_size_limit=inflated_size_limit)
    except CeleriacError as error:
        raise BackendError(
            f"a stored result can not be read: {error}. Results are read with result_serializer={serializer!r}, which "
            "must be the same wherever they are written and read"
        ) from error
    found: str = fields["status"]
    return found
