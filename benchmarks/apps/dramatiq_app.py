"""dramatiq on Redis or on RabbitMQ, its results on Redis."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from benchmarks.apps import work
from benchmarks.apps.port import BACKEND, BROKER, CONFIRM, RESULTS, Arguments, Calls, Port

if TYPE_CHECKING:
    from collections.abc import Iterable


# Installed in the peer's own environment only, so it has no types here.
_dramatiq: Any = importlib.import_module("dramatiq")


def _broker() -> Any:
    if BROKER.startswith("amqp"):
        rabbitmq: Any = importlib.import_module("dramatiq.brokers.rabbitmq")
        return rabbitmq.RabbitmqBroker(url=BROKER, confirm_delivery=CONFIRM)
    redis: Any = importlib.import_module("dramatiq.brokers.redis")
    return redis.RedisBroker(url=BROKER)


broker = _broker()
if RESULTS:
    _results: Any = importlib.import_module("dramatiq.results")
    _backends: Any = importlib.import_module("dramatiq.results.backends")
    broker.add_middleware(_results.Results(backend=_backends.RedisBackend(url=BACKEND or BROKER), store_results=True))
_dramatiq.set_broker(broker)

_tasks = {function.__name__: _dramatiq.actor(function) for function in (work.noop, work.value, work.stamp)}


class DramatiqPort:
    """send, send_with_options, get_result; dramatiq has no way to send many at once."""

    def send_each(self, task: str, calls: Iterable[Arguments]) -> None:
        send = _tasks[task].send
        for args in calls:
            send(*args)

    def send_many(self, task: str, calls: Calls) -> None:
        self.send_each(task, calls)

    def send_later(self, task: str, calls: Iterable[Arguments], seconds: float) -> None:
        send = _tasks[task].send_with_options
        for args in calls:
            send(args=args, delay=int(seconds * 1000))

    def call(self, task: str, number: int) -> int:
        return int(_tasks[task].send(number).get_result(block=True, timeout=30_000))


port: Port = DramatiqPort()
