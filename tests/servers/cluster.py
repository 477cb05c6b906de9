"""A Redis Cluster of three masters on loopback, all slots assigned."""

from __future__ import annotations

import contextlib
from types import TracebackType
from typing import Final, Self

from .redis import RedisServer
from .waiting import wait_until

_SLOTS: Final = 16_384


class ClusterSetup:
    """Three processes; runs from the start of the block to its end.

    Example:
        with ClusterSetup() as cluster:
            cluster.node_of(b"{celeriac}queue").call("LLEN", b"{celeriac}queue")
    """

    def __init__(self, *, password: str | None = None) -> None:
        self._password = password
        self._stack = contextlib.ExitStack()
        self.nodes: list[RedisServer] = []

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self.nodes = [stack.enter_context(RedisServer(cluster=True, password=self._password)) for _ in range(3)]
            self._join()
            wait_until(self._is_ready, "cluster_state:ok on every node")
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def url(self) -> str:
        """One node; the others are found through it."""
        return self.nodes[0].url().replace("redis://", "redis+cluster://", 1)

    def slot_of(self, key: bytes) -> int:
        """The slot of a key, hash tag respected."""
        return int(self.nodes[0].call("CLUSTER", "KEYSLOT", key))

    def node_of(self, key: bytes) -> RedisServer:
        """The master that holds `key` now."""
        slot = self.slot_of(key)
        ranges = self.nodes[0].call("CLUSTER", "SLOTS")
        port = next(node[1] for first, last, node, *_ in ranges if first <= slot <= last)
        return next(node for node in self.nodes if node.port == port)

    def move(self, slot: int, target: RedisServer) -> None:
        """Move one slot with its keys to another master, as resharding does."""
        ranges = self.nodes[0].call("CLUSTER", "SLOTS")
        port = next(node[1] for first, last, node, *_ in ranges if first <= slot <= last)
        source = next(node for node in self.nodes if node.port == port)
        if source is target:
            return
        target.call("CLUSTER", "SETSLOT", slot, "IMPORTING", source.call("CLUSTER", "MYID"))
        source.call("CLUSTER", "SETSLOT", slot, "MIGRATING", target.call("CLUSTER", "MYID"))
        secret = ("AUTH", self._password) if self._password else ()
        while keys := source.call("CLUSTER", "GETKEYSINSLOT", slot, 100):
            source.call("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, *secret, "KEYS", *keys)
        for node in (target, source, *self.nodes):
            node.call("CLUSTER", "SETSLOT", slot, "NODE", target.call("CLUSTER", "MYID"))

    # -- inside --------------------------------------------------------------------------------------------

    def _join(self) -> None:
        bounds = [_SLOTS * number // 3 for number in range(4)]
        for number, node in enumerate(self.nodes):
            node.call("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            node.call("CLUSTER", "ADDSLOTS", *range(bounds[number], bounds[number + 1]))
        for node in self.nodes[1:]:
            node.call("CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port, self.nodes[0].bus_port)

    def _is_ready(self) -> bool:
        for node in self.nodes:
            info: bytes = node.call("CLUSTER", "INFO")
            if b"cluster_state:ok" not in info or b"cluster_known_nodes:3" not in info:
                return False
            if b"cluster_slots_ok:%d" % _SLOTS not in info:
                return False
        return True
