"""The broker on Redis and Valkey."""

from celeriac.brokers.redis.broker import RedisBroker

__all__ = ["RedisBroker"]
