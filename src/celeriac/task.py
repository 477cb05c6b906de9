"""The task: a function that can be sent elsewhere to be run.

Owns what a task is (Celery's attributes and methods) and how it steers its own run. Sending is `celeriac.calling`'s
part, running `celeriac.attempt`'s.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import datetime
from types import MethodType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from celeriac.celery_names import tell_what_is_missing
from celeriac.current import find_task, get_current_app
from celeriac.exceptions import NotRegistered
from celeriac.option_types import ExecutorKind, TaskOptions
from celeriac.records import state_record
from celeriac.request import Request, current_request
from celeriac.retries import retry_task
from celeriac.task_handlers import TaskHandlers
from celeriac.task_options import (
    HANDLERS,
    annotations_for,
    check_attributes,
    from_setting,
    is_coroutine_function,
    set_options,
)
from celeriac.task_sending import SendingTask
from celeriac.task_workflows import WorkflowTask

if TYPE_CHECKING:
    from typing import Self

    from celeriac.app import Celeriac
    from celeriac.backends.base import Backend
    from celeriac.entities import Exchange, Queue
    from celeriac.exceptions import Retry

P = ParamSpec("P")
R = TypeVar("R")

#: Cached properties that hold on to the task they were made for.
_BOUND_CACHES = ("_body", "entry_point", "handlers", "_checker", "models")


class Task(TaskHandlers, WorkflowTask, SendingTask[P, R]):
    """A function with a name, options, and ways to have it run elsewhere.

    `@app.task` makes one of a function. A class with a `run` method is made one by `app.register_task(TheClass())`;
    there is one instance for each process, so its attributes are a cache for each process.

    `P` is what the task is called with, `R` what it returns; of an `async def`, what awaiting it gives.

    Example:
        >>> from celeriac import Celeriac
        >>> app = Celeriac("doc", broker="memory://")
        >>> @app.task
        ... def add(x: int, y: int) -> int:
        ...     return x + y
        >>> add(4, 6), add.apply((4, 6)).get()
        (10, 10)

    Attributes:
        name: what messages call it.
        typing: check arguments where the task is sent; None means yes.
        executor: what runs it: `process`, `thread` or `asyncio`. None: coroutines in asyncio, others by the worker.
        max_retries: how often `retry` may be used; None for ever.
        default_retry_delay: seconds before a retry that says nothing else.
        rate_limit: how many a worker starts in a time, `"100/m"`. No effect yet.
        time_limit: seconds after which a run is ended by force; None: what the worker says.
        soft_time_limit: seconds after which `SoftTimeLimitExceeded` is raised in the task; None: likewise.
        ignore_result: do not store results.
        store_errors_even_if_ignored: store failures all the same.
        store_eager_result: store results of runs in place.
        trail: note the tasks that it sends as its children.
        send_events: send events about it. No effect yet.
        serializer: serializer of its messages.
        compression: compression of its messages.
        track_started: store STARTED when a run begins.
        acks_late: done with after the run rather than before it.
        acks_on_failure_or_timeout: a run that raises or exceeds its limit is done with, else a dead letter.
        acks_on_failure: the same for raising only; None: the above.
        acks_on_timeout: the same for the limit only; None: the above.
        reject_on_worker_lost: run again when its process dies. None means yes here.
        retry_on_worker_lost: no effect: a lost task runs again in any case.
        throws: exceptions that are expected: logged without a traceback.
        expires: seconds, or a moment, after which it is not run any more.
        priority: 0 (first) to 9.
        resultrepr_maxsize: longest result, in characters, that a log line shows.
        queue: the queue it is sent to, or its name.
        exchange: the exchange it is sent to, or its name, with `routing_key`.
        routing_key: the key by which the exchange finds queues.
        delivery_mode: 2 to survive a restart of the broker; 1: a classic queue of RabbitMQ may forget it then.
        autoretry_for: exceptions after which it is retried by itself.
        dont_autoretry_for: except for these.
        retry_kwargs: options for such a retry.
        retry_backoff: wait 1, 2, 4, ... seconds; a number is the first wait.
        retry_backoff_max: longest such wait in seconds.
        retry_jitter: choose each wait at random between zero and that.
        pydantic: arguments and result that are pydantic models travel as their JSON form.
        pydantic_strict: validate strictly; None leaves it to the models.
        pydantic_context: context for validators.
        pydantic_dump_kwargs: options of `model_dump` for the result.
    """

    name: str = ""
    typing: bool | None = None
    executor: ExecutorKind | None = None
    max_retries: int | None = 3
    default_retry_delay: float = 180
    rate_limit: str | float | None = from_setting(lambda conf: conf.task_default_rate_limit)
    time_limit: float | None = None
    soft_time_limit: float | None = None
    ignore_result: bool = from_setting(lambda conf: conf.task_ignore_result)
    store_errors_even_if_ignored: bool = from_setting(lambda conf: conf.task_store_errors_even_if_ignored)
    store_eager_result: bool = from_setting(lambda conf: conf.task_store_eager_result)
    trail: bool = True
    send_events: bool = True
    serializer: str = from_setting(lambda conf: conf.task_serializer)
    compression: str | None = from_setting(lambda conf: conf.task_compression)
    track_started: bool = from_setting(lambda conf: conf.task_track_started)
    acks_late: bool = from_setting(lambda conf: conf.task_acks_late)
    acks_on_failure_or_timeout: bool = from_setting(lambda conf: conf.task_acks_on_failure_or_timeout)
    acks_on_failure: bool | None = from_setting(lambda conf: conf.task_acks_on_failure)
    acks_on_timeout: bool | None = from_setting(lambda conf: conf.task_acks_on_timeout)
    reject_on_worker_lost: bool | None = from_setting(lambda conf: conf.task_reject_on_worker_lost)
    retry_on_worker_lost: bool = from_setting(lambda conf: conf.task_retry_on_worker_lost)
    throws: tuple[type[BaseException], ...] = ()
    expires: float | datetime | str | None = None
    priority: int | None = None
    resultrepr_maxsize: int = 1024
    queue: str | Queue | None = None
    exchange: str | Exchange | None = None
    routing_key: str | None = None
    delivery_mode: int | None = from_setting(lambda conf: conf.task_default_delivery_mode)
    autoretry_for: tuple[type[BaseException], ...] = ()
    dont_autoretry_for: tuple[type[BaseException], ...] = ()
    retry_kwargs: Mapping[str, Any] = {}
    retry_backoff: bool | float = False
    retry_backoff_max: float = 600
    retry_jitter: bool = True
    pydantic: bool = False
    pydantic_strict: bool | None = None
    pydantic_context: Mapping[str, Any] | None = None
    pydantic_dump_kwargs: Mapping[str, Any] | None = None

    _app: Celeriac | None = None
    _function: Callable[..., Any] | None = None
    _takes_self: bool = False

    def __repr__(self) -> str:
        return f"<Task: {self.name or type(self).__qualname__}>"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled by its name, as a function is: on the other side the module is imported and the app asked for it."""
        return _unpickled, (self._app.main if self._app is not None else None, self.name, self.__module__)

    # -- being declared ------------------------------------------------------------------------------------------------

    @classmethod
    def declare(cls, function: Callable[..., Any], name: str, bind: bool, options: TaskOptions) -> Self:
        """Make a task of `function`. What `@app.task` and `shared_task` use."""
        task = cls()
        wrap = options.get("filter")
        task._function = wrap(function) if wrap is not None else function
        task._takes_self = bind
        task.name = name
        functools.update_wrapper(task, function, updated=())
        set_options(task, options)
        return task

    def bind(self, app: Celeriac) -> None:
        """Make this the task of `app`, with what `task_annotations` says. Called when it is registered."""
        self._app = app
        check_attributes(self)
        self.on_bound(app)

    def annotate(self, annotations: Any) -> None:
        """Take over the attributes that `task_annotations` has for this task."""
        set_options(self, annotations_for(self, annotations))

    def on_bound(self, app: Celeriac) -> None:
        """Called when the task has become one of `app`; for subclasses."""

    def copy_for(self, app: Celeriac) -> Self:
        """The same task for another app. `__init__` is not run again."""
        twin = type(self).__new__(type(self))
        twin.__dict__.update(self.__dict__)
        for handler in HANDLERS:
            given = self.__dict__.get(handler)
            if isinstance(given, MethodType):
                setattr(twin, handler, MethodType(given.__func__, twin))
        for cached in _BOUND_CACHES:
            twin.__dict__.pop(cached, None)
        twin.bind(app)
        return twin

    @property
    def called_function(self) -> tuple[Callable[..., Any], int]:
        """What runs in the end, and how many of its first parameters are not the caller's."""
        return (self._function, int(self._takes_self)) if self._function is not None else (self.run, 0)

    def is_errback_with_exception(self, errback: Mapping[str, Any]) -> bool:
        """Whether `errback`, a signature of this task, takes `(request, exception, traceback)`, not just the task's id.

        Celery's rule: there is room for more than one positional argument beside those that it has.
        """
        given: Mapping[str, Any] = {} if errback.get("immutable") else errback
        return self._checker.positional_left(given.get("args") or (), given.get("kwargs") or {}) > 1

    @property
    def app(self) -> Celeriac:
        """The app it belongs to; the current one for a shared task."""
        return self._app if self._app is not None else get_current_app()

    @property
    def bound_app(self) -> Celeriac | None:
        """The app it was made for; None for a shared task."""
        return self._app

    @property
    def backend(self) -> Backend:
        """Where its results are kept."""
        return self.app.backend

    @property
    def origin(self) -> str:
        """Where its code is, for messages about two tasks of one name."""
        code = self._function if self._function is not None else type(self)
        return f"{code.__module__}.{code.__qualname__}"

    @functools.cached_property
    def is_coroutine(self) -> bool:
        """Running it gives a coroutine."""
        return is_coroutine_function(self._function if self._function is not None else self.run)

    def executor_kind(self, app: Celeriac) -> ExecutorKind | None:
        """What must run it, or None where the worker may choose."""
        if self.executor is not None:
            return self.executor
        return "asyncio" if self.is_coroutine else app.conf.task_executor

    @functools.cached_property
    def handlers(self) -> frozenset[str]:
        """Those of `HANDLERS` that this task has of its own, so that the others cost nothing."""
        own = (h for h in HANDLERS if h in self.__dict__ or getattr(type(self), h) is not getattr(Task, h))
        return frozenset(own)

    # -- being run -----------------------------------------------------------------------------------------------------

    def run(self, *args: P.args, **kwargs: P.kwargs) -> R | Coroutine[Any, Any, R]:
        """The task's body. A subclass defines it, as a method or an `async def`; `@app.task` takes the function."""
        if self._function is None:
            raise NotImplementedError(f"task class {type(self).__qualname__} needs a method run()")
        value: R = self._body(*args, **kwargs)
        return value

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the body right here, as a function."""
        request = current_request.get()
        if request is None or request.task != self.name:
            return cast("R", self.run(*args, **kwargs))
        if not request.entered:  # the worker's own call, by way of an overridden __call__
            request.entered = True
            return cast("R", self.run(*args, **kwargs))
        return self._call_within(*args, **kwargs)

    def _call_within(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The task calls itself: the inner run must not take the outer one's request for its own."""
        if self.is_coroutine:
            return cast("R", self._await_within(*args, **kwargs))
        self.push_request(args=args, kwargs=kwargs)
        try:
            return cast("R", self.run(*args, **kwargs))
        finally:
            self.pop_request()

    async def _await_within(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        self.push_request(args=args, kwargs=kwargs)
        try:
            return await cast("Coroutine[Any, Any, Any]", self.run(*args, **kwargs))
        finally:
            self.pop_request()

    @functools.cached_property
    def _body(self) -> Callable[..., Any]:
        assert self._function is not None
        return functools.partial(self._function, self) if self._takes_self else self._function

    @functools.cached_property
    def entry_point(self) -> Callable[..., Any]:
        """What a worker calls: the plain function where nothing is to be done around it."""
        if type(self).__call__ is not Task.__call__:
            return self
        return self._body if self._function is not None and type(self).run is Task.run else self.run

    @property
    def request(self) -> Request:
        """What the task knows about its own call; an empty one with `called_directly` outside a run."""
        request = current_request.get()
        return request if request is not None and request.task == self.name else Request()

    def push_request(self, **fields: Any) -> None:
        """Let `request` have these fields until `pop_request`. For tests of bound tasks.

        Names that are no fields become headers, as in `Request.update`.
        """
        request = Request(task=self.name, running=self, entered=True, outer=current_request.get())
        request.update(**fields)
        current_request.set(request)

    def pop_request(self) -> None:
        """Undo `push_request`."""
        request = current_request.get()
        current_request.set(request.outer if request is not None else None)

    def retry(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        exc: BaseException | None = None,
        throw: bool = True,
        eta: datetime | None = None,
        countdown: float | None = None,
        max_retries: int | None = None,
        **options: Any,
    ) -> Retry:
        """Have this task run again later; it ends here, by raising `Retry`.

        Args:
            args: other positional arguments.
            kwargs: other keyword arguments.
            exc: why. Raised instead when the retries are used up, and stored as the reason until then.
            throw: raise `Retry`; if False it is returned and the task may go on before it ends.
            eta: when.
            countdown: seconds from now; `default_retry_delay` if neither is given.
            max_retries: overrides the task's own.
            **options: call options that shall be different.

        Raises:
            Retry: always, unless `throw` is false.
            MaxRetriesExceededError: the retries are used up and there is no `exc`.

        Example:
            >>> from celeriac import Celeriac
            >>> app = Celeriac("doc", broker="memory://")
            >>> @app.task(bind=True)
            ... def flaky(self) -> int:
            ...     if self.request.retries < 2:
            ...         raise self.retry(countdown=1)
            ...     return self.request.retries
            >>> flaky.apply().get()
            2
        """
        return retry_task(self, args, kwargs, exc, throw, eta, countdown, max_retries, options)

    def update_state(
        self, task_id: str | None = None, state: str | None = None, meta: Any = None, **extended: Any
    ) -> None:
        """Store a state of the task's own, such as its progress.

        Args:
            task_id: whose; the running one's by default.
            state: any word; not one of the final states.
            meta: stored as the result.
            **extended: accepted for Celery's sake.
        """
        del extended
        self.backend.store([state_record(self, task_id, state, meta)])

    async def aupdate_state(self, task_id: str | None = None, state: str | None = None, meta: Any = None) -> None:
        """`update_state` for asyncio."""
        await self.backend.astore([state_record(self, task_id, state, meta)])


class CoroutineTask(Task[P, R]):
    """What `@app.task` makes of an `async def`: to call it gives a coroutine, its result is what awaiting that gives.

    Base class of class-based tasks whose `run` is an `async def`.
    """

    if TYPE_CHECKING:  # a call gives something else than the stored result, which `Task` can not say

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:  # type: ignore[override]
            ...


tell_what_is_missing(Task)


def _unpickled(main: str | None, name: str, module: str) -> Task[Any, Any]:
    """See `Task.__reduce__`.

    Raises:
        NotRegistered: no app that is called `main` has a task of this name.
    """
    importlib.import_module(module)
    task = find_task(main, name)
    if task is None:
        raise NotRegistered(f"a pickled task is {name!r} of app {main!r}, and module {module} does not declare it here")
    return task
