"""Looking at many results in few trips to the backend.

Owns the plans of such looks, which threads and event loops carry out alike. Knows results by what it needs of them.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias, TypeVar

from celeriac.outcome import ResultRecord
from celeriac.states import PENDING, READY_STATES

if TYPE_CHECKING:
    from celeriac.backends.base import Backend

T = TypeVar("T")

#: Results that are asked for in one call to the backend.
AT_ONCE: Final = 1000

#: A plan: yields task ids, is sent what is stored of them.
Look: TypeAlias = Generator[list[str], list[ResultRecord], T]


class Member(Protocol):
    """The result of a single task."""

    @property
    def id(self) -> str:
        """The task's id."""
        ...

    @property
    def known_state(self) -> str | None:
        """Its state, if that is final and known here; no backend need be asked then."""
        ...

    def take(self, record: ResultRecord) -> None:
        """Keep what was loaded for it, if that is final."""
        ...


M = TypeVar("M", bound=Member)


def carry_out(look: Look[T], backend: Callable[[], Backend]) -> T:
    """Make the trips of a plan. The backend is asked for with the first trip only: there may be none."""
    try:
        wanted = next(look)
        while True:
            wanted = look.send(backend().load_many(wanted))
    except StopIteration as stop:
        found: T = stop.value
        return found


async def acarry_out(look: Look[T], backend: Callable[[], Backend]) -> T:
    """`carry_out` for asyncio."""
    try:
        wanted = next(look)
        while True:
            wanted = look.send(await backend().aload_many(wanted))
    except StopIteration as stop:
        found: T = stop.value
        return found


def look_for(members: Iterable[M], test: Callable[[str], bool]) -> Look[M | None]:
    """The first member whose state passes the test. Members that are done keep what was found."""
    remaining = iter(members)
    while chunk := list(islice(remaining, AT_ONCE)):
        states = yield from _look_at(chunk)
        for member, state in zip(chunk, states, strict=True):
            if test(state):
                return member
    return None


def look_at(members: Iterable[Member]) -> Look[list[str]]:
    """The states of all members, in their order. Members that are done keep what was found."""
    remaining = iter(members)
    states: list[str] = []
    while chunk := list(islice(remaining, AT_ONCE)):
        states += yield from _look_at(chunk)
    return states


def _look_at(members: Sequence[Member]) -> Look[list[str]]:
    unknown = [member.id for member in members if member.known_state is None]
    found = {record.task_id: record for record in (yield unknown)} if unknown else {}
    states: list[str] = []
    for member in members:
        record = found.get(member.id)
        if record is not None:
            member.take(record)
        states.append(member.known_state or (PENDING if record is None else record.status))
    return states


def in_chunks(task_ids: Iterable[str]) -> Iterator[list[str]]:
    """As many as are asked for in one call."""
    remaining = iter(task_ids)
    while chunk := list(islice(remaining, AT_ONCE)):
        yield chunk


def ready_in_order(task_ids: Iterable[str], found: Iterable[ResultRecord]) -> list[ResultRecord]:
    """Those of `found` that are ready, in the order of `task_ids`."""
    records = {record.task_id: record for record in found if record.status in READY_STATES}
    return [records[task_id] for task_id in task_ids if task_id in records]
