"""Checks what callers pass, before it becomes a part of a message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from celeriac.exceptions import EncodeError

_SCALARS: Final = frozenset({str, int, float, bool, type(None)})
#: Headers of the protocol, each with the call option that sets it, if there is one. As a custom header they would make
#: it another message.
_OPTION_OF: Final[dict[str, str]] = {
    "lang": "",
    "task": "",
    "id": "task_id",
    "shadow": "shadow",
    "eta": "eta",
    "expires": "expires",
    "group": "group_id",
    "group_index": "group_index",
    "retries": "retries",
    "timelimit": "time_limit",
    "root_id": "root_id",
    "parent_id": "parent_id",
    "argsrepr": "argsrepr",
    "kwargsrepr": "kwargsrepr",
    "origin": "",
    "ignore_result": "ignore_result",
    "replaced_task_nesting": "",
    "stamped_headers": "",
    "stamps": "",
    "compression": "compression",
}
RESERVED_HEADERS: Final = frozenset(_OPTION_OF)


def checked_args(args: Sequence[Any], task: str) -> Sequence[Any]:
    """Return the positional arguments of a task as a list or tuple.

    Raises:
        TypeError: they are no sequence, or a text.
    """
    if type(args) is tuple or type(args) is list:
        return args
    if isinstance(args, str | bytes | bytearray) or not isinstance(args, Sequence):
        raise TypeError(f"the args of task {task} must be a list or tuple, not {args!r:.100} ({type(args).__name__})")
    return tuple(args)


def checked_kwargs(kwargs: Mapping[str, Any], task: str) -> dict[str, Any]:
    """Return the keyword arguments of a task as a dict.

    Raises:
        TypeError: they are no mapping.
    """
    if not isinstance(kwargs, Mapping):
        raise TypeError(f"the kwargs of task {task} must be a mapping, not {kwargs!r:.100} ({type(kwargs).__name__})")
    return kwargs if type(kwargs) is dict else dict(kwargs)


def checked_headers(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Return custom headers as plain data.

    Raises:
        EncodeError: a value that is not JSON, or a name that the protocol needs for itself.
    """
    taken = RESERVED_HEADERS.intersection(headers)
    if taken:
        name = min(taken)
        instead = f"use the call option {_OPTION_OF[name]}=, or " if _OPTION_OF[name] else ""
        raise EncodeError(f"header {name!r} belongs to the protocol: {instead}give your header another name")
    return checked_json(headers, "headers")


def checked_json(mapping: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return a mapping as plain data: every broker must be able to carry it.

    Raises:
        EncodeError: a value that is not JSON; the text names it.
    """
    return {_plain_key(key, name): _plain(value, f"{name}[{key!r}]", 0) for key, value in mapping.items()}


def _plain(value: object, path: str, depth: int) -> Any:
    if type(value) in _SCALARS:
        return value
    if depth > 20:
        raise EncodeError(f"{path} is nested too deeply; pass plain data")
    if isinstance(value, Mapping):
        return {_plain_key(k, path): _plain(v, f"{path}[{k!r}]", depth + 1) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(value)]
    if isinstance(value, str | int | float):
        return _without_subclass(value)
    raise EncodeError(f"{path} is of type {type(value).__name__}; it can only be a JSON value: pass text")


def _plain_key(key: object, path: str) -> str:
    if isinstance(key, str):
        return str.__str__(key)
    raise EncodeError(f"{path} has the key {key!r}; only text can be a key there")


def _without_subclass(value: str | float) -> str | int | float:
    """Return the value itself, for example of a member of an IntEnum or a StrEnum."""
    if isinstance(value, str):
        return str.__str__(value)
    return int.__int__(value) if isinstance(value, int) else float.__float__(value)
