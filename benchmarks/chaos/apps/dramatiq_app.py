"""dramatiq on Redis or RabbitMQ."""

from __future__ import annotations

import importlib
import os
from typing import Any

from benchmarks.chaos import tasks

# Installed in the peer's own environment only, so it has no types here.
_dramatiq: Any = importlib.import_module("dramatiq")


def _broker(url: str) -> Any:
    if url.startswith("amqp"):
        rabbitmq: Any = importlib.import_module("dramatiq.brokers.rabbitmq")
        return rabbitmq.RabbitmqBroker(url=url)
    redis: Any = importlib.import_module("dramatiq.brokers.redis")
    return redis.RedisBroker(url=url)


broker = _broker(os.environ["CHAOS_BROKER"])
_dramatiq.set_broker(broker)
_hold = _dramatiq.actor(tasks.hold, actor_name=tasks.HOLD)


def send(first: int, count: int, seconds: float) -> None:
    """Publish tasks numbered from `first`."""
    for number in range(first, first + count):
        broker.enqueue(_hold.message(number, seconds).copy(message_id=tasks.task_id(number)))
