"""The part of an app that is its tasks: declaring, registering and finding them.

Owns the registry and when shared tasks come in. Knows nothing of sending and running.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, cast, overload

from celeriac import signals
from celeriac.app_settings import AppSettings
from celeriac.attempt import is_own_task
from celeriac.clock import Clock
from celeriac.current import share_task, shared_tasks
from celeriac.declaring import BoundTaskDecorator, TaskDecorator, check_task_class, declare_task, task_name
from celeriac.discovery import Discovery, PackageNames
from celeriac.option_types import TaskOptions
from celeriac.registry import Registry
from celeriac.signals import Signal
from celeriac.task import CoroutineTask, Task

if TYPE_CHECKING:
    from typing import Unpack

    from celeriac.app import Celeriac

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T", bound=Task[Any, Any])


class AppTasks(AppSettings):
    """What `Celeriac` has of tasks.

    Args:
        main: the name that stands for the module `__main__` in names of tasks.
        task_cls: base class of its tasks.
        autofinalize: take in shared tasks when the tasks are first looked at.
        assigned: see `AppSettings`.
        source: see `AppSettings`.
        namespace: see `AppSettings`.
        clock: the time.
    """

    def __init__(
        self,
        main: str | None,
        task_cls: type[Task[Any, Any]],
        autofinalize: bool,
        assigned: Mapping[str, Any],
        source: object | None,
        namespace: str | None,
        clock: Clock,
    ) -> None:
        super().__init__(assigned, source, namespace, clock)
        check_task_class(task_cls, "task_cls")
        self.main = main
        self.finalized = False
        self.on_after_finalize = Signal("on_after_finalize")
        self._task_cls = task_cls
        self._autofinalize = autofinalize
        self._registry = Registry()
        self._discoveries: list[Discovery] = []

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
            TypeError: an unknown option, or a base that is no task class.
            ValueError: an executor that can not run it.

        Example:
            >>> from celeriac import Celeriac
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

        Raises:
            TypeError: it is neither a task nor a task class.

        Example:
            >>> from celeriac import Celeriac
            >>> app = Celeriac("doc", broker="memory://")
            >>> class Shout(Task[[str], str]):
            ...     def run(self, text: str) -> str:
            ...         return text.upper()
            >>> app.register_task(Shout())("hello")
            'HELLO'
        """
        if not issubclass(task if isinstance(task, type) else type(task), Task):
            raise TypeError(
                f"register_task takes a task or a subclass of celeriac.Task, not {task!r}: make a task of a function "
                "with @app.task"
            )
        instance = task() if isinstance(task, type) else task
        if not instance.name:
            instance.name = task_name(type(instance), self.main)
        self._register(instance)
        return instance

    if not TYPE_CHECKING:  # they take no attribute of an object for a base class

        @functools.cached_property
        def Task(self) -> type:  # noqa: N802 - Celery's name
            """Base class of task classes, bound to this app: `class DatabaseTask(app.Task)`.

            Typed code inherits from `celeriac.Task`: `base=` and `register_task` bind it to the app all the same.
            """
            name = self._task_cls.__name__
            return type(name, (self._task_cls,), {"_app": self._app, "__module__": self._task_cls.__module__})

    def gen_task_name(self, function: Callable[..., Any]) -> str:
        """The name of a function that is given none; for subclasses to override."""
        return task_name(function, self.main)

    def adopt(self, task: Task[Any, Any]) -> None:
        """Take in a copy of a shared task, unless a task of that name is here."""
        if task.name not in self._registry:
            self._registry.register(task.copy_for(self._app))
            self._annotate(task.name)

    def _register(self, task: Task[Any, Any]) -> None:
        task.bind(self._app)
        self._registry.register(task)
        if self.finalized:
            self._annotate(task.name)

    def _annotate(self, name: str) -> None:
        annotations = self.conf.task_annotations
        # What is said of all tasks is not meant for our own: a join that is retried, for one, would be a message in a
        # queue that is shared with workers of Celery.
        if annotations and not is_own_task(name):
            self._registry[name].annotate(annotations)

    @property
    def tasks(self) -> Registry:
        """All tasks by name. Names that begin with `celeriac.` or `celery.` are this package's own."""
        if not self.finalized:
            self.finalize(auto=True)
        return self._registry

    def user_tasks(self) -> list[Task[Any, Any]]:
        """The tasks that are not this package's own."""
        return [task for name, task in self.tasks.items() if not (is_own_task(name) or name.startswith("celery."))]

    def finalize(self, auto: bool = False) -> None:
        """Take in shared tasks and apply `task_annotations`. Done by itself when the tasks are first looked at.

        Raises:
            RuntimeError: it was not done, and `autofinalize` is off.
        """
        if auto and not self._autofinalize:
            raise RuntimeError(f"{self!r} was made with autofinalize=False: call finalize() before it is used")
        from celeriac.builtin_tasks import BUILTIN_TASKS  # noqa: PLC0415 - start-up time: only runs need it
        from celeriac.joins import JoinChord  # noqa: PLC0415 - as above
        from celeriac.late_errbacks import LateErrback  # noqa: PLC0415 - as above
        from celeriac.late_failures import LateFailure  # noqa: PLC0415 - as above

        with self._lock:
            if self.finalized:
                return
            self.finalized = True
            self._register(LateErrback())
            self._register(LateFailure())
            self._register(JoinChord())
            for builtin in BUILTIN_TASKS:
                self._register(builtin())
            for task in shared_tasks():
                self.adopt(task)
            for name in self._registry:
                self._annotate(name)
        self.on_after_finalize.send(self)

    def autodiscover_tasks(
        self, packages: PackageNames | None = None, related_name: str | None = "tasks", force: bool = False
    ) -> None:
        """Import the module `tasks` of each of these packages when a worker starts.

        Args:
            packages: the name of a package, several, or a function that returns them when it is time.
            related_name: another name of the module; None: the packages themselves.
            force: import them now.

        Raises:
            TypeError: no packages are named. Celery asks Django for them then; here the program does.
        """
        if packages is None:
            raise TypeError(
                'autodiscover_tasks needs packages: app.autodiscover_tasks(["proj.users", "proj.orders"]), or with '
                "Django app.autodiscover_tasks(lambda: [config.name for config in django.apps.apps.get_app_configs()])"
            )
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

    @property
    def _app(self) -> Celeriac:
        return cast("Celeriac", self)  # this class is a part of that one only
