"""A real worker while its Redis server dies, stands still, forgets, is full, or loses its connections.

What is asked in all cases: the worker lives, is back soon after the server, what was acknowledged stays so, and each
task has run once.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from celeriac.brokers.redis import scripts
from celeriac.exceptions import OperationalError
from celeriac.storage.redis.scripts import Script
from integration.worker.conftest import DEADLINE, Bench, bench_on, wait_until
from servers.process import free_port
from servers.proxy import Point, RedisProxy
from servers.redis import RedisServer

from .support import load_scripts, runs

#: Seconds after the server's return within which a worker takes tasks again, and those that a busy machine may add.
BACK = 5.0
FORGIVEN = 10.0
#: Short, so that a server that stands still is noticed soon.
TIMEOUTS = "?socket_timeout=1&socket_connect_timeout=1"
#: Longer than any outage here: what a worker holds it keeps.
LONG_LEASE = "30"


@pytest.fixture
def bench(own_redis: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    with bench_on(own_redis.url() + TIMEOUTS, tmp_path, monkeypatch) as running:
        yield running


def patiently(call: Callable[[], Any]) -> Any:
    """What `call` returns, as soon as the store lets it."""

    def attempt() -> tuple[Any] | None:
        try:
            return (call(),)
        except OperationalError:
            return None

    return wait_until(attempt, "the store takes calls")[0]


def seconds_until_work_is_done(bench: Bench, what: str) -> float:
    """Send a task now and measure; printed, since the assertion alone does not tell how good it is."""
    began = time.monotonic()
    assert patiently(lambda: bench.tasks.add.delay(1, 1).get(timeout=DEADLINE)) == 2
    took = time.monotonic() - began
    print(f"back {took:.2f} s after {what}")
    assert took < BACK + FORGIVEN
    return took


def each_ran_once(bench: Bench, names: list[str]) -> None:
    counts = {name: bench.count(f"ran-{name}") for name in names}
    assert counts == dict.fromkeys(names, 1)


def await_runs(bench: Bench, names: list[str]) -> None:
    wait_until(lambda: all(bench.count(f"ran-{name}") for name in names), "all tasks have run")


def nothing_is_left_to_do(server: RedisServer) -> bool:
    waiting, held = server.call("LLEN", "celery"), server.call("KEYS", "celeriac:held:*")
    return (waiting, held) == (0, [])


def send_with_next(bench: Bench, name: str) -> Any:
    return bench.tasks.noted.apply_async((name,), link=bench.tasks.noted.si(f"{name}-next"))


@pytest.mark.parametrize("outage", ["killed", "paused"])
def test_an_outage_under_load_loses_and_repeats_nothing(bench: Bench, own_redis: RedisServer, outage: str) -> None:
    worker = bench.start("-c", "2", CELERIAC_TEST_LEASE=LONG_LEASE)
    names = [str(number) for number in range(400)]
    results = [bench.tasks.noted.delay(name) for name in names]
    wait_until(lambda: bench.count("ran-50"), "some have run")
    if outage == "killed":
        own_redis.kill()
        wait_until(lambda: "trying on" in worker.log, "the worker has noticed")
        own_redis.restart()
    else:
        own_redis.pause()
        wait_until(lambda: "trying on" in worker.log, "the worker has noticed")
        own_redis.resume()
    seconds_until_work_is_done(bench, f"the server was {outage}")
    await_runs(bench, names)
    assert [patiently(partial(result.get, timeout=DEADLINE)) for result in results] == [None] * len(names)
    wait_until(partial(nothing_is_left_to_do, own_redis), "all is settled")
    each_ran_once(bench, names)
    assert "it was taken over" not in worker.log
    assert "Traceback" not in worker.log


@pytest.mark.parametrize("outage", ["killed", "paused"])
def test_an_idle_worker_is_back_soon(bench: Bench, own_redis: RedisServer, outage: str) -> None:
    worker = bench.start("-c", "1", CELERIAC_TEST_LEASE=LONG_LEASE)
    for number in range(2):
        if outage == "killed":
            own_redis.kill()
        else:
            own_redis.pause()
        wait_until(lambda: worker.log.count("trying on") > number, "noticed")  # noqa: B023 - awaited here
        own_redis.restart() if outage == "killed" else own_redis.resume()
        seconds_until_work_is_done(bench, f"the server was {outage}")
        wait_until(lambda: worker.log.count("Work goes on") > number, "said so")  # noqa: B023 - awaited here
    assert worker.log.count("trying on") == 2
    assert "Traceback" not in worker.log


def test_a_task_that_ends_while_the_server_is_away_is_settled_afterwards(bench: Bench, own_redis: RedisServer) -> None:
    worker = bench.start("-c", "1", CELERIAC_TEST_LEASE=LONG_LEASE)
    result = bench.tasks.gated.apply_async(("during",), link=bench.tasks.noted.s())
    bench.pid_of("begin-during")
    own_redis.kill()
    bench.open("during")
    wait_until(lambda: "trying on" in worker.log, "the settler has noticed")
    own_redis.restart()
    assert patiently(lambda: result.get(timeout=DEADLINE)) == "during"
    await_runs(bench, ["during"])
    assert bench.count("begin-during") == 1
    each_ran_once(bench, ["during"])
    assert "it was taken over" not in worker.log


@pytest.mark.parametrize("point", [Point.CUT_BEFORE, Point.CUT_AFTER], ids=["request", "reply"])
@pytest.mark.parametrize("script", [scripts.SETTLE, scripts.RESERVE, scripts.RENEW], ids=lambda script: script.name)
def test_connections_cut_at_scripts(
    redis_server: RedisServer,
    redis_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: Script,
    point: Point,
) -> None:
    load_scripts(redis_server)
    with RedisProxy(redis_server.port) as proxy, bench_on(redis_url, tmp_path, monkeypatch) as bench:
        worker = bench.start("-c", "2", CELERIAC_TEST_LEASE="2", CELERIAC_TEST_BROKER=proxy.url() + TIMEOUTS)
        names = []
        for number in range(5):
            cut = proxy.at(runs(script), point)
            batch = [f"{number}-{one}" for one in range(20)]
            results = [send_with_next(bench, name) for name in batch]
            cut.wait(DEADLINE)
            assert [result.get(timeout=DEADLINE) for result in results] == [None] * len(batch)
            names += [*batch, *(f"{name}-next" for name in batch)]
        await_runs(bench, names)
        wait_until(partial(nothing_is_left_to_do, redis_server), "all is settled")
        each_ran_once(bench, names)
        assert "it was taken over" not in worker.log
        assert "Traceback" not in worker.log


@pytest.mark.parametrize("outage", ["killed", "paused"])
def test_leases_that_run_out_while_the_server_is_away_are_taken_up_again(
    bench: Bench, own_redis: RedisServer, outage: str
) -> None:
    workers = [bench.start("-c", "1", CELERIAC_TEST_LEASE="1.5") for _ in range(2)]
    results = [bench.tasks.gated.delay(name) for name in "ab"]
    for name in "ab":
        bench.pid_of(f"begin-{name}")
    own_redis.kill() if outage == "killed" else own_redis.pause()
    began = time.monotonic()
    wait_until(lambda: time.monotonic() > began + 3.0, "both leases have run out")
    own_redis.restart() if outage == "killed" else own_redis.resume()
    looked_for = time.monotonic() + 3.0  # two periods, in which somebody could take over
    wait_until(lambda: time.monotonic() > looked_for, "workers look for the dead")
    for name in "ab":
        bench.open(name)
    assert [patiently(partial(result.get, timeout=DEADLINE)) for result in results] == ["a", "b"]
    assert [bench.count(f"begin-{name}") for name in "ab"] == [1, 1]
    assert not any("it was taken over" in worker.log or "Recovered" in worker.log for worker in workers)


def test_connections_that_the_server_kills_under_load(bench: Bench, own_redis: RedisServer) -> None:
    worker = bench.start("-c", "2", CELERIAC_TEST_LEASE=LONG_LEASE)
    names = []
    for number in range(5):
        batch = [f"{number}-{one}" for one in range(100)]
        results = [patiently(partial(bench.tasks.noted.delay, name)) for name in batch]
        wait_until(partial(bench.count, f"ran-{batch[20]}"), "some have run")
        own_redis.call("CLIENT", "KILL", "TYPE", "pubsub" if number == 3 else "normal")
        assert [patiently(partial(result.get, timeout=DEADLINE)) for result in results] == [None] * len(batch)
        names += batch
    wait_until(partial(nothing_is_left_to_do, own_redis), "all is settled")
    each_ran_once(bench, names)
    assert "it was taken over" not in worker.log


def test_a_server_that_forgets_everything_gets_new_work_done(bench: Bench, own_redis: RedisServer) -> None:
    worker = bench.start("-c", "2", CELERIAC_TEST_LEASE="2")
    bench.tasks.gated.delay("held")
    bench.pid_of("begin-held")
    own_redis.call("FLUSHALL")
    own_redis.call("SCRIPT", "FLUSH")
    seconds_until_work_is_done(bench, "all was forgotten")
    bench.open("held")
    wait_until(lambda: bench.count("end-held"), "the forgotten task ends")
    assert patiently(lambda: bench.tasks.add.delay(2, 2).get(timeout=DEADLINE)) == 4
    bench.start("-c", "1", CELERIAC_TEST_LEASE="2")
    assert bench.tasks.add.delay(3, 3).get(timeout=DEADLINE) == 6
    assert "Traceback" not in worker.log


def test_a_server_that_is_a_replica_for_a_while(bench: Bench, own_redis: RedisServer) -> None:
    worker = bench.start("-c", "1", CELERIAC_TEST_LEASE=LONG_LEASE)
    result = bench.tasks.gated.delay("during")
    bench.pid_of("begin-during")
    own_redis.call("REPLICAOF", "127.0.0.1", free_port())  # where nobody is: it keeps what it has
    bench.open("during")
    wait_until(lambda: "is a replica" in worker.log, "the worker has noticed")
    with pytest.raises(OperationalError, match="is a replica"):
        bench.tasks.add.delay(1, 1)
    own_redis.call("REPLICAOF", "NO", "ONE")
    assert result.get(timeout=DEADLINE) == "during"
    seconds_until_work_is_done(bench, "the server was a replica")
    assert bench.count("begin-during") == 1


def test_what_is_queued_is_worked_off_without_memory(bench: Bench, own_redis: RedisServer) -> None:
    names = [str(number) for number in range(200)]
    results = [bench.tasks.noted.delay(name) for name in names]
    own_redis.call("SET", "ballast", b"x" * 3_000_000)
    used = int(re.findall(rb"used_memory:(\d+)", own_redis.call("INFO", "memory"))[0])
    own_redis.call("CONFIG", "SET", "maxmemory", used - 2_000_000)
    with pytest.raises(OperationalError, match="maxmemory"):
        bench.tasks.noted.delay("refused")
    worker = bench.start("-c", "2", CELERIAC_TEST_LEASE="1")
    await_runs(bench, names)
    wait_until(partial(nothing_is_left_to_do, own_redis), "all is settled")
    own_redis.call("CONFIG", "SET", "maxmemory", 0)
    assert [result.get(timeout=DEADLINE) for result in results] == [None] * len(names)
    seconds_until_work_is_done(bench, "there was memory again")
    each_ran_once(bench, names)
    assert "trying on" not in worker.log


def test_nothing_is_left_behind(bench: Bench, own_redis: RedisServer) -> None:
    first = bench.start("-c", "2", CELERIAC_TEST_LEASE="1")
    held = [bench.tasks.gated.delay(name) for name in "ab"]
    for name in "ab":
        bench.pid_of(f"begin-{name}")
    first.process.kill()
    second = bench.start("-c", "2", CELERIAC_TEST_LEASE="1")
    for name in "ab":
        bench.open(name)
    bench.tasks.add.apply_async((1, 1), countdown=0.5).get(timeout=DEADLINE)
    assert [result.get(timeout=DEADLINE) for result in held] == ["a", "b"]
    second.process.terminate()
    assert second.wait() == 0
    expected = {b"celery-task-meta-", b"_kombu.binding"}
    left = [key for key in own_redis.call("KEYS", "*") if not any(key.startswith(start) for start in expected)]
    lives = {key: own_redis.call("TTL", key) for key in left}
    print(lives)
    assert all(0 <= life <= 600 for life in lives.values()), lives  # no key without an end
    assert all(own_redis.call("TTL", key) > 0 for key in own_redis.call("KEYS", "celery-task-meta-*"))
