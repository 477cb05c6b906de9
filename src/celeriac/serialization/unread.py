"""JSON that is passed on as it came, and read only if somebody looks.

A worker that runs one step of a long chain sends all the others on; a member of a chord hands on the body. Reading and
writing them anew would cost more than the step itself, and the square of the chain's length in all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar, overload

from celeriac.exceptions import DecodeError
from celeriac.serialization.json import decode_json

_T = TypeVar("_T")


class Unread:
    """One value.

    Args:
        json: its JSON.

    Example:
        >>> Unread(b'{"task": "add"}').read()
        {'task': 'add'}
    """

    __slots__ = ("_json", "_value")

    def __init__(self, json: bytes) -> None:
        self._json = json
        self._value: Any = None

    @property
    def json(self) -> bytes:
        """As it came."""
        return bytes(self._json)

    def read(self) -> Any:
        """The value: the same each time, and not to be changed.

        Raises:
            DecodeError: it can not be read after all.
        """
        if self._value is None:
            self._value = _decoded(self._json)
        return self._value


class UnreadList(Sequence[Any]):
    """Several values. Each is read when it is asked for first; a slice is unread like the whole.

    Args:
        pieces: the JSON of each.

    Example:
        >>> values = UnreadList([b"1", b"[2]", b'"three"'])
        >>> values[-1], values[:2].json, list(values)
        ('three', b'[1, [2]]', [1, [2], 'three'])
    """

    __slots__ = ("_pieces", "_values")

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = pieces
        self._values: dict[int, Any] = {}

    def __len__(self) -> int:
        return len(self._pieces)

    @overload
    def __getitem__(self, index: int) -> Any: ...

    @overload
    def __getitem__(self, index: slice) -> UnreadList: ...

    def __getitem__(self, index: int | slice) -> Any:
        """One of them, or several.

        Raises:
            DecodeError: it can not be read after all.
        """
        if isinstance(index, slice):
            return UnreadList(self._pieces[index])
        piece, place = self._pieces[index], index % len(self._pieces)
        if place not in self._values:
            self._values[place] = _decoded(piece)
        return self._values[place]

    @property
    def json(self) -> bytes:
        """All of them, as a JSON array."""
        return b"[%b]" % b", ".join(self._pieces)

    def read(self) -> list[Any]:
        """All of them."""
        return list(self)


@overload
def read(value: Unread | UnreadList) -> Any: ...


@overload
def read(value: _T) -> _T: ...


def read(value: Any) -> Any:
    """The value itself, read if it was not.

    Raises:
        DecodeError: it can not be read after all.
    """
    return value.read() if isinstance(value, Unread | UnreadList) else value


def _decoded(json: bytes) -> Any:
    try:
        return decode_json(bytes(json))
    except (ValueError, RecursionError) as error:  # a number of more digits than Python converts, for one
        raise DecodeError(f"a part of the body is not valid json: {error}") from error
