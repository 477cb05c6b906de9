"""The app: tasks, settings, and the connections to the broker and the result store.

Owns the connections and makes each when it is first needed. Settings and tasks have files of their own
(`app_settings`, `app_tasks`); how a call becomes a message is `celeriac.publications`' part.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from celeriac import calling, eager
from celeriac.app_results import AppResults
from celeriac.app_tasks import AppTasks
from celeriac.backends import BACKEND_SETTINGS, open_backend
from celeriac.brokers import BROKER_SETTINGS, broker_url_of, open_broker
from celeriac.canvas.signature import Signature, signature
from celeriac.celery_names import tell_what_is_missing
from celeriac.clock import SYSTEM_CLOCK, Clock
from celeriac.current import forget_app, note_app, set_current_app, set_default_app, set_default_factory
from celeriac.discovery import import_name
from celeriac.exceptions import NotSupported
from celeriac.group_result import GroupResult
from celeriac.publications import Call
from celeriac.request import get_current_task
from celeriac.result import AsyncResult
from celeriac.task import Task
from celeriac.topology import TOPOLOGY_SETTINGS

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Unpack

    from celeriac.backends.base import Backend, ChordStore, ReplyBackend
    from celeriac.brokers.base import Broker
    from celeriac.canvas.form import Named
    from celeriac.option_types import CallOptions

R = TypeVar("R")

#: The embedded broker, in the working directory.
DEFAULT_BROKER_URL: Final = "sqlite:///celeriac.sqlite3"


class Celeriac(AppTasks, AppResults):
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
        given = {"broker_url": broker, "result_backend": backend, "include": include}
        assigned = {
            **(changes or {}),
            **settings,
            **{name: value for name, value in given.items() if value is not None},
        }
        self._broker: Broker | None = None
        self._backend: Backend | None = None
        super().__init__(main, task_cls, autofinalize, assigned, config_source, namespace, clock)
        self._stores_results: bool | None = None
        self._joins_there: bool | None = None
        note_app(self)
        if set_as_current:
            self.set_current()

    def __repr__(self) -> str:
        return f"<Celeriac {self.main or '__main__'}>"

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

    def send_workflow(
        self,
        workflow: Mapping[str, Any],
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> AsyncResult[Any] | GroupResult:
        """Send what runs first of a chain, group or chord; what `apply_async` of these does.

        Raises:
            TypeError, ValueError: it is not well formed, or arguments or options do not fit.
            NotSupported: there is a chord in it, and no place to join chords.
            EncodeError, MessageTooLarge, OperationalError: as `Task.delay`.
        """
        return calling.send_workflow(self, workflow, args or (), kwargs or {}, options or {})

    async def asend_workflow(
        self,
        workflow: Mapping[str, Any],
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> AsyncResult[Any] | GroupResult:
        """`send_workflow` for asyncio."""
        return await calling.asend_workflow(self, workflow, args or (), kwargs or {}, options or {})

    def _call_of(self, one: Signature[Any]) -> Call:
        if not isinstance(one, Signature):
            raise TypeError(f"publish_many takes signatures, such as task.s(...), not {one!r:.100}")
        return Call(one.task, one.args, one.kwargs, one.options, self.tasks.find(one.task))

    def _eager_task(self, name: str) -> Task[Any, Any] | None:
        """The task to run in place instead of sending it, if that is what the settings say and it can be done."""
        return self.tasks.find(name) if self.conf.task_always_eager else None

    def signature(
        self,
        varies: str | Named | Mapping[str, Any],
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        *,
        immutable: bool = False,
        **more: Unpack[CallOptions],
    ) -> Signature[Any]:
        """A signature of a task or its name, or of the dictionary form of one, that is sent by this app."""
        return signature(varies, args, kwargs, {**(options or {}), **more}, immutable=immutable, app=self)

    # -- connections ---------------------------------------------------------------------------------------------------

    @property
    def broker(self) -> Broker:
        """The broker. Nothing is connected before it is used."""
        return self._broker if self._broker is not None else self._make_broker()

    def _make_broker(self) -> Broker:
        with self._lock:
            if self._broker is None:  # else another thread was faster
                conf = self.conf
                url = broker_url_of(conf) or DEFAULT_BROKER_URL
                self._broker = open_broker(
                    url, conf.broker_transport_options, self.clock, settings=conf, topology=self.topology
                )
            return self._broker

    @property
    def backend(self) -> Backend:
        """The result store. Nothing is connected before it is used."""
        return self._backend if self._backend is not None else self._make_backend()

    def _make_backend(self) -> Backend:
        with self._lock:
            if self._backend is None:  # else another thread was faster
                conf = self.conf
                self._backend = open_backend(
                    conf.result_backend,
                    broker=self.broker,
                    options=conf.result_backend_transport_options,
                    clock=self.clock,
                    settings=conf,
                )
            return self._backend

    @property
    def stores_results(self) -> bool:
        """Results are kept; False with the backend `disabled://`, or where the broker has no store for them."""
        if self._stores_results is None:
            from celeriac.backends.disabled import DisabledBackend  # noqa: PLC0415 - start-up time

            self._stores_results = not isinstance(self.backend, DisabledBackend)
        return self._stores_results

    @property
    def replies(self) -> ReplyBackend | None:
        """The backend, if it sends results to the processes that sent the tasks (`rpc://`); None if it stores them."""
        url = self.conf.result_backend
        if url is None or url[:3].lower() != "rpc":  # asked at each call: others must not pay for it
            return None
        backend = self.backend
        from celeriac.backends.rpc import RpcBackend  # noqa: PLC0415 - an optional driver

        return backend if isinstance(backend, RpcBackend) else None

    @property
    def joins_chords_at_broker(self) -> bool:
        """Chords are joined in the broker's own store, in the same step in which messages are settled."""
        if self._joins_there is None:  # asked for each member of a chord
            broker, own = self.broker, self.backend.chords
            self._joins_there = broker.chords is not None and (own is None or broker.stores_results_of(self.backend))
        return self._joins_there

    @property
    def joins_chords(self) -> bool:
        """Chords can be joined."""
        return self.joins_chords_at_broker or self.backend.chords is not None

    @property
    def chord_store(self) -> ChordStore:
        """Where chords are joined: with the results, or else in the broker's store.

        Raises:
            NotSupported: neither can.
        """
        store = self.broker.chords if self.joins_chords_at_broker else self.backend.chords
        if store is None:
            raise NotSupported(
                f"chords can not be joined: neither {self.backend.address}, where results go, nor the broker "
                f"{self.broker.address} stores any. Set result_backend (backend=) to a store, such as "
                "'redis://host/1', here and at the worker"
            )
        return store

    def _settings_in_use(self) -> tuple[str, ...]:
        declared = self._broker is not None and self._broker.capabilities.exchanges
        return (
            (BROKER_SETTINGS if self._broker is not None else ())
            + (TOPOLOGY_SETTINGS if declared else ())
            + (BACKEND_SETTINGS if self._backend is not None else ())
        )

    # -- life ----------------------------------------------------------------------------------------------------------

    def set_current(self) -> None:
        """Make this the current app of this thread."""
        set_current_app(self)

    @property
    def current_task(self) -> Task[Any, Any] | None:
        """The task that runs in this thread or coroutine, or None."""
        return get_current_task()

    def set_default(self) -> None:
        """Make this the app of all threads that chose none."""
        set_default_app(self)

    def worker_main(self, argv: Sequence[str] | None = None) -> None:
        """Run the command line for this app: `app.worker_main(["worker", "--loglevel=INFO"])`. Ends the process.

        Raises:
            ImproperlyConfigured: the app is no attribute of a module, so that other processes could not find it.
        """
        # Here only: the command line is a program that uses apps, it lies above them and takes long to import. This
        # method is Celery's way into it from a script; pyproject.toml names it as the one exception from the layers.
        from celeriac.cli.main import cli  # noqa: PLC0415

        cli.main(["-A", import_name(self), *(sys.argv[1:] if argv is None else argv)], prog_name="celeriac")

    def close(self) -> None:
        """Close connections. The app is nobody's current app any more; used again, it connects anew."""
        self._stop_watching()  # before the connections, which it uses
        with self._lock:
            parts = (self._backend, self._broker)
            self._backend = self._broker = self._stores_results = self._joins_there = None
        for part in parts:
            if part is not None:
                part.disconnect()
        forget_app(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


tell_what_is_missing(Celeriac)
set_default_factory(lambda: Celeriac("default", set_as_current=False))
