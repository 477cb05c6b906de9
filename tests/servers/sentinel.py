"""A master, its replica, and three sentinels that make the replica master when the master is gone."""

from __future__ import annotations

import contextlib
from types import TracebackType
from typing import Final, Self

from redis.exceptions import RedisError, ResponseError

from .redis import RedisServer
from .waiting import wait_until

#: The name under which the sentinels know the master.
MASTER_NAME: Final = "mymaster"


def _pairs(reply: list[bytes]) -> dict[bytes, bytes]:
    return dict(zip(reply[::2], reply[1::2], strict=True))


class SentinelSetup:
    """Five processes on loopback; runs from the start of the block to its end.

    Args:
        password: of the two stores.
        sentinel_password: of the sentinels.
        down_after: seconds without an answer after which a sentinel takes a server for gone.

    Example:
        with SentinelSetup() as setup:
            setup.kill_master()
            setup.master.call("SET", "key", "value")  # the former replica
    """

    def __init__(
        self, *, password: str | None = None, sentinel_password: str | None = None, down_after: float = 1.0
    ) -> None:
        self._password = password
        self._sentinel_password = sentinel_password
        self._down_after = down_after
        self._stack = contextlib.ExitStack()
        #: Both stores; which of them is master changes.
        self.servers: list[RedisServer] = []
        self.sentinels: list[RedisServer] = []
        self.master_name = MASTER_NAME

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            first = stack.enter_context(self._store({}))
            replica = stack.enter_context(self._store({"replicaof": f"127.0.0.1 {first.port}"}))
            self.servers = [first, replica]
            wait_until(lambda: b"master_link_status:up" in replica.call("INFO", "replication"), "the replica's link")
            self.sentinels = [stack.enter_context(self._sentinel(first)) for _ in range(3)]
            wait_until(self._all_known, "every sentinel knows the replica and the other sentinels")
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def url(self) -> str:
        """All sentinels, as Celery writes them; the master's name goes into the transport options."""
        password = f":{self._password}@" if self._password else ""
        return ";".join(f"sentinel://{password}127.0.0.1:{sentinel.port}" for sentinel in self.sentinels) + "/0"

    @property
    def master(self) -> RedisServer:
        """The store that most sentinels call the master, and that agrees."""
        return wait_until(self._agreed_master, "the sentinels agree on a master")

    def kill_master(self) -> RedisServer:
        """SIGKILL the master and wait until the replica has taken over. Returns the killed one, to `restart`."""
        killed = self.master
        killed.kill()
        wait_until(lambda: self._agreed_master() not in {None, killed}, "the replica becomes master")
        return killed

    def bring_back(self, server: RedisServer) -> None:
        """Start a killed store as a replica of the master, and wait for its data.

        Sentinels do the same by themselves, but take about 10 s for it; with a plain `restart` it says that it is
        the master for that long.
        """
        server.restart()
        server.call("REPLICAOF", "127.0.0.1", self.master.port)
        wait_until(lambda: b"master_link_status:up" in server.call("INFO", "replication"), "the replica's link")

    def failover(self) -> RedisServer:
        """Have the sentinels make the replica master while both live. Returns the former master.

        That one goes on as if it were the master for about 10 s more, then becomes a replica.
        """
        former = self.master
        replica = next(server for server in self.servers if server is not former)
        wait_until(lambda: b"master_link_status:up" in replica.call("INFO", "replication"), "the replica's link")
        wait_until(self._can_begin_failover, "the sentinel finds the replica fit")
        wait_until(lambda: self._agreed_master() is replica, "the replica becomes master")
        return former

    # -- inside --------------------------------------------------------------------------------------------

    def _store(self, config: dict[str, str]) -> RedisServer:
        quick = {"repl-diskless-sync-delay": "0", "replica-read-only": "yes"}
        secret = {"masterauth": self._password} if self._password else {}
        return RedisServer(password=self._password, config=quick | secret | config)

    def _sentinel(self, master: RedisServer) -> RedisServer:
        lines = {f"sentinel monitor {self.master_name}": f"127.0.0.1 {master.port} 2"}
        if self._password:
            lines[f"sentinel auth-pass {self.master_name}"] = self._password
        if self._sentinel_password:
            lines["sentinel sentinel-pass"] = self._sentinel_password
        lines[f"sentinel down-after-milliseconds {self.master_name}"] = str(round(self._down_after * 1000))
        lines[f"sentinel failover-timeout {self.master_name}"] = "5000"
        return RedisServer(sentinel=True, password=self._sentinel_password, config=lines)

    def _can_begin_failover(self) -> bool:
        try:
            self.sentinels[0].call("SENTINEL", "FAILOVER", self.master_name)
        except ResponseError as error:
            if "NOGOODSLAVE" in str(error):  # it came back just now
                return False
            raise
        return True

    def _all_known(self) -> bool:
        told = [_pairs(sentinel.call("SENTINEL", "MASTER", self.master_name)) for sentinel in self.sentinels]
        return all(
            (about[b"num-slaves"], about[b"num-other-sentinels"], about[b"flags"]) == (b"1", b"2", b"master")
            for about in told
        )

    def _agreed_master(self) -> RedisServer | None:
        ports = [
            int(sentinel.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.master_name)[1])
            for sentinel in self.sentinels
        ]
        for server in self.servers:
            with contextlib.suppress(RedisError, OSError):  # it is down
                if ports.count(server.port) >= 2 and server.call("ROLE")[0] == b"master":
                    return server
        return None
