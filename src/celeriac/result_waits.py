"""Waiting for many results: who is missing, what has come, and when it is enough.

Owns the order of looking and waiting, in threads and in asyncio. How a crowd of results is watched is
`celeriac.result_watch`'s part, which is imported only where somebody has to wait: it needs asyncio.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn

from celeriac import states
from celeriac.exceptions import TimeoutError  # noqa: A004 - Celery's name
from celeriac.result import INTERVAL_PER_PARENT, PARENTS_INTERVAL, USUAL_REASONS, WAIT_SLICE, AnyResult, AsyncResult
from celeriac.result_looks import acarry_out, carry_out, in_chunks, ready_in_order
from celeriac.result_tree import ancestors_of, look_before, raise_error_of, singles

if TYPE_CHECKING:
    from celeriac.app import Celeriac
    from celeriac.backends.base import Backend
    from celeriac.outcome import ResultRecord
    from celeriac.result_set import ResultSet


class Waiting:
    """One wait for the members of a set.

    Args:
        awaited: the set.
        timeout: seconds for all of them; None waits for ever.
        propagate: raise the exception of a member as soon as it is known.
        callback: called with id and value of each member as it finishes.
        follows: raise the exception of what failed before the set in a chain.

    Attributes:
        missing: by task id, the results that have not come. One task can be in a set twice.
    """

    def __init__(
        self,
        awaited: ResultSet,
        timeout: float | None,
        propagate: bool = False,
        callback: Callable[[str, Any], object] | None = None,
        *,
        follows: bool = False,
    ) -> None:
        self.missing: dict[str, tuple[AsyncResult[Any], ...]] = {}
        self._awaited = awaited
        self._timeout = timeout
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._propagate = propagate
        self._callback = callback
        ancestors = ancestors_of(awaited) if follows and propagate else []
        self._interval = WAIT_SLICE
        if ancestors:
            self._interval = PARENTS_INTERVAL + INTERVAL_PER_PARENT * sum(1 for _ in singles(ancestors))
        self._has_ancestors = bool(ancestors)
        #: Of sets inside: which one a single result belongs to, and how many of each are missing. By identity.
        self._outer: dict[int, ResultSet] = {}
        self._left: dict[int, int] = {}

    @property
    def app(self) -> Celeriac:
        """The app of the results."""
        return self._awaited.app

    @property
    def backend(self) -> Backend:
        """Where the results come to."""
        return self._awaited.backend

    @property
    def needs_watch(self) -> bool:
        """More than one result is missing, and there is time to wait for them."""
        return len(self.missing) > 1 and not self.is_over

    @property
    def is_over(self) -> bool:
        """There is no time left."""
        return self._deadline is not None and time.monotonic() >= self._deadline

    def begin(self) -> list[AnyResult]:
        """Note what is missing. Returns the members that are known already."""
        finished: list[AnyResult] = []
        for member in self._awaited.results:
            left = 0
            for single in singles([member]):
                if single.known_state is None and not single.ignored:
                    self.missing[single.id] = (*self.missing.get(single.id, ()), single)
                    left += 1
                    if single is not member:
                        self._outer[id(single)] = member  # type: ignore[assignment]  # what has singles is a set
                else:
                    self._check(single)
            if left:
                self._left[id(member)] = left
            else:
                finished.append(self._told(member))
        return finished

    def take(self, records: Iterable[ResultRecord]) -> list[AnyResult]:
        """Note what has come. Returns the members that are done by it.

        Raises:
            Exception: that of a task which failed.
        """
        finished: list[AnyResult] = []
        for record in records:
            for single in self.missing.pop(record.task_id, ()):
                single.take(record)
                self._check(single)
                member: AnyResult | ResultSet = self._outer.get(id(single), single)
                self._left[id(member)] -= 1
                if not self._left[id(member)]:
                    finished.append(self._told(member))
        return finished

    def _check(self, single: AsyncResult[Any]) -> None:
        if self._propagate and single.known_state in states.PROPAGATE_STATES:
            single.maybe_throw()

    def _told(self, member: Any) -> AnyResult:
        if self._callback is not None:
            self._callback(member.id, value_of(member))
        done: AnyResult = member
        return done

    def values(self) -> list[Any]:
        """The values of all members, in their order; nothing if a callback got them."""
        return [value_of(member) for member in self._awaited.results] if self._callback is None else []

    def slice(self) -> float:
        """Seconds to wait in one go."""
        return self._interval if self._deadline is None else min(self._interval, self._deadline - time.monotonic())

    def look_before(self) -> None:
        """Raise the exception of what failed before the set, and of a time that is over."""
        if self._has_ancestors:
            raise_error_of(carry_out(look_before(self._awaited), lambda: self.backend))
        if self.is_over:
            self._raise_timeout()

    async def alook_before(self) -> None:
        """`look_before` for asyncio."""
        if self._has_ancestors:
            raise_error_of(await acarry_out(look_before(self._awaited), lambda: self.backend))
        if self.is_over:
            self._raise_timeout()

    def _raise_timeout(self) -> NoReturn:
        first = next(iter(self.missing.values()))[0]
        total = sum(1 for _ in singles(self._awaited))
        replies = self._awaited.app.replies
        reason = (replies.explain_missing(first.id) if replies is not None else None) or USUAL_REASONS
        raise TimeoutError(
            f"{len(self.missing)} of {total} results did not come within {self._timeout} s, the first that of task "
            f"{first.label}. {reason}"
        )


def value_of(member: AnyResult | ResultSet) -> Any:
    """The value of a result, or those of a set's members."""
    return member.value() if isinstance(member, AsyncResult) else [value_of(one) for one in member.results]


def arrivals(waiting: Waiting) -> Iterator[list[AnyResult]]:
    """Members as they finish, until all have."""
    yield waiting.begin()
    for wanted in in_chunks(list(waiting.missing)):
        yield waiting.take(ready_in_order(wanted, waiting.backend.load_many(wanted)))
    while waiting.missing:
        waiting.look_before()
        if waiting.needs_watch:
            yield from _watched(waiting)
        else:
            record = waiting.backend.wait_ready(next(iter(waiting.missing)), max(0.0, waiting.slice()))
            yield waiting.take([] if record is None else [record])


def _watched(waiting: Waiting) -> Iterator[list[AnyResult]]:
    with waiting.app.watcher.watch(waiting.backend, list(waiting.missing)) as feed:
        while waiting.missing:
            records = feed.next(waiting.slice())
            if not records:
                waiting.look_before()
            yield waiting.take(records)


async def async_arrivals(waiting: Waiting) -> AsyncIterator[list[AnyResult]]:
    """`arrivals` for asyncio."""
    from celeriac.result_watch import Watch  # noqa: PLC0415 - start-up time; see `celeriac.loops`

    yield waiting.begin()
    if not waiting.missing:
        return
    async with Watch(waiting.backend, list(waiting.missing)) as watch:
        while waiting.missing:
            records = await watch.next(waiting.slice())
            if not records:
                await waiting.alook_before()
            yield waiting.take(records)
