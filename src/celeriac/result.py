"""Results as the caller holds them: ask for a task's state, wait for what it returns.

Owns the reading of one stored result, and of those before and after it. Knows nothing of how tasks are sent or run;
writing is `celeriac.attempt`'s part. Results of several tasks are `celeriac.group_result`'s.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Generic, NoReturn, TypeAlias, TypeVar, cast

from celeriac import states
from celeriac.celery_names import tell_what_is_missing
from celeriac.current import get_current_app
from celeriac.exceptions import NotSupported, TimeoutError  # noqa: A004 - Celery's name
from celeriac.outcome import ResultRecord
from celeriac.result_fields import ResultFields
from celeriac.result_joins import allow_join_result, assert_will_not_block, denied_join_result
from celeriac.result_looks import acarry_out, carry_out, in_chunks
from celeriac.result_meta import decode_meta
from celeriac.result_tree import SingleResult, ancestors_of, as_tuple, let_go, look_before, raise_error_of, singles

if TYPE_CHECKING:
    from concurrent.futures import Future

    from celeriac.app import Celeriac
    from celeriac.backends.base import Backend
    from celeriac.group_result import GroupResult

__all__ = [
    "AnyResult",
    "AsyncResult",
    "ResultTuple",
    "allow_join_result",
    "assert_will_not_block",
    "denied_join_result",
    "result_from_tuple",
]

R_co = TypeVar("R_co", covariant=True)

#: The result of a task, or of a group of them.
AnyResult: TypeAlias = "AsyncResult[Any] | GroupResult"
#: Result tuples as they are stored: `((id, parent), children)`.
ResultTuple = Sequence[Any]

#: Nobody waits longer than this in one call to the backend, so that a lost wake-up or connection is noticed.
WAIT_SLICE: Final = 30.0
#: The same where there are results before this one, which may have failed without a word to it; and for each of those.
PARENTS_INTERVAL: Final = 2.0
INTERVAL_PER_PARENT: Final = 0.0001

_PENDING_META: Final[dict[str, Any]] = {"status": states.PENDING, "result": None}
USUAL_REASONS: Final = "Does a worker take from its queue, does the task ignore its result, is the timeout too short?"


class AsyncResult(ResultFields, SingleResult, Generic[R_co]):
    """The result of a task that was sent.

    Example:
        >>> from celeriac import Celeriac
        >>> app = Celeriac("doc", broker="memory://")
        >>> app.AsyncResult("an id that nobody knows").state
        'PENDING'

    Attributes:
        id: the task's id.
        parent: the result of what was before it in a chain.
        app: the app whose backend holds the result.
        ignored: the call said that its result is not kept (`ignore_result`): `get` returns None at once.
        kept: what the backend needs somebody to hold for this result; see `ReplyBackend.expect`.
    """

    __slots__ = ("__weakref__", "_backend", "_final", "_task_name", "app", "id", "ignored", "kept", "parent")

    def __init__(
        self,
        id: str,  # noqa: A002 - Celery's name
        backend: Backend | None = None,
        task_name: str | None = None,
        app: Celeriac | None = None,
        parent: AnyResult | None = None,
    ) -> None:
        if not id:
            raise ValueError(f"a result needs the id of its task, not {id!r}")
        self.id = id
        self.parent = parent
        self.app: Celeriac = app if app is not None else get_current_app()
        self.ignored = False
        self.kept: object = None
        self._backend = backend
        self._task_name = task_name
        #: What is final: as it was loaded, or decoded. Decoded it takes three times the room.
        self._final: ResultRecord | dict[str, Any] | None = None

    # -- waiting -------------------------------------------------------------------------------------------------------

    def get(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float = 0.5,
        no_ack: bool = True,
        follow_parents: bool = True,
        callback: Callable[[str, Any], object] | None = None,
        disable_sync_subtasks: bool = True,
    ) -> R_co:
        """Wait for the task and return what it returned; None at once if the call's result is not kept (`ignored`).

        Args:
            timeout: seconds to wait; None waits for ever.
            propagate: raise the task's exception if it failed; if False it is returned.
            interval: accepted for Celery's sake: the wake-up comes with the result, there is nothing to poll.
            no_ack: accepted for Celery's sake.
            follow_parents: raise the exception of a failed task before this one in a chain, also while this one's own
                result is not there; a ChordError if that was a member of a group.
            callback: called with the id and the value.
            disable_sync_subtasks: refuse to wait inside a task.

        Raises:
            TimeoutError: the result did not come in time.
            NotSupported: results are turned off.
            RuntimeError: called inside a task.
        """
        del interval, no_ack
        if self.ignored:
            return cast("R_co", None)
        if disable_sync_subtasks:
            assert_will_not_block()
        follows = follow_parents and propagate and self.parent is not None
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            if follows:
                raise_error_of(carry_out(look_before(self), lambda: self.backend))
            if self._final is not None:
                return self.maybe_throw(propagate, callback)
            record = self.backend.wait_ready(self.id, self._slice(deadline, follows=follows))
            if record is not None:
                self.take(record)
            elif deadline is not None and time.monotonic() >= deadline:
                self._raise_timeout(timeout, self.backend.load(self.id))

    def wait(self, timeout: float | None = None, propagate: bool = True) -> R_co:
        """`get` by its old name."""
        return self.get(timeout=timeout, propagate=propagate)

    async def aget(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        callback: Callable[[str, Any], object] | None = None,
        follow_parents: bool = True,
    ) -> R_co:
        """`get` for asyncio. A coroutine task may await other tasks: the executor's loop goes on meanwhile."""
        if self.ignored:
            return cast("R_co", None)
        follows = follow_parents and propagate and self.parent is not None
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            if follows:
                raise_error_of(await acarry_out(look_before(self), lambda: self.backend))
            if self._final is not None:
                return self.maybe_throw(propagate, callback)
            record = await self.backend.await_ready(self.id, self._slice(deadline, follows=follows))
            if record is not None:
                self.take(record)
            elif deadline is not None and time.monotonic() >= deadline:
                self._raise_timeout(timeout, await self.backend.aload(self.id))

    def then(
        self, callback: Callable[[Any], object], on_error: Callable[[Any], object] | None = None, weak: bool = False
    ) -> Future[None]:
        """Call `callback` with this result when it is there.

        One thread of the app waits for all results that are waited for like this, and another one calls what there is
        to call, one after the other. In asyncio, await `aget` instead.

        Args:
            callback: called with this result, also when the task has failed.
            on_error: called with the exception of a failed task, instead of `callback`.
            weak: accepted for Celery's sake.

        Returns:
            Done when the callback has returned; it can be cancelled until then, and has the callback's exception.

        Raises:
            OperationalError: this app waits for too many like this.
        """
        del weak
        return self.app.watcher.call_back(lambda: self.backend, self, [self], callback, on_error)

    def _slice(self, deadline: float | None, *, follows: bool) -> float:
        longest = WAIT_SLICE
        if follows:
            longest = PARENTS_INTERVAL + INTERVAL_PER_PARENT * sum(1 for _ in singles(ancestors_of(self)))
        return longest if deadline is None else max(0.0, min(longest, deadline - time.monotonic()))

    def _raise_timeout(self, timeout: float | None, record: ResultRecord | None) -> NoReturn:
        state = record.status if record is not None else states.PENDING
        reason = self.app.replies.explain_missing(self.id) if self.app.replies is not None else None
        raise TimeoutError(
            f"no result of task {self.label} within {timeout} s (state {state}). {reason or USUAL_REASONS}"
        )

    # -- looking -------------------------------------------------------------------------------------------------------

    @property
    def backend(self) -> Backend:
        """Where the result is kept.

        Raises:
            NotSupported: results are turned off.
        """
        if self._backend is None:
            if not self.app.stores_results:
                raise NotSupported(
                    f"results are turned off, so that of task {self.id} is not kept. Set result_backend (backend=) to "
                    "a store, here and at the worker"
                )
            self._backend = self.app.backend
        return self._backend

    @property
    def known_state(self) -> str | None:
        """The state, if it is final and known here already."""
        final = self._final
        return final.status if isinstance(final, ResultRecord) else (final["status"] if final is not None else None)

    def take(self, record: ResultRecord) -> None:
        """Keep a record of this result that was loaded, if it is final."""
        if record.status in states.READY_STATES and self._final is None:
            self._final = record

    def value(self) -> R_co:
        """What it returned, or its exception, of a result that is known here; None of one that is not."""
        value: Any = None if self._final is None else self._decode(self._final)["result"]
        return cast("R_co", value)

    def meta(self) -> dict[str, Any]:
        """What is stored, as a dictionary: `status`, `result`, `traceback`, `children`, `date_done`, ..."""
        return self._meta()

    def _meta(self) -> dict[str, Any]:
        if self._final is None:
            return self._note(self.backend.load(self.id))
        return self._note(self._final)

    async def _ameta(self) -> dict[str, Any]:
        if self._final is None:
            return self._note(await self.backend.aload(self.id))
        return self._note(self._final)

    def _note(self, found: ResultRecord | dict[str, Any] | None) -> dict[str, Any]:
        meta = _PENDING_META if found is None else self._decode(found)
        if meta["status"] in states.READY_STATES:
            self._final = meta
        return meta

    def _decode(self, found: ResultRecord | dict[str, Any]) -> dict[str, Any]:
        if isinstance(found, dict):
            return found
        conf = self.app.conf
        accept = conf.result_accept_content or conf.accept_content
        return decode_meta(found.meta, serializer=conf.result_serializer, accept=accept)

    @property
    def task_id(self) -> str:
        """The id."""
        return self.id

    @property
    def label(self) -> str:
        """The id, with the task's name before it if that is known: `add[2c6e...]`."""
        return f"{self._task_name}[{self.id}]" if self._task_name else self.id

    def exists(self) -> bool:
        """Something is stored under this id."""
        return self._final is not None or self.backend.load(self.id) is not None

    def maybe_throw(self, propagate: bool = True, callback: Callable[[str, Any], object] | None = None) -> R_co:
        """Raise the exception if it failed; return the result as far as there is one."""
        meta = self._meta()
        if propagate and meta["status"] in states.PROPAGATE_STATES:
            raise meta["result"]
        if callback is not None:
            callback(self.id, meta["result"])
        value: R_co = meta["result"]
        return value

    maybe_reraise = maybe_throw

    @property
    def supports_native_join(self) -> bool:
        """Many results of this backend are waited for together."""
        return True

    @property
    def children(self) -> list[AnyResult] | None:
        """Results of the tasks and groups that it sent."""
        stored = self._meta().get("children")
        return None if stored is None else [result_from_tuple(child, self.app) for child in stored]

    # -- the rest ------------------------------------------------------------------------------------------------------

    def forget(self) -> None:
        """Delete the stored result, and those of its parents."""
        for task_ids in in_chunks(let_go([self])):
            self.backend.forget_many(task_ids)

    async def aforget(self) -> None:
        """`forget` for asyncio."""
        for task_ids in in_chunks(let_go([self])):
            await self.backend.aforget_many(task_ids)

    def let_go(self) -> str | None:
        """Drop what is known here. Returns the id under which it is stored; None for what is stored nowhere."""
        self._final = None
        return self.id

    def as_tuple(self, most_parents: int | None = None) -> tuple[tuple[str, Any], list[Any] | None]:
        """What `result_from_tuple` makes a result of again: `((id, tuple of the parent), None)`.

        Args:
            most_parents: how many of those before it in its chain are told of; None for all.
        """
        return as_tuple(self, most_parents)

    def as_list(self) -> list[str]:
        """The id, and those of the tasks before it, nearer ones first."""
        return [self.id, *(single.id for single in singles(reversed(ancestors_of(self))))]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, AsyncResult):
            return bool(self.id == other.id)
        return self.id == other if isinstance(other, str) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def __str__(self) -> str:
        return self.id

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.id}>"

    def __copy__(self) -> AsyncResult[R_co]:
        twin = type(self)(self.id, self._backend, self._task_name, self.app, self.parent)
        twin.ignored, twin.kept, twin._final = self.ignored, self.kept, self._final  # noqa: SLF001 - of its own class
        return twin

    def __deepcopy__(self, memo: object) -> AsyncResult[R_co]:  # not the app and the backend
        return self.__copy__()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled by its id: on the other side it belongs to the current app."""
        return type(self), (self.id, None, self._task_name, None, self.parent), (None, {"ignored": self.ignored})


tell_what_is_missing(AsyncResult)


def result_from_tuple(stored: ResultTuple | str | AnyResult, app: Celeriac | None = None) -> AnyResult:
    """Make a result of what `as_tuple` gave, or of an id. A result is returned as it is.

    Args:
        stored: the tuple, also as the lists that JSON makes of it.
        app: the app of the result; by default the current one.

    Example:
        >>> result_from_tuple((("id of a group", None), [(("id of a task", None), None)]))
        <GroupResult: id of a group [id of a task]>
    """
    app = app if app is not None else get_current_app()
    chain: list[tuple[str, Sequence[Any] | None]] = []
    node: Any = stored
    while isinstance(node, tuple | list):  # a chain may be longer than Python recurses
        head, members = node[0], node[1]
        task_id, node = (head, None) if isinstance(head, str) else (head[0], head[1])
        chain.append((task_id, members))
    result: AnyResult | None = AsyncResult(node, app=app) if isinstance(node, str) else node
    for task_id, members in reversed(chain):
        if members is None:
            result = AsyncResult(task_id, app=app, parent=result)
        else:
            result = app.GroupResult(task_id, [result_from_tuple(one, app) for one in members], parent=result)
    if result is None:
        raise TypeError(f"a result is made of a tuple ((id, parent), members) or of an id, not of {stored!r:.100}")
    return result
