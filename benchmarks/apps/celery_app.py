"""Celery, on the transport that `BENCH_CELERY` names: sqla, filesystem, redis or amqp."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

from benchmarks.apps import work
from benchmarks.apps.port import BACKEND, BROKER, CONFIRM, DATA, QUEUE_TYPE, RESULTS, Arguments, Calls, Port

if TYPE_CHECKING:
    from collections.abc import Iterable


# Installed in the peer's own environment only, so it has no types here.
_celery: Any = importlib.import_module("celery")
_transport = os.environ.get("BENCH_CELERY", "sqla")


def _addresses() -> tuple[str, str]:
    if _transport == "redis":
        return BROKER, BROKER
    if _transport == "amqp":
        return BROKER, BACKEND or "rpc://"
    if _transport == "filesystem":
        return "filesystem://", f"file://{DATA / 'results'}"
    return f"sqla+sqlite:///{DATA / 'broker.db'}", f"db+sqlite:///{DATA / 'results.db'}"


_broker, _backend = _addresses()
(DATA / "results").mkdir(exist_ok=True)
app = _celery.Celery("bench", broker=_broker, backend=_backend if RESULTS else None)
app.conf.broker_connection_retry_on_startup = True
if _transport == "filesystem":
    for folder in ("messages", "control"):
        (DATA / folder).mkdir(exist_ok=True)
    app.conf.broker_transport_options = {
        "data_folder_in": str(DATA / "messages"),
        "data_folder_out": str(DATA / "messages"),
        "control_folder": str(DATA / "control"),
    }

if QUEUE_TYPE:
    app.conf.task_default_queue_type = QUEUE_TYPE
if CONFIRM:
    app.conf.broker_transport_options = {"confirm_publish": True}

_tasks = {
    function.__name__: app.task(name=f"bench.{function.__name__}")(function)
    for function in (work.noop, work.value, work.stamp, work.step, work.total)
}


class CeleryPort:
    """delay, apply_async, get; many by one kept producer, as Celery's documentation advises."""

    def send_each(self, task: str, calls: Iterable[Arguments]) -> None:
        send = _tasks[task].delay
        for args in calls:
            send(*args)

    def send_many(self, task: str, calls: Calls) -> None:
        send = _tasks[task].apply_async
        with app.producer_pool.acquire(block=True) as producer:
            for args in calls:
                send(args, producer=producer)

    def send_later(self, task: str, calls: Iterable[Arguments], seconds: float) -> None:
        send = _tasks[task].apply_async
        for args in calls:
            send(args, countdown=seconds)

    def call(self, task: str, number: int) -> int:
        return int(_tasks[task].delay(number).get(timeout=30))


port: Port = CeleryPort()
