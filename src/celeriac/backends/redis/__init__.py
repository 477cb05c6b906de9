"""The result backend on Redis."""

from celeriac.backends.redis.backend import RedisBackend

__all__ = ["RedisBackend"]
