"""The result of a group: its members, under an id, saved and found again.

Owns the form in which a group is saved, which is Celery's. What is asked of all members is `celeriac.result_set`'s.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from celeriac import states
from celeriac.current import get_current_app
from celeriac.exceptions import DecodeError
from celeriac.records import MOST_PARENTS, result_ttl
from celeriac.result import AnyResult, result_from_tuple
from celeriac.result_meta import decode_group, encode_group
from celeriac.result_set import ResultSet
from celeriac.result_tree import ancestors_of, as_tuple, singles

if TYPE_CHECKING:
    from celeriac.app import Celeriac
    from celeriac.backends.base import Backend

__all__ = ["GroupResult", "ResultSet"]


class GroupResult(ResultSet):
    """The result of a group: members that were sent together, under an id.

    Args:
        id: the group's id.
        results: the members, in the group's order.
        parent: the result of what was before the group in a chain.
        app: as in `ResultSet`.
    """

    def __init__(
        self,
        id: str,  # noqa: A002 - Celery's name
        results: Iterable[AnyResult] = (),
        parent: AnyResult | None = None,
        app: Celeriac | None = None,
    ) -> None:
        super().__init__(results, app)
        self.id = id
        self.parent = parent

    @property
    def children(self) -> list[AnyResult]:
        """The members."""
        return self.results

    def as_tuple(self, most_parents: int | None = None) -> tuple[tuple[str, Any], list[Any] | None]:
        """What `result_from_tuple` makes a result of again: `((id, tuple of the parent), tuples of the members)`.

        Args:
            most_parents: how many of those before it in its chain are told of; None for all.
        """
        return as_tuple(self, most_parents)

    def as_list(self) -> list[str]:
        """The ids of the members' tasks, then those of the tasks before the group, nearer ones first."""
        return [single.id for single in singles([self, *reversed(ancestors_of(self))])]

    def save(self, backend: Backend | None = None) -> None:
        """Keep the list of members in the backend, for as long as results are kept.

        Args:
            backend: where; by default the app's.

        Raises:
            NotSupported: the backend stores nothing.
        """
        (backend or self.backend).save_group(self.id, self._encoded(), result_ttl(self.app, states.SUCCESS))

    async def asave(self, backend: Backend | None = None) -> None:
        """`save` for asyncio."""
        await (backend or self.backend).asave_group(self.id, self._encoded(), result_ttl(self.app, states.SUCCESS))

    def _encoded(self) -> bytes:
        conf = self.app.conf
        stored = self.as_tuple(MOST_PARENTS)
        return encode_group(stored, serializer=conf.result_serializer, compression=conf.result_compression)

    def delete(self, backend: Backend | None = None) -> None:
        """Undo `save`. The members' results stay."""
        (backend or self.backend).forget_group(self.id)

    async def adelete(self, backend: Backend | None = None) -> None:
        """`delete` for asyncio."""
        await (backend or self.backend).aforget_group(self.id)

    @classmethod
    def restore(
        cls,
        id: str,  # noqa: A002 - Celery's name
        backend: Backend | None = None,
        app: Celeriac | None = None,
    ) -> GroupResult | None:
        """What was saved under this id; None if nothing is.

        Args:
            id: the group's id.
            backend: where; by default the app's.
            app: by default the current one.

        Raises:
            NotSupported: the backend stores nothing.
            DecodeError: what is stored there is none.
        """
        app = app if app is not None else get_current_app()
        return _restored((backend or app.backend).load_group(id), app)

    @classmethod
    async def arestore(
        cls,
        id: str,  # noqa: A002 - Celery's name
        backend: Backend | None = None,
        app: Celeriac | None = None,
    ) -> GroupResult | None:
        """`restore` for asyncio."""
        app = app if app is not None else get_current_app()
        return _restored(await (backend or app.backend).aload_group(id), app)

    def __bool__(self) -> bool:
        return True  # also without members

    def __eq__(self, other: object) -> bool:
        if isinstance(other, GroupResult):
            return (self.id, self.results, self.parent) == (other.id, other.results, other.parent)
        return self.id == other if isinstance(other, str) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def __str__(self) -> str:
        return self.id

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.id} [{self._ids()}]>"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled by ids: on the other side it belongs to the current app."""
        return type(self), (self.id, self.results, self.parent)


def _restored(meta: bytes | None, app: Celeriac) -> GroupResult | None:
    if meta is None:
        return None
    conf = app.conf
    accept = conf.result_accept_content or conf.accept_content
    restored = result_from_tuple(decode_group(meta, serializer=conf.result_serializer, accept=accept), app)
    if not isinstance(restored, GroupResult):
        raise DecodeError(f"what is stored as a group is the result of a task: {restored!r}")
    return restored
