"""Results as the caller holds them: ask for a task's state, wait for what it returns.

Owns the reading of stored results. Knows nothing of how tasks are sent or run; writing is `celeriac.attempt`'s part.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Sequence
from contextvars import ContextVar
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Generic, NoReturn, TypeVar, cast

from celeriac import states
from celeriac.celery_names import tell_what_is_missing
from celeriac.current import get_current_app
from celeriac.exceptions import NotSupported, TimeoutError  # noqa: A004 - Celery's name
from celeriac.protocol import parse_iso
from celeriac.request import current_request
from celeriac.result_meta import decode_meta

if TYPE_CHECKING:
    from celeriac.app import Celeriac
    from celeriac.backends.base import Backend
    from celeriac.outcome import ResultRecord

R_co = TypeVar("R_co", covariant=True)

#: Nobody waits longer than this in one call to the backend, so that a lost wake-up or connection is noticed.
_WAIT_SLICE: Final = 30.0

_PENDING_META: Final[dict[str, Any]] = {"status": states.PENDING, "result": None}
_USUAL_REASONS: Final = "Does a worker take from its queue, does the task ignore its result, is the timeout too short?"

#: Result tuples as they are stored: `((id, parent), children)`.
ResultTuple = Sequence[Any]

_joins_allowed: Final[ContextVar[bool]] = ContextVar("celeriac_joins_allowed", default=False)


@contextlib.contextmanager
def allow_join_result() -> Generator[None]:
    """Inside this block a task may wait for results of other tasks."""
    token = _joins_allowed.set(True)
    try:
        yield
    finally:
        _joins_allowed.reset(token)


def assert_will_not_block() -> None:
    """Refuse to wait for a result inside a task.

    Raises:
        RuntimeError: a task runs here. All executors may be waiting like that for a task that finds none free.
    """
    request = current_request.get()
    if request is not None and not request.is_eager and not request.called_directly and not _joins_allowed.get():
        raise RuntimeError(
            f"task {request.task}[{request.id}] calls get() on another task's result: if all executors wait like "
            "this, nothing runs. Link the tasks instead, or pass disable_sync_subtasks=False"
        )


class AsyncResult(Generic[R_co]):
    """The result of a task that was sent.

    Example:
        >>> from celeriac import Celeriac
        >>> app = Celeriac("doc", broker="memory://")
        >>> app.AsyncResult("an id that nobody knows").state
        'PENDING'

    Attributes:
        id: the task's id.
        parent: the result of the task before it in a chain.
        app: the app whose backend holds the result.
        ignored: the call said that its result is not kept (`ignore_result`): `get` returns None at once.
    """

    ignored: bool = False
    kept: object = None  # what the backend needs somebody to hold for this result; see `ReplyBackend.expect`

    def __init__(
        self,
        id: str,  # noqa: A002 - Celery's name
        backend: Backend | None = None,
        task_name: str | None = None,
        app: Celeriac | None = None,
        parent: AsyncResult[Any] | None = None,
    ) -> None:
        if not id:
            raise ValueError(f"a result needs the id of its task, not {id!r}")
        self.id = id
        self.parent = parent
        self.app: Celeriac = app if app is not None else get_current_app()
        self._backend = backend
        self._task_name = task_name
        self._final: dict[str, Any] | None = None

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
            follow_parents: raise the exception of a failed task before this one in a chain.
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
        if follow_parents and propagate:
            self._raise_parents_error()
        return self._conclude(self._wait(timeout), propagate, callback)

    def wait(self, timeout: float | None = None, propagate: bool = True) -> R_co:
        """`get` by its old name."""
        return self.get(timeout=timeout, propagate=propagate)

    async def aget(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        callback: Callable[[str, Any], object] | None = None,
    ) -> R_co:
        """`get` for asyncio. A coroutine task may await other tasks: the executor's loop goes on meanwhile."""
        if self.ignored:
            return cast("R_co", None)
        return self._conclude(await self._await(timeout), propagate, callback)

    def _conclude(self, meta: dict[str, Any], propagate: bool, callback: Callable[[str, Any], object] | None) -> R_co:
        if propagate and meta["status"] in states.PROPAGATE_STATES:
            raise meta["result"]
        if callback is not None:
            callback(self.id, meta["result"])
        value: R_co = meta["result"]
        return value

    def _wait(self, timeout: float | None) -> dict[str, Any]:
        if self._final is not None:
            return self._final
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = _WAIT_SLICE if deadline is None else min(_WAIT_SLICE, deadline - time.monotonic())
            record = self.backend.wait_ready(self.id, max(left, 0.0))
            if record is not None:
                return self._read(record)
            if deadline is not None and time.monotonic() >= deadline:
                self._raise_timeout(timeout, self.backend.load(self.id))

    async def _await(self, timeout: float | None) -> dict[str, Any]:
        if self._final is not None:
            return self._final
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = _WAIT_SLICE if deadline is None else min(_WAIT_SLICE, deadline - time.monotonic())
            record = await self.backend.await_ready(self.id, max(left, 0.0))
            if record is not None:
                return self._read(record)
            if deadline is not None and time.monotonic() >= deadline:
                self._raise_timeout(timeout, await self.backend.aload(self.id))

    def _raise_timeout(self, timeout: float | None, record: ResultRecord | None) -> NoReturn:
        state = record.status if record is not None else states.PENDING
        name = f"{self._task_name}[{self.id}]" if self._task_name else self.id
        reason = self.app.replies.explain_missing(self.id) if self.app.replies is not None else None
        raise TimeoutError(f"no result of task {name} within {timeout} s (state {state}). {reason or _USUAL_REASONS}")

    def _raise_parents_error(self) -> None:
        ancestors: list[AsyncResult[Any]] = []
        node = self.parent
        while node is not None:
            ancestors.append(node)
            node = node.parent
        for ancestor in reversed(ancestors):
            ancestor.maybe_throw()

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

    def _meta(self) -> dict[str, Any]:
        return self._final if self._final is not None else self._read(self.backend.load(self.id))

    async def _ameta(self) -> dict[str, Any]:
        return self._final if self._final is not None else self._read(await self.backend.aload(self.id))

    def _read(self, record: ResultRecord | None) -> dict[str, Any]:
        if record is None:
            return _PENDING_META
        conf = self.app.conf
        accept = conf.result_accept_content or conf.accept_content
        meta = decode_meta(record.meta, serializer=conf.result_serializer, accept=accept)
        if meta["status"] in states.READY_STATES:
            self._final = meta
        return meta

    @property
    def task_id(self) -> str:
        """The id."""
        return self.id

    @property
    def state(self) -> str:
        """One of `celeriac.states`, or the task's own. PENDING also stands for "never heard of it"."""
        status: str = self._meta()["status"]
        return status

    status = state

    async def astate(self) -> str:
        """`state` for asyncio."""
        status: str = (await self._ameta())["status"]
        return status

    @property
    def result(self) -> Any:
        """What it returned, or the exception, or the meta of a custom state. None while there is nothing."""
        return self._meta()["result"]

    info = result

    async def aresult(self) -> Any:
        """`result` for asyncio."""
        return (await self._ameta())["result"]

    @property
    def traceback(self) -> str | None:
        """The traceback as text, if it raised."""
        return self._meta().get("traceback")

    def ready(self) -> bool:
        """It has succeeded, failed, or was revoked."""
        return self.state in states.READY_STATES

    async def aready(self) -> bool:
        """`ready` for asyncio."""
        return await self.astate() in states.READY_STATES

    def successful(self) -> bool:
        """It has returned."""
        return self.state == states.SUCCESS

    def failed(self) -> bool:
        """It has raised."""
        return self.state == states.FAILURE

    def exists(self) -> bool:
        """Something is stored under this id."""
        return self._final is not None or self.backend.load(self.id) is not None

    def maybe_throw(self, propagate: bool = True, callback: Callable[[str, Any], object] | None = None) -> R_co | None:
        """Raise the exception if it failed; return the result as far as there is one."""
        return self._conclude(self._meta(), propagate, callback)

    maybe_reraise = maybe_throw

    @property
    def children(self) -> list[AsyncResult[Any]] | None:
        """Results of the tasks that it sent."""
        stored = self._meta().get("children")
        return None if stored is None else [result_from_tuple(child, self.app) for child in stored]

    @property
    def date_done(self) -> datetime | None:
        """When it was done."""
        text = self._meta().get("date_done")
        return parse_iso(text) if isinstance(text, str) else text

    @property
    def name(self) -> str | None:
        """The task's name, known with `result_extended`."""
        return self._meta().get("name")

    @property
    def args(self) -> list[Any] | None:
        """Positional arguments, known with `result_extended`."""
        return self._meta().get("args")

    @property
    def kwargs(self) -> dict[str, Any] | None:
        """Keyword arguments, known with `result_extended`."""
        return self._meta().get("kwargs")

    @property
    def worker(self) -> str | None:
        """Who ran it, known with `result_extended`."""
        return self._meta().get("worker")

    @property
    def retries(self) -> int | None:
        """How often it was retried, known with `result_extended`."""
        return self._meta().get("retries")

    @property
    def queue(self) -> str | None:
        """The queue it came through, known with `result_extended`."""
        return self._meta().get("queue")

    # -- the rest ------------------------------------------------------------------------------------------------------

    def forget(self) -> None:
        """Delete the stored result, and those of its parents."""
        self._final = None
        if self.parent is not None:
            self.parent.forget()
        self.backend.forget(self.id)

    async def aforget(self) -> None:
        """`forget` for asyncio."""
        self._final = None
        if self.parent is not None:
            await self.parent.aforget()
        await self.backend.aforget(self.id)

    def as_tuple(self) -> tuple[tuple[str, Any], None]:
        """What `result_from_tuple` makes a result of again."""
        return (self.id, self.parent.as_tuple() if self.parent is not None else None), None

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
        twin = type(self).__new__(type(self))
        twin.__dict__.update(self.__dict__)
        return twin

    def __deepcopy__(self, memo: object) -> AsyncResult[R_co]:  # not the app and the backend
        return self.__copy__()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled by its id: on the other side it belongs to the current app."""
        return type(self), (self.id, None, self._task_name, None, self.parent), {"ignored": self.ignored}


tell_what_is_missing(AsyncResult)


def result_from_tuple(stored: ResultTuple | str, app: Celeriac | None = None) -> AsyncResult[Any]:
    """Make a result of what `as_tuple` gave, or of an id.

    Raises:
        NotSupported: it is the result of a group.
    """
    if isinstance(stored, str):
        return AsyncResult(stored, app=app)
    head, nodes = stored[0], stored[1]
    if nodes is not None:
        raise NotSupported(f"{head!r} is the result of a group, which this version can not read")
    if isinstance(head, str):
        return AsyncResult(head, app=app)
    return AsyncResult(head[0], app=app, parent=result_from_tuple(head[1], app) if head[1] is not None else None)
