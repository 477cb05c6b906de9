"""The members of a group that was given a generator: read when they are needed, and only once.

Owns that. Knows nothing of groups.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain as joined
from typing import TYPE_CHECKING, Any

from celeriac.canvas.signature import Signature, as_signature

if TYPE_CHECKING:
    from celeriac.app import Celeriac


class LazyMembers:
    """Signatures that a generator gives.

    Args:
        source: the generator.
        app: the app of signatures that come as dictionaries.
    """

    def __init__(self, source: Iterable[Any], app: Celeriac | None) -> None:
        self._source: Iterator[Any] | None = iter(source)
        self._app = app
        self._read: list[Signature[Any]] | None = None
        self.is_shared = False

    def peek(self) -> Signature[Any] | None:
        """The first one, which stays there; None if there is none, or they were streamed."""
        if self._read is not None:
            return self._read[0] if self._read else None
        source = self._source or iter(())
        for first in source:
            member = as_signature(first, self._app)
            self._source = joined((member,), source)
            return member
        return None

    def read(self) -> list[Signature[Any]]:
        """All of them; kept from now on.

        Raises:
            RuntimeError: they have been streamed.
        """
        if self._read is None:
            self._read = list(self.stream())
        return self._read

    def stream(self) -> Iterator[Signature[Any]]:
        """All of them, one after the other; they are not kept.

        Raises:
            RuntimeError: they have been streamed before.
        """
        if self._read is not None:
            return iter(self._read)
        if self._source is None:
            raise RuntimeError(
                "the generator of this group was used up when the group was sent: give group() a list to send it again"
            )
        source, self._source = self._source, None
        return (as_signature(member, self._app) for member in source)

    def __iter__(self) -> Iterator[Signature[Any]]:
        return iter(self.read())

    def __len__(self) -> int:
        return len(self.read())

    def __eq__(self, other: object) -> bool:
        return self.read() == (other.read() if isinstance(other, LazyMembers) else other)

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return repr(self._read) if self._read is not None else "<a generator>"

    def __json__(self) -> list[Signature[Any]]:
        return self.read()

    def __reduce__(self) -> tuple[Any, ...]:
        return list, (self.read(),)

    def __deepcopy__(self, memo: dict[int, Any]) -> list[Signature[Any]]:
        return [member.clone() for member in self.read()]
