"""Celeriac on its embedded broker, on Redis or on RabbitMQ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.apps import work
from benchmarks.apps.port import BACKEND, BROKER, COROUTINES, DATA, QUEUE_TYPE, RESULTS, Arguments, BulkPort, Calls
from celeriac import Celeriac, Task

if TYPE_CHECKING:
    from collections.abc import Iterable


def _backend() -> str | None:
    """Where results go; None: where the tasks are."""
    if not RESULTS:
        return "disabled://"
    return BACKEND or ("rpc://" if BROKER.startswith("amqp") else None)


app = Celeriac("bench", broker=BROKER or f"sqlite:///{DATA / 'celeriac.sqlite3'}", backend=_backend())
if QUEUE_TYPE:
    app.conf.task_default_queue_type = QUEUE_TYPE

value = app.task(work.value)
step = app.task(work.step)
total = app.task(work.total)
_tasks: dict[str, Task[..., Any]] = {
    "value": value,
    **{function.__name__: app.task(function) for function in (work.noop, work.stamp)},
}
if COROUTINES:
    _tasks["nap"] = app.task(work.nap)


class CeleriacPort:
    """delay, delay_many, apply_async, get."""

    def send_each(self, task: str, calls: Iterable[Arguments]) -> None:
        send = _tasks[task].delay
        for args in calls:
            send(*args)

    def send_many(self, task: str, calls: Calls) -> None:
        _tasks[task].delay_many(calls)

    def send_later(self, task: str, calls: Iterable[Arguments], seconds: float) -> None:
        send = _tasks[task].apply_async
        for args in calls:
            send(args, countdown=seconds)

    def send_many_later(self, task: str, calls: Calls, seconds: float) -> None:
        _tasks[task].delay_many(calls, countdown=seconds)

    def call(self, task: str, number: int) -> int:
        if task != "value":
            raise ValueError(f"{task} returns nothing to wait for")
        return value.delay(number).get(timeout=30)


port: BulkPort = CeleriacPort()
