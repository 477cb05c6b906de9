"""Results in a cluster, and behind sentinels whose master dies while somebody waits."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from celeriac.exceptions import OperationalError
from celeriac.testing.conformance.support import in_loop
from servers.cluster import ClusterSetup
from servers.sentinel import SentinelSetup

from .results_support import PATIENCE, done, listeners, make_backend, until, wait_in_thread


@in_loop
async def test_results_in_a_cluster() -> None:
    with ClusterSetup() as cluster:
        backend, writer = make_backend(cluster.url), make_backend(cluster.url)
        crew = wait_in_thread(backend, "t0")
        waiting = [asyncio.create_task(backend.await_ready(f"t{n}", PATIENCE)) for n in range(1000)]
        await asyncio.to_thread(until, lambda: listeners(backend, "t999") == 1 and listeners(backend, "t0") == 2)
        records = [done(f"t{n}") for n in range(1000)]
        await writer.astore(records)
        assert await asyncio.gather(*waiting) == records
        await asyncio.to_thread(crew.join)
        assert backend.load("t999") == records[999]
        owner = cluster.node_of(backend.key("t0"))
        assert int(owner.call("DBSIZE")) == 1000
        cluster.move(cluster.slot_of(backend.key("t0")), next(node for node in cluster.nodes if node is not owner))
        with suppress(OperationalError):  # the call that meets the move may fail; the next one asks who has the keys
            await writer.astore([done("moved")])
        await writer.astore([done("moved")])
        assert backend.wait_ready("moved", PATIENCE) == done("moved")
        assert await backend.await_ready("moved", PATIENCE) == done("moved")
        for each in (backend, writer):
            each.disconnect()


@in_loop
async def test_waiters_follow_the_master() -> None:
    with SentinelSetup() as setup:
        transport = {"master_name": setup.master_name, "socket_timeout": 1.0, "socket_connect_timeout": 1.0}
        backend, writer = (make_backend(setup.url, transport=transport) for _ in range(2))
        writer.store([done("before")])
        assert backend.wait_ready("before", PATIENCE) == done("before")
        crew = wait_in_thread(backend, "a")
        waiting = asyncio.create_task(backend.await_ready("a", PATIENCE))
        await asyncio.to_thread(until, lambda: listeners(backend, "a") == 2)
        await asyncio.to_thread(setup.kill_master)
        await asyncio.to_thread(writer.store, [done("a")])
        assert await waiting == done("a")
        await asyncio.to_thread(crew.join)
        for each in (backend, writer):
            each.disconnect()
