"""The half of a task that its callers use: sending, running in place, signatures.

Owns these methods and the checks of arguments before anything is sent. Knows nothing of how the task runs.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast

from celeriac import calling, eager
from celeriac.arguments import ArgumentChecker
from celeriac.canvas import batches
from celeriac.canvas.signature import Signature
from celeriac.current import get_current_app
from celeriac.eager_result import EagerResult
from celeriac.models import ModelArguments
from celeriac.publications import Call, task_call
from celeriac.result import AsyncResult

if TYPE_CHECKING:
    from typing import Unpack

    from celeriac.app import Celeriac
    from celeriac.option_types import CallOptions
    from celeriac.task import Task

P = ParamSpec("P")
R = TypeVar("R")

#: One call among many: positional arguments as a tuple or list, or keyword arguments as a mapping.
CallArguments = Sequence[Any] | Mapping[str, Any]


class SendingTask(Generic[P, R]):
    """What `Task` can do for those who call it."""

    name: str
    _app: Celeriac | None

    # -- sending -------------------------------------------------------------------------------------------------------

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult[R]:
        """Send the task with these arguments.

        Raises:
            TypeError: the arguments do not fit the function.
            EncodeError: an argument can not be serialised.
            MessageTooLarge: they are over `task_message_size_limit`.
            OperationalError: the broker can not be reached.
        """
        task = self._of_app()
        app = task.app
        if app.conf.task_always_eager:
            return eager.run(task, args, kwargs, {})
        return calling.send(app, Call(task.name, args, kwargs, task=task))

    async def adelay(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult[R]:
        """`delay` for asyncio: the loop is not blocked while the broker writes."""
        task = self._of_app()
        app = task.app
        if app.conf.task_always_eager:
            return await eager.arun(task, args, kwargs, {})
        return await calling.asend(app, Call(task.name, args, kwargs, task=task))

    def apply_async(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncResult[R]:
        """Send the task with options.

        Args:
            args: positional arguments, as a list or tuple.
            kwargs: keyword arguments.
            **options: see `CallOptions`.

        Raises:
            TypeError: arguments or options do not fit.
            ValueError: the value of an option can not be.
            NotSupported: a named exchange.
            EncodeError, MessageTooLarge, OperationalError: as `delay`.

        Example:
            >>> from celeriac import Celeriac
            >>> app = Celeriac("doc", broker="memory://")
            >>> @app.task
            ... def add(x: int, y: int) -> int:
            ...     return x + y
            >>> add.apply_async((4, 6), countdown=10, queue="sums").state
            'PENDING'
        """
        task = self._of_app()
        call = task_call(task, args, kwargs, options)
        if task.app.conf.task_always_eager:
            return eager.run(task, call.args, call.kwargs, options)
        return calling.send(task.app, call)

    async def aapply_async(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncResult[R]:
        """`apply_async` for asyncio."""
        task = self._of_app()
        call = task_call(task, args, kwargs, options)
        if task.app.conf.task_always_eager:
            return await eager.arun(task, call.args, call.kwargs, options)
        return await calling.asend(task.app, call)

    def delay_many(
        self,
        calls: Iterable[CallArguments],
        *,
        chunk_size: int = calling.CHUNK_SIZE,
        **options: Unpack[CallOptions],
    ) -> list[AsyncResult[R]]:
        """Send the task many times in few trips to the broker.

        Args:
            calls: for each call a tuple (or list) of its positional arguments, or a mapping of its keyword arguments.
                Used up as it is sent, so it may be a generator. For calls with both use `app.publish_many`.
            chunk_size: messages in one trip. Each trip is written whole or not at all.
            **options: for all of them.

        Raises:
            TypeError: an item is neither, or arguments do not fit.
            EncodeError, MessageTooLarge, OperationalError: as `delay`. Trips before have been sent.

        Example:
            >>> from celeriac import Celeriac
            >>> app = Celeriac("doc", broker="memory://")
            >>> @app.task
            ... def square(x: int) -> int:
            ...     return x * x
            >>> len(square.delay_many((number,) for number in range(2500)))
            2500
        """
        task = self._of_app()
        made = _calls_of(task, calls, options)
        if task.app.conf.task_always_eager:
            return [eager.run(task, call.args, call.kwargs, options) for call in made]
        return calling.send_many(task.app, made, chunk_size)

    async def adelay_many(
        self,
        calls: Iterable[CallArguments],
        *,
        chunk_size: int = calling.CHUNK_SIZE,
        **options: Unpack[CallOptions],
    ) -> list[AsyncResult[R]]:
        """`delay_many` for asyncio."""
        task = self._of_app()
        made = _calls_of(task, calls, options)
        if task.app.conf.task_always_eager:
            return [await eager.arun(task, call.args, call.kwargs, options) for call in made]
        return await calling.asend_many(task.app, made, chunk_size)

    # -- running in place ----------------------------------------------------------------------------------------------

    def apply(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        *,
        throw: bool | None = None,
        **options: Unpack[CallOptions],
    ) -> EagerResult[R]:
        """Run the task here and now, just as a worker would: with messages, serialisation, retries and handlers.

        Args:
            args: positional arguments.
            kwargs: keyword arguments.
            throw: raise what the task raises; by default as `task_eager_propagates` says.
            **options: see `CallOptions`; times and queues have no effect.
        """
        task = self._of_app()
        call = task_call(task, args, kwargs, options)
        return eager.run(task, call.args, call.kwargs, options, throw)

    async def aapply(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        *,
        throw: bool | None = None,
        **options: Unpack[CallOptions],
    ) -> EagerResult[R]:
        """`apply` for asyncio: a coroutine task is awaited in this loop."""
        task = self._of_app()
        call = task_call(task, args, kwargs, options)
        return await eager.arun(task, call.args, call.kwargs, options, throw)

    # -- signatures and results ----------------------------------------------------------------------------------------

    def s(self, *args: Any, **kwargs: Any) -> Signature[R]:
        """A signature with these arguments; more can come in front of them later."""
        return self.signature(args, kwargs)

    def si(self, *args: P.args, **kwargs: P.kwargs) -> Signature[R]:
        """A signature that takes no further arguments."""
        return self.signature(args, kwargs, immutable=True)

    def signature(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        *,
        immutable: bool = False,
        **more: Unpack[CallOptions],
    ) -> Signature[R]:
        """A signature with arguments and options."""
        return Signature(self._itself, args, kwargs, {**(options or {}), **more}, immutable=immutable)

    subtask = signature

    def map(self, it: Iterable[Any]) -> batches.xmap[list[R]]:
        """One message that calls the task for each item, one after the other. It comes to the list of results.

        Example:
            >>> from celeriac import Celeriac
            >>> app = Celeriac("doc", broker="memory://")
            >>> @app.task
            ... def square(x: int) -> int:
            ...     return x * x
            >>> square.map([1, 2, 3]).apply().get()
            [1, 4, 9]
        """
        return batches.xmap(self.s(), it)

    def starmap(self, it: Iterable[Sequence[Any]]) -> batches.xstarmap[list[R]]:
        """`map` with items that are lists of arguments."""
        return batches.xstarmap(self.s(), it)

    def chunks(self, it: Iterable[Sequence[Any]], n: int) -> batches.chunks:
        """Messages that each call the task for `n` lists of arguments; they run side by side.

        Example:
            >>> from celeriac import Celeriac
            >>> app = Celeriac("doc", broker="memory://")
            >>> @app.task
            ... def add(x: int, y: int) -> int:
            ...     return x + y
            >>> add.chunks([(1, 1), (2, 2), (3, 3)], 2).apply().get()
            [[2, 4], [6]]
        """
        return batches.chunks(self.s(), it, n)

    def AsyncResult(self, task_id: str) -> AsyncResult[R]:  # noqa: N802 - Celery's name
        """The result of the call with this id."""
        return AsyncResult(task_id, task_name=self._itself.name, app=self._itself.app)

    # -- the checks ----------------------------------------------------------------------------------------------------

    def prepare_arguments(
        self, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """Check arguments and turn pydantic models into what can be serialised.

        Raises:
            TypeError: the function can not be called with them.
        """
        if self._itself.typing is not False:
            self._checker.check(args, kwargs)
        return (args, kwargs) if self.models is None else self.models.dump(args, kwargs)

    def takes_argument(self, name: str) -> bool:
        """Whether the function has a parameter that is called so."""
        return self._checker.takes(name)

    @functools.cached_property
    def _checker(self) -> ArgumentChecker:
        function, skip = self._itself.called_function
        return ArgumentChecker(function, self._itself.name, skip)

    @functools.cached_property
    def models(self) -> ModelArguments | None:
        """What turns pydantic models into JSON and back, for a task with `pydantic=True`."""
        task = self._itself
        if not task.pydantic:
            return None
        return ModelArguments(
            *task.called_function, task.name, task.pydantic_strict, task.pydantic_context, task.pydantic_dump_kwargs
        )

    @property
    def _itself(self) -> Task[P, R]:
        return cast("Task[P, R]", self)  # this class is a part of that one only

    def _of_app(self) -> Task[P, R]:
        """Itself, or for a shared task its twin in the current app."""
        app = self._app
        if app is None:
            return get_current_app().tasks[self.name]
        if not app.finalized:
            app.finalize(auto=True)
        return self._itself


def _calls_of(task: Task[Any, Any], calls: object, options: CallOptions) -> Iterator[Call]:
    name = task.name
    if not isinstance(calls, Iterable) or isinstance(calls, str | bytes | Mapping):
        raise TypeError(f"delay_many of task {name} takes many calls, as a list of tuples, not {calls!r:.100}")
    task_id = options.get("task_id")
    if task_id is not None:
        raise TypeError(f"delay_many of task {name} sends many: they can not all have task_id={task_id!r}")
    for arguments in calls:
        if isinstance(arguments, tuple | list):
            yield Call(name, arguments, {}, options, task)
        elif isinstance(arguments, Mapping):
            yield Call(name, (), arguments, options, task)
        else:
            raise TypeError(
                f"delay_many of task {name} takes tuples of positional or mappings of keyword arguments, not "
                f"{arguments!r}: a single argument is written ({arguments!r},)"
            )
