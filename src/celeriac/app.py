"""The app: settings, tasks, and the connections to the broker and the result store.

Owns these parts and makes each when it is first needed. How a call becomes a message is `celeriac.calling`'s part.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from datetime import datetime, tzinfo
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, Self, TypeVar, overload

from celeriac import calling, eager, signals
from celeriac.backends import open_backend
from celeriac.brokers import open_broker
from celeriac.call_options import CallOptions
from celeriac.calling import Call
from celeriac.canvas.signature import Signature, signature
from celeriac.clock import SYSTEM_CLOCK, Clock
from celeriac.config import Settings, environment_settings, load_settings, load_settings_from_envvar
from celeriac.current import (
    forget_app,
    note_app,
    set_current_app,
    set_default_app,
    set_default_factory,
    share_task,
    shared_tasks,
)
from celeriac.declaring import BoundTaskDecorator, TaskDecorator, declare_task, task_name
from celeriac.discovery import Discovery, PackageNames, import_name, module_exists
from celeriac.registry import Registry
from celeriac.result import AsyncResult
from celeriac.signals import Signal
from celeriac.task import CoroutineTask, Task
from celeriac.task_options import TaskOptions
from celeriac.timezones import timezone_of

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Unpack

    from celeriac.backends.base import Backend
    from celeriac.brokers.base import Broker

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T", bound=Task[Any, Any])

#: The embedded broker, in the working directory.
DEFAULT_BROKER_URL = "sqlite:///celeriac.sqlite3"
_DISABLED = "disabled://"


class Celeriac:
    """An application: the tasks that belong together, with their settings.

    Args:
        main: the name that stands for the module `__main__` in names of tasks.
        broker: URL of the broker; by default SQLite, in the file `celeriac.sqlite3` of the working directory.
        backend: URL of the result store; by default the broker's own, where it has one.
        include: modules with tasks, imported when a worker starts.
        config_source: see `config_from_object`.
        namespace: prefix of the settings in `config_source`.
        set_as_current: make this the current app.
        task_cls: base class of its tasks.
        changes: settings.
        autofinalize: take in shared tasks when the tasks are first looked at; else `finalize` has to be called.
        clock: the time.
        **settings: more settings.

    Example:
        >>> app = Celeriac("doc", broker="memory://", task_default_queue="sums")
        >>> app.conf.task_default_queue
        'sums'

    Attributes:
        main: the name.
        clock: the time.
        finalized: shared tasks have been taken in.
        on_configure: signal: settings are about to be read.
        on_after_configure: signal: they have been read; sent with `source`.
        on_after_finalize: signal: all tasks are there that will come without an import.
    """

    def __init__(
        self,
        main: str | None = None,
        *,
        broker: str | None = None,
        backend: str | None = None,
        include: Iterable[str] | None = None,
        config_source: object | None = None,
        namespace: str | None = None,
        set_as_current: bool = True,
        task_cls: type[Task[Any, Any]] = Task,
        changes: Mapping[str, Any] | None = None,
        autofinalize: bool = True,
        clock: Clock = SYSTEM_CLOCK,
        **settings: Any,
    ) -> None:
        self.main = main
        self.clock = clock
        self.finalized = False
        self.on_configure = Signal("on_configure")
        self.on_after_configure = Signal("on_after_configure")
        self.on_after_finalize = Signal("on_after_finalize")
        self._task_cls = task_cls
        self._autofinalize = autofinalize
        self._assigned: dict[str, Any] = {**(changes or {}), **settings}
        given = {"broker_url": broker, "result_backend": backend, "include": include}
        self._assigned |= {name: value for name, value in given.items() if value is not None}
        self._source = config_source
        self._namespace = namespace
        self._registry = Registry()
        self._discoveries: list[Discovery] = []
        self._lock = threading.RLock()
        Settings(self._assigned)  # a wrong setting is told where it is given
        note_app(self)
        if set_as_current:
            self.set_current()

    def __repr__(self) -> str:
        return f"<Celeriac {self.main or '__main__'}>"

    # -- settings ------------------------------------------------------------------------------------------------------

    @cached_property
    def conf(self) -> Settings:
        """The settings, read when they are first needed.

        What was given to the app itself goes before the environment, and that before the config source.
        """
        with self._lock:
            if "conf" in self.__dict__:  # another thread was faster
                loaded: Settings = self.__dict__["conf"]
                return loaded
            self.on_configure.send(self)
            settings = Settings()
            if self._source is not None:
                settings.update(load_settings(self._source, namespace=self._namespace))
            settings.update(environment_settings())
            settings.update(self._assigned)
            self.__dict__["conf"] = settings
            self.on_after_configure.send(self, source=settings)
            return settings

    def config_from_object(
        self, obj: object, silent: bool = False, force: bool = False, namespace: str | None = None
    ) -> None:
        """Take settings from an object, a module, a dictionary, or the name of one.

        It is read when settings are first needed, or at once if they have been.

        Args:
            obj: what to read, or its name: `proj.settings`, `proj.settings:attribute`.
            silent: a module that can not be imported is no error.
            force: read it at once.
            namespace: read only names with this prefix: `CELERY` for `CELERY_TASK_SERIALIZER`.

        Raises:
            ImproperlyConfigured: it can not be found, or something in it is wrong.
        """
        if silent or force or "conf" in self.__dict__:
            self._take_settings(obj, silent, namespace)
        else:
            self._source, self._namespace = obj, namespace

    def config_from_envvar(self, variable_name: str, silent: bool = False, force: bool = False) -> bool:
        """Take settings from the module that an environment variable names.

        Returns:
            Whether there is something to read.

        Raises:
            ImproperlyConfigured: the variable is not set (unless `silent`), or as `config_from_object`.
        """
        found = load_settings_from_envvar(variable_name, silent=silent)
        if found:
            self.config_from_object(found, force=force)
        return bool(found)

    def _take_settings(self, obj: object, silent: bool, namespace: str | None) -> None:
        if silent and isinstance(obj, str) and not module_exists(obj.partition(":")[0]):
            return
        found = load_settings(obj, namespace=namespace)
        fixed = {**environment_settings(), **self._assigned}
        self.conf.update({name: value for name, value in found.items() if name not in fixed})

    # -- tasks ---------------------------------------------------------------------------------------------------------

    @overload
    def task(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> CoroutineTask[P, R]: ...

    @overload
    def task(self, function: Callable[P, R], /) -> Task[P, R]: ...

    @overload
    def task(
        self, /, *, bind: Literal[True], base: type[Task[Any, Any]] | None = ..., **options: Unpack[TaskOptions]
    ) -> BoundTaskDecorator: ...

    @overload
    def task(
        self, /, *, bind: Literal[False] = ..., base: type[Task[Any, Any]] | None = ..., **options: Unpack[TaskOptions]
    ) -> TaskDecorator: ...

    def task(
        self,
        function: Callable[..., Any] | None = None,
        /,
        *,
        bind: bool = False,
        base: type[Task[Any, Any]] | None = None,
        **options: Unpack[TaskOptions],
    ) -> Any:
        """Make a task of a function. A decorator, with or without options.

        Args:
            function: the function, or an `async def`.
            bind: the function gets the task itself as its first argument.
            base: the task's class.
            **options: see `TaskOptions`; described at `Task`.

        Raises:
            TypeError: an unknown option.
            ValueError: an executor that can not run it.

        Example:
            >>> app = Celeriac("doc", broker="memory://")
            >>> @app.task(bind=True, max_retries=5)
            ... def attempts(self, more: int) -> int:
            ...     return self.request.retries + more
            >>> attempts(1)
            1
        """

        def decorate(decorated: Callable[..., Any]) -> Task[Any, Any]:
            name = options.get("name") or self.gen_task_name(decorated)
            task = declare_task(decorated, name, base or self._task_cls, bind, options)
            self._register(task)
            if options.get("shared"):
                share_task(task)
            return task

        return decorate if function is None else decorate(function)

    def register_task(self, task: T | type[T]) -> T:
        """Make a class-based task one of this app. A class is instantiated.

        Example:
            >>> app = Celeriac("doc", broker="memory://")
            >>> class Shout(Task[[str], str]):
            ...     def run(self, text: str) -> str:
            ...         return text.upper()
            >>> app.register_task(Shout())("hello")
            'HELLO'
        """
        instance = task() if isinstance(task, type) else task
        if not instance.name:
            instance.name = task_name(type(instance), self.main)
        self._register(instance)
        return instance

    def gen_task_name(self, function: Callable[..., Any]) -> str:
        """The name of a function that is given none; for subclasses to override."""
        return task_name(function, self.main)

    def adopt(self, task: Task[Any, Any]) -> None:
        """Take in a copy of a shared task, unless a task of that name is here."""
        if task.name not in self._registry:
            self._registry.register(task.copy_for(self))
            self._annotate(task.name)

    def _register(self, task: Task[Any, Any]) -> None:
        task.bind(self)
        self._registry.register(task)
        if self.finalized:
            self._annotate(task.name)

    def _annotate(self, name: str) -> None:
        annotations = self.conf.task_annotations
        if annotations:
            self._registry[name].annotate(annotations)

    @property
    def tasks(self) -> Registry:
        """All tasks by name."""
        if not self.finalized:
            self.finalize(auto=True)
        return self._registry

    def finalize(self, auto: bool = False) -> None:
        """Take in shared tasks and apply `task_annotations`. Done by itself when the tasks are first looked at.

        Raises:
            RuntimeError: it was not done, and `autofinalize` is off.
        """
        if auto and not self._autofinalize:
            raise RuntimeError(f"{self!r} was made with autofinalize=False: call finalize() before it is used")
        with self._lock:
            if self.finalized:
                return
            self.finalized = True
            for task in shared_tasks():
                self.adopt(task)
            for name in self._registry:
                self._annotate(name)
        self.on_after_finalize.send(self)

    def autodiscover_tasks(
        self, packages: PackageNames, related_name: str | None = "tasks", force: bool = False
    ) -> None:
        """Import the module `tasks` of each of these packages when a worker starts.

        Args:
            packages: names of packages, or a function that returns them when it is time.
            related_name: another name of the module; None: the packages themselves.
            force: import them now.
        """
        discovery = Discovery(packages, related_name)
        self._discoveries.append(discovery)
        if force:
            discovery.run()

    def import_modules(self) -> None:
        """Import all modules with tasks: `imports`, `include`, and what `autodiscover_tasks` finds. Workers do this."""
        for name in dict.fromkeys((*self.conf.imports, *self.conf.include)):
            importlib.import_module(name)
        for discovery in self._discoveries:
            discovery.run()
        if signals.import_modules.receivers:
            signals.import_modules.send(sender=self)

    # -- sending -------------------------------------------------------------------------------------------------------

    def send_task(
        self,
        name: str,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncResult[Any]:
        """Send a task by its name. This process need not know it, so its arguments are not checked.

        Args:
            name: the task's name.
            args: positional arguments.
            kwargs: keyword arguments.
            **options: see `CallOptions`.

        Raises:
            TypeError: unknown options.
            EncodeError, MessageTooLarge, OperationalError: as `Task.delay`.
        """
        task = self._eager_task(name)
        if task is not None:
            return eager.run(task, args or (), kwargs or {}, options)
        return calling.send(self, Call(name, args or (), kwargs or {}, options))

    async def asend_task(
        self,
        name: str,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncResult[Any]:
        """`send_task` for asyncio."""
        task = self._eager_task(name)
        if task is not None:
            return await eager.arun(task, args or (), kwargs or {}, options)
        return await calling.asend(self, Call(name, args or (), kwargs or {}, options))

    def publish_many(
        self, signatures: Iterable[Signature[R]], *, chunk_size: int = calling.CHUNK_SIZE
    ) -> list[AsyncResult[R]]:
        """Send many signatures, of any tasks, in few trips to the broker.

        Args:
            signatures: used up as they are sent, so it may be a generator.
            chunk_size: messages in one trip. Each trip is written whole or not at all.

        Raises:
            TypeError, EncodeError, MessageTooLarge, OperationalError: as `Task.delay`. Trips before have been sent.

        Example:
            >>> app = Celeriac("doc", broker="memory://")
            >>> @app.task
            ... def square(x: int) -> int:
            ...     return x * x
            >>> len(app.publish_many(square.s(number) for number in range(10)))
            10
        """
        if self.conf.task_always_eager:
            return [one.apply_async() for one in signatures]
        return calling.send_many(self, map(self._call_of, signatures), chunk_size)

    async def apublish_many(
        self, signatures: Iterable[Signature[R]], *, chunk_size: int = calling.CHUNK_SIZE
    ) -> list[AsyncResult[R]]:
        """`publish_many` for asyncio."""
        if self.conf.task_always_eager:
            return [await one.aapply_async() for one in signatures]
        return await calling.asend_many(self, map(self._call_of, signatures), chunk_size)

    def _call_of(self, one: Signature[Any]) -> Call:
        return Call(one.task, one.args, one.kwargs, one.options, self.tasks.find(one.task))

    def _eager_task(self, name: str) -> Task[Any, Any] | None:
        """The task to run in place instead of sending it, if that is what the settings say and it can be done."""
        return self.tasks.find(name) if self.conf.task_always_eager else None

    def AsyncResult(self, task_id: str) -> AsyncResult[Any]:  # noqa: N802 - Celery's name
        """The result of the call with this id."""
        return AsyncResult(task_id, app=self)

    def signature(
        self,
        varies: str | Mapping[str, Any],
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        *,
        immutable: bool = False,
        **options: Unpack[CallOptions],
    ) -> Signature[Any]:
        """A signature of a task's name, or of the dictionary form of one, that is sent by this app."""
        return signature(varies, args, kwargs, options, immutable=immutable, app=self)

    # -- connections ---------------------------------------------------------------------------------------------------

    @cached_property
    def broker(self) -> Broker:
        """The broker. Nothing is connected before it is used."""
        with self._lock:
            if "broker" not in self.__dict__:  # else another thread was faster
                url = self.conf.broker_url or DEFAULT_BROKER_URL
                self.__dict__["broker"] = open_broker(url, self.conf.broker_transport_options, self.clock)
            made: Broker = self.__dict__["broker"]
            return made

    @cached_property
    def backend(self) -> Backend:
        """The result store. Nothing is connected before it is used."""
        with self._lock:
            if "backend" not in self.__dict__:  # else another thread was faster
                conf = self.conf
                self.__dict__["backend"] = open_backend(
                    conf.result_backend,
                    broker=self.broker,
                    options=conf.result_backend_transport_options,
                    clock=self.clock,
                )
            made: Backend = self.__dict__["backend"]
            return made

    @cached_property
    def stores_results(self) -> bool:
        """Results are kept; False with the backend `disabled://`, or where the broker has no store for them."""
        return self.backend.address != _DISABLED

    # -- time ----------------------------------------------------------------------------------------------------------

    @property
    def timezone(self) -> tzinfo:
        """The timezone of times that say none: `timezone`, else UTC, or this machine's with `enable_utc=False`."""
        conf = self.conf
        return timezone_of(conf.timezone, conf.enable_utc)

    def now(self) -> datetime:
        """The time, in the app's timezone."""
        return datetime.fromtimestamp(self.clock.time(), self.timezone)

    # -- life ----------------------------------------------------------------------------------------------------------

    def set_current(self) -> None:
        """Make this the current app of this thread."""
        set_current_app(self)

    def set_default(self) -> None:
        """Make this the app of all threads that chose none."""
        set_default_app(self)

    def worker_main(self, argv: Sequence[str] | None = None) -> None:
        """Run the command line for this app: `app.worker_main(["worker", "--loglevel=INFO"])`. Ends the process.

        Raises:
            ImproperlyConfigured: the app is no attribute of a module, so that other processes could not find it.
        """
        # By name, as the command line lies above the app: it is a program that uses apps.
        command_line = importlib.import_module("celeriac.cli.main").cli
        command_line.main(["-A", import_name(self), *(sys.argv[1:] if argv is None else argv)], prog_name="celeriac")

    def close(self) -> None:
        """Close connections. The app is nobody's current app any more; used again, it connects anew."""
        for name in ("backend", "broker"):
            part: Backend | Broker | None = self.__dict__.pop(name, None)
            if part is not None:
                part.disconnect()
        self.__dict__.pop("stores_results", None)
        forget_app(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


set_default_factory(lambda: Celeriac("default", set_as_current=False))
