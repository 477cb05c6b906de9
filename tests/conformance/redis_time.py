"""Virtual time for a real Redis, which counts down the time of its keys by a clock of its own."""

from __future__ import annotations

from celeriac.testing import VirtualClock
from servers.redis import RedisServer


class ServerClock(VirtualClock):
    """When time passes, the keys of the server's database 0 get so much older.

    Args:
        server: whose keys.
    """

    def __init__(self, server: RedisServer) -> None:
        super().__init__()
        self._server = server

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass, for the keys too."""
        super().advance(seconds)
        with self._server.connection() as redis:
            keys = redis.call("KEYS", "*")
            for key in keys:
                redis.send("PTTL", key)
            lasting = [(key, left) for key in keys if (left := redis.read()) >= 0]
            for key, left in lasting:
                redis.send("PEXPIRE", key, round(left - seconds * 1000))
            for _ in lasting:
                redis.read()

    def set_back(self, seconds: float) -> None:
        """Set both clocks back by less than a lease, as NTP does with the clock of the server's machine."""
        with self._lock:
            self._wall -= seconds
            self._monotonic -= seconds
