"""Finds the part of a value that a serialiser refuses, so that the error can name it."""

from __future__ import annotations

from typing import Final

from celeriac.exceptions import EncodeError
from celeriac.serialization.registry import encode

_MAX_DEPTH: Final = 50


def find_offender(value: object, serializer: str, name: str) -> str | None:
    """Return one sentence on the part of `value` that `serializer` refuses, or None if it refuses nothing.

    Args:
        value: what was to be serialised.
        serializer: its name.
        name: what to call `value` in the sentence.

    Example:
        >>> find_offender([1, {"tags": {"a"}}], "json", "args")
        "args[1]['tags'] is a set, which json can not carry: pass a list"
    """
    if _fits(value, serializer):
        return None
    return _describe(value, serializer, name, [])


def _describe(value: object, serializer: str, path: str, outer: list[object]) -> str:
    if any(value is container for container in outer):
        return f"{path} contains itself, which {serializer} can not carry: pass plain data"
    if len(outer) < _MAX_DEPTH:
        for part_path, part in _parts(value, path):
            if not _fits(part, serializer):
                return _describe(part, serializer, part_path, [*outer, value])
    kind = type(value)
    article = "an" if kind.__name__[0] in "aeiouAEIOU" else "a"
    return f"{path} is {article} {kind.__qualname__}, which {serializer} can not carry: {_cure(value)}"


def _parts(value: object, path: str) -> list[tuple[str, object]]:
    if isinstance(value, dict):
        return [(f"{path}[{key!r:.80}]", part) for key, part in value.items()]
    if isinstance(value, list | tuple):
        return [(f"{path}[{index}]", part) for index, part in enumerate(value)]
    return []


def _cure(value: object) -> str:
    if isinstance(value, set | frozenset):
        return "pass a list"
    if isinstance(value, dict):
        kinds = ", ".join(sorted({type(key).__name__ for key in value if not isinstance(key, str)}))
        return f"use text as its keys, not {kinds}" if kinds else "pass plain data"
    if isinstance(value, int):
        return "it has too many digits; pass it as text"
    return "pass plain data (an id rather than the object), or give its class a __json__() method"


def _fits(value: object, serializer: str) -> bool:
    try:
        encode(value, serializer)
    except EncodeError:
        return False
    return True
