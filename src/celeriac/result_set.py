"""Results of several tasks in one.

Owns what is asked of all members together. How one result is read is `celeriac.result`'s part, how many are waited for
`celeriac.result_waits`'s.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, overload

from celeriac import states
from celeriac.celery_names import tell_what_is_missing
from celeriac.current import get_current_app
from celeriac.result import AnyResult
from celeriac.result_joins import assert_will_not_block
from celeriac.result_looks import acarry_out, carry_out, in_chunks, look_at, look_for
from celeriac.result_tree import let_go, singles
from celeriac.result_waits import Waiting, arrivals, async_arrivals

if TYPE_CHECKING:
    from concurrent.futures import Future

    from celeriac.app import Celeriac
    from celeriac.backends.base import Backend


class ResultSet:  # noqa: PLW1641 - members come and go; the result of a group has an id, and a hash
    """Results that are asked and waited for together, in few trips to the backend however many they are.

    Args:
        results: the members: results of tasks, or of groups.
        app: the app in whose backend they are; by default that of the first member.

    Example:
        >>> from celeriac import Celeriac
        >>> app = Celeriac("doc", broker="memory://")
        >>> both = app.ResultSet([app.AsyncResult("1"), app.AsyncResult("2")])
        >>> both.completed_count(), both.waiting()
        (0, True)

    Attributes:
        results: the members, in order.
    """

    #: A set comes after nothing; the result of a group may.
    parent: AnyResult | None = None

    def __init__(self, results: Iterable[AnyResult], app: Celeriac | None = None) -> None:
        self.results: list[AnyResult] = results if isinstance(results, list) else list(results)
        self._app = app

    @property
    def app(self) -> Celeriac:
        """The app."""
        if self._app is None:
            self._app = self.results[0].app if self.results else get_current_app()
        return self._app

    @property
    def backend(self) -> Backend:
        """Where the results of all members are looked for."""
        return self.app.backend

    # -- members -------------------------------------------------------------------------------------------------------

    def add(self, result: AnyResult) -> None:
        """Add a member, unless it is one."""
        if result not in self.results:
            self.results.append(result)

    def update(self, results: Iterable[AnyResult]) -> None:
        """Add those that are no members yet."""
        known = set(self.results)
        for result in results:
            if result not in known:
                known.add(result)
                self.results.append(result)

    def remove(self, result: AnyResult | str) -> None:
        """Remove a member.

        Args:
            result: it, or its id.

        Raises:
            KeyError: it is none.
        """
        try:
            self.results.remove(result)  # type: ignore[arg-type]  # a result equals its id
        except ValueError:
            raise KeyError(result) from None

    def discard(self, result: AnyResult | str) -> None:
        """Remove a member if it is one."""
        if result in self.results:
            self.remove(result)

    def clear(self) -> None:
        """Remove all members."""
        self.results.clear()

    def __len__(self) -> int:
        return len(self.results)

    def __iter__(self) -> Iterator[AnyResult]:
        return iter(self.results)

    @overload
    def __getitem__(self, index: int) -> AnyResult: ...

    @overload
    def __getitem__(self, index: slice) -> list[AnyResult]: ...

    def __getitem__(self, index: int | slice) -> AnyResult | list[AnyResult]:
        return self.results[index]

    def __eq__(self, other: object) -> bool:
        return other.results == self.results if isinstance(other, ResultSet) else NotImplemented

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: [{self._ids()}]>"

    def _ids(self) -> str:
        return ", ".join(member.id for member in self.results)

    # -- looking -------------------------------------------------------------------------------------------------------

    def successful(self) -> bool:
        """All have returned."""
        return carry_out(look_for(singles(self), _is_not_success), lambda: self.backend) is None

    async def asuccessful(self) -> bool:
        """`successful` for asyncio."""
        return await acarry_out(look_for(singles(self), _is_not_success), lambda: self.backend) is None

    def failed(self) -> bool:
        """At least one has raised."""
        return carry_out(look_for(singles(self), _is_failure), lambda: self.backend) is not None

    async def afailed(self) -> bool:
        """`failed` for asyncio."""
        return await acarry_out(look_for(singles(self), _is_failure), lambda: self.backend) is not None

    def waiting(self) -> bool:
        """At least one is not done."""
        return not self.ready()

    def ready(self) -> bool:
        """All are done, whether they returned or raised."""
        return carry_out(look_for(singles(self), _is_not_ready), lambda: self.backend) is None

    async def aready(self) -> bool:
        """`ready` for asyncio."""
        return await acarry_out(look_for(singles(self), _is_not_ready), lambda: self.backend) is None

    def completed_count(self) -> int:
        """How many members have returned; a group counts when all of its members have."""
        return self._count(carry_out(look_at(singles(self)), lambda: self.backend))

    async def acompleted_count(self) -> int:
        """`completed_count` for asyncio."""
        return self._count(await acarry_out(look_at(singles(self)), lambda: self.backend))

    def _count(self, found: Iterable[str]) -> int:
        remaining, count = iter(found), 0
        for member in self.results:
            count += all([next(remaining) == states.SUCCESS for _ in singles([member])])  # noqa: C419 - takes them all
        return count

    def maybe_throw(self, callback: Callable[[str, Any], object] | None = None, propagate: bool = True) -> None:
        """Raise the exception of the first member that failed.

        Args:
            callback: called with id and value of each member that is done, up to there.
            propagate: if False nothing is raised, and the callback gets exceptions as values.

        Raises:
            Exception: that of the member.
        """
        carry_out(look_at(singles(self)), lambda: self.backend)
        for member in singles(self):
            if member.known_state is not None:
                member.maybe_throw(propagate, callback)

    maybe_reraise = maybe_throw

    @property
    def supports_native_join(self) -> bool:
        """Members are waited for together, with every backend: `join` and `join_native` are the same."""
        return True

    # -- waiting -------------------------------------------------------------------------------------------------------

    def get(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float = 0.5,
        callback: Callable[[str, Any], object] | None = None,
        no_ack: bool = True,
        disable_sync_subtasks: bool = True,
        follow_parents: bool = True,
    ) -> list[Any]:
        """Wait for all members and return their values, in their order.

        Args:
            timeout: seconds to wait for all of them; None waits for ever.
            propagate: raise the exception of a member as soon as it is known to have failed; if False it stands for
                the value.
            interval: accepted for Celery's sake: the wake-up comes with the result, there is nothing to poll.
            callback: called with id and value of each member as it finishes; then the list is empty.
            no_ack: accepted for Celery's sake.
            disable_sync_subtasks: refuse to wait inside a task.
            follow_parents: raise the exception of a failed task before the group in a chain.

        Raises:
            TimeoutError: not all came in time. The text says how many did not.
            NotSupported: results are turned off.
            RuntimeError: called inside a task.
        """
        del interval, no_ack
        if disable_sync_subtasks:
            assert_will_not_block()
        waiting = Waiting(self, timeout, propagate, callback, follows=follow_parents)
        for _ in arrivals(waiting):
            pass
        return waiting.values()

    join = get
    join_native = get

    async def aget(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        callback: Callable[[str, Any], object] | None = None,
        follow_parents: bool = True,
    ) -> list[Any]:
        """`get` for asyncio. The loop goes on meanwhile, and thousands may wait at once."""
        waiting = Waiting(self, timeout, propagate, callback, follows=follow_parents)
        async for _ in async_arrivals(waiting):
            pass
        return waiting.values()

    ajoin = aget

    def iterate(self, timeout: float | None = None, disable_sync_subtasks: bool = True) -> Iterator[AnyResult]:
        """Yield members as they finish, whether they return or raise.

        Args:
            timeout: seconds to wait for all of them; None waits for ever.
            disable_sync_subtasks: refuse to wait inside a task.

        Raises:
            TimeoutError, NotSupported, RuntimeError: as `get`.

        Example:
            >>> from celeriac import Celeriac
            >>> app = Celeriac("doc", broker="memory://", task_always_eager=True)
            >>> @app.task
            ... def double(x: int) -> int:
            ...     return 2 * x
            >>> [done.get() for done in app.ResultSet([double.delay(1), double.delay(2)]).iterate()]
            [2, 4]
        """
        if disable_sync_subtasks:
            assert_will_not_block()
        for finished in arrivals(Waiting(self, timeout)):
            yield from finished

    async def aiterate(self, timeout: float | None = None) -> AsyncIterator[AnyResult]:
        """`iterate` for asyncio: `async for result in group_result.aiterate()`."""
        async for finished in async_arrivals(Waiting(self, timeout)):
            for member in finished:
                yield member

    def iter_native(
        self, timeout: float | None = None, interval: float = 0.5, no_ack: bool = True
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield id and result meta (`status`, `result`, ...) of each single task as it finishes. As `iterate`."""
        del interval, no_ack
        for member in self.iterate(timeout):
            for single in singles([member]):
                yield single.id, single.meta()

    def then(
        self, callback: Callable[[Any], object], on_error: Callable[[Any], object] | None = None, weak: bool = False
    ) -> Future[None]:
        """Call `callback` with this when all members are done; see `AsyncResult.then`.

        Args:
            callback: called with this.
            on_error: called with the exception of the first failed member instead.
            weak: accepted for Celery's sake.
        """
        del weak
        return self.app.watcher.call_back(lambda: self.backend, self, list(singles(self)), callback, on_error)

    def forget(self) -> None:
        """Delete the results of all members, and of what was before each of them in a chain."""
        for task_ids in in_chunks(let_go(self.results)):
            self.backend.forget_many(task_ids)

    async def aforget(self) -> None:
        """`forget` for asyncio."""
        for task_ids in in_chunks(let_go(self.results)):
            await self.backend.aforget_many(task_ids)


def _is_not_success(state: str) -> bool:
    return state != states.SUCCESS


def _is_failure(state: str) -> bool:
    return state == states.FAILURE


def _is_not_ready(state: str) -> bool:
    return state not in states.READY_STATES


tell_what_is_missing(ResultSet)
