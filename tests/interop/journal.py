"""What tasks tell the tests, and gates at which they wait: lists in a Redis database that no worker looks at.

Used on both sides, in their environments: knows neither Celery nor Celeriac.
"""

from __future__ import annotations

from typing import Any

import redis

#: Seconds that a task waits at a gate, and a test for an entry.
DEADLINE = 20.0


class Journal:
    """Entries under keys, each taken once, and gates. Connects anew for each call, so that forks do no harm."""

    def __init__(self, url: str) -> None:
        self.url = url

    def _client(self, wait: float = 0.0) -> Any:  # redis-py's types are those of its asyncio twin as well
        return redis.Redis.from_url(self.url, socket_timeout=wait + 5)

    def note(self, key: str, entry: str) -> None:
        """Append an entry."""
        with self._client() as client:
            client.rpush(f"journal:{key}", entry)

    def take(self, key: str, count: int = 1, timeout: float = DEADLINE) -> list[str]:
        """The next `count` entries, oldest first; fewer if they do not come in time."""
        with self._client(timeout) as client:
            found: list[str] = []
            while len(found) < count:
                item = client.blpop([f"journal:{key}"], timeout=timeout)
                if item is None:
                    break
                found.append(item[1].decode())
            return found

    def rest(self, key: str) -> list[str]:
        """The entries that nobody has taken. They stay."""
        with self._client() as client:
            return [item.decode() for item in client.lrange(f"journal:{key}", 0, -1)]

    def open(self, key: str, count: int = 1) -> None:
        """Let `count` tasks pass the gate `key`."""
        with self._client() as client:
            client.rpush(f"gate:{key}", *["open"] * count)

    def pass_gate(self, key: str) -> None:
        """Wait until the gate is open for one more.

        Raises:
            TimeoutError: it was not opened in time.
        """
        with self._client(DEADLINE) as client:
            if client.blpop([f"gate:{key}"], timeout=DEADLINE) is None:
                raise TimeoutError(f"gate {key} was not opened within {DEADLINE} s")
