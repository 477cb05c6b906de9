"""Real workers and producers whose Redis is more than one server: sentinels with a replica, and a cluster.

What is asked: the worker finds the new master by itself, is back soon, and everything that the new master knows of is
done. What the old master had not yet passed on is lost with it, as always with Redis' replication.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from integration.worker.conftest import DEADLINE, Bench, bench_on, wait_until
from servers.cluster import ClusterSetup
from servers.redis import RedisServer
from servers.sentinel import SentinelSetup

from .test_worker_faults import LONG_LEASE, TIMEOUTS, await_runs, each_ran_once, patiently, seconds_until_work_is_done

#: All keys of the cluster's apps lie where this one does.
TAG = b"{celeriac}"


@pytest.fixture
def setup() -> Iterator[SentinelSetup]:
    with SentinelSetup(password="pw") as setup:
        yield setup


@pytest.fixture(scope="module")
def cluster() -> Iterator[ClusterSetup]:
    with ClusterSetup(password="pw") as cluster:
        yield cluster


@pytest.fixture
def bench(cluster: ClusterSetup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """On the cluster, which is empty."""
    for node in cluster.nodes:
        node.call("FLUSHALL")
    with bench_on(cluster.url + TIMEOUTS, tmp_path, monkeypatch) as running:
        yield running


def is_replicated(master: RedisServer) -> bool:
    """Its replica has all that it was told before this call."""
    return bool(master.call("WAIT", 1, 100) == 1)


def test_a_worker_follows_to_the_new_master(
    setup: SentinelSetup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{setup.url}{TIMEOUTS}&master_name={setup.master_name}"
    with bench_on(url, tmp_path, monkeypatch) as bench:
        worker = bench.start("-c", "2", CELERIAC_TEST_LEASE=LONG_LEASE)
        running = [bench.tasks.gated.delay(name) for name in "ab"]
        for name in "ab":
            bench.pid_of(f"begin-{name}")
        names = [str(number) for number in range(50)]
        waiting = [bench.tasks.noted.delay(name) for name in names]
        later = bench.tasks.add.apply_async((2, 3), countdown=2.0)
        wait_until(partial(is_replicated, setup.master), "the replica has it all")
        setup.kill_master()
        for name in "ab":
            bench.open(name)
        seconds_until_work_is_done(bench, "the replica became master")
        assert [patiently(partial(result.get, timeout=DEADLINE)) for result in running] == ["a", "b"]
        assert [patiently(partial(result.get, timeout=DEADLINE)) for result in waiting] == [None] * len(names)
        assert patiently(partial(later.get, timeout=DEADLINE)) == 5
        each_ran_once(bench, names)
        assert [bench.count(f"begin-{name}") for name in "ab"] == [1, 1]
        wait_until(lambda: setup.master.call("KEYS", "celeriac:held:*") == [], "all is settled")
        wait_until(lambda: "Work goes on" in worker.log, "said so")
        assert worker.log.count("Work is held up") == worker.log.count("Work goes on") == 1
        assert "it was taken over" not in worker.log
        assert "Traceback" not in worker.log


def test_a_worker_follows_when_both_live(setup: SentinelSetup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"{setup.url}{TIMEOUTS}&master_name={setup.master_name}"
    with bench_on(url, tmp_path, monkeypatch) as bench:
        worker = bench.start("-c", "1", CELERIAC_TEST_LEASE=LONG_LEASE)
        held = bench.tasks.gated.delay("held")
        bench.pid_of("begin-held")
        wait_until(partial(is_replicated, setup.master), "the replica has it all")
        former = setup.failover()
        # As the sentinels tell it ten seconds later. Until then those who have a connection to it know of no other.
        former.call("REPLICAOF", "127.0.0.1", setup.master.port)
        bench.open("held")
        seconds_until_work_is_done(bench, "the former master knew")
        assert patiently(partial(held.get, timeout=DEADLINE)) == "held"
        assert bench.count("begin-held") == 1
        assert "it was taken over" not in worker.log
        assert "Traceback" not in worker.log


def test_what_an_app_does_on_a_cluster(bench: Bench, cluster: ClusterSetup) -> None:
    tasks = bench.tasks
    for number in range(3):
        tasks.noted.delay(f"purged-{number}")
    assert asyncio.run(tasks.app.broker.purge("celery")) == 3
    worker = bench.start("-c", "2", CELERIAC_TEST_LEASE="2")
    began = time.monotonic()
    later = tasks.add.apply_async((2, 3), countdown=1.0)
    results = [tasks.add.delay(number, 1) for number in range(100)]
    assert [result.get(timeout=DEADLINE) for result in results] == list(range(1, 101))
    assert tasks.fails_twice.delay().get(timeout=DEADLINE) == 2
    linked = tasks.add.apply_async((1, 1), link=tasks.noted.si("linked"))
    assert linked.get(timeout=DEADLINE) == 2
    await_runs(bench, ["linked"])
    assert later.get(timeout=DEADLINE) == 5
    assert time.monotonic() - began >= 1.0
    assert bench.count("ran-purged-0") == 0
    owner = cluster.node_of(TAG)
    assert owner.call("KEYS", "*")
    assert [node.call("KEYS", "*") for node in cluster.nodes if node is not owner] == [[], []]
    worker.process.terminate()
    assert worker.wait() == 0
    assert "Traceback" not in worker.log


def test_the_dead_are_buried_in_a_cluster_too(bench: Bench) -> None:
    first = bench.start("-c", "1", CELERIAC_TEST_LEASE="1")
    result = bench.tasks.gated.delay("held")
    bench.pid_of("begin-held")
    first.process.kill()
    second = bench.start("-c", "1", CELERIAC_TEST_LEASE="1")
    bench.open("held")
    assert result.get(timeout=DEADLINE) == "held"
    assert "runs again" in second.log
    assert "Traceback" not in second.log


def test_a_worker_follows_its_keys_to_another_node(bench: Bench, cluster: ClusterSetup) -> None:
    worker = bench.start("-c", "2", CELERIAC_TEST_LEASE=LONG_LEASE)
    held = bench.tasks.gated.delay("held")
    bench.pid_of("begin-held")
    later = bench.tasks.add.apply_async((2, 3), countdown=1.0)
    former = cluster.node_of(TAG)
    cluster.move(cluster.slot_of(TAG), next(node for node in cluster.nodes if node is not former))
    seconds_until_work_is_done(bench, "the slot has moved")
    bench.open("held")
    assert patiently(partial(held.get, timeout=DEADLINE)) == "held"
    assert patiently(partial(later.get, timeout=DEADLINE)) == 5
    assert bench.count("begin-held") == 1
    assert "it was taken over" not in worker.log
    assert "Traceback" not in worker.log
