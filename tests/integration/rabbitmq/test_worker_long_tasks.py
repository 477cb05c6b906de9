"""Tasks that outlast the server's `consumer_timeout`, and future work that does, on a node with a very short one."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from integration.worker.conftest import DEADLINE, Bench, wait_until
from servers.rabbitmq import RabbitServer

from .conftest import Place, StartBench
from .worker_support import complaints, each_ran_once

#: Seconds; the server looks four times within it.
#: Longer than a message waits at most for an executor before it is given back: nobody renews the hold on it. And half
#: of it, which is left for renewing one, is longer than a busy machine takes to declare a queue and confirm a message.
TIMEOUT = 10.0
TOLD = {"broker_transport_options": {"consumer_timeout": TIMEOUT}}


@pytest.fixture(scope="module")
def impatient_node() -> Iterator[RabbitServer]:
    """Closes channels that owe an acknowledgement for `TIMEOUT` seconds."""
    with RabbitServer(consumer_timeout=TIMEOUT) as server:
        yield server


@pytest.fixture
def hurried(impatient_node: RabbitServer) -> Iterator[Place]:
    """A place of this test's own on that node."""
    place = Place(impatient_node, impatient_node.add_vhost())
    yield place
    impatient_node.remove_vhost(place.vhost)


def of_kind(kind: str) -> dict[str, str]:
    return {"task_default_queue_type": kind, "task_create_missing_queue_type": kind}


def passes(seconds: float) -> None:
    """Let the server's time run."""
    end = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() > end, f"{seconds} s", seconds + 1.0)


def begin(bench: Bench, name: str) -> float:
    """Wait for the task; when it began."""
    bench.pid_of(f"begin-{name}")
    return time.monotonic()


@pytest.mark.parametrize("kind", ["quorum", pytest.param("classic", marks=pytest.mark.long)])
def test_a_task_longer_than_the_timeout_runs_once(hurried: Place, bench_at: StartBench, kind: str) -> None:
    bench = bench_at(hurried.url, **TOLD, **of_kind(kind))
    workers = [bench.start("-c", "1", "-n", f"{name}@%h") for name in ("one", "two")]
    result = bench.tasks.gated.delay("long")
    begin(bench, "long")
    passes(1.3 * TIMEOUT)
    names = [str(number) for number in range(20)]
    for name in names:
        bench.tasks.noted.delay(name)
    each_ran_once(bench, names)
    bench.open("long")
    assert result.get(timeout=DEADLINE) == "long"
    wait_until(hurried.is_worked_off, "all is settled")
    assert bench.count("begin-long") == 1
    assert [line for worker in workers for line in complaints(worker)] == []


def test_a_worker_that_was_not_told_learns_the_timeout(hurried: Place, bench_at: StartBench) -> None:
    bench = bench_at(hurried.url)
    worker = bench.start("-c", "2")
    first = bench.tasks.gated.delay("first")
    begin(bench, "first")
    wait_until(lambda: f"consumer_timeout is {TIMEOUT:g} s" in worker.log, "the server has said what it is")
    second = bench.tasks.gated.delay("second")
    begin(bench, "second")
    passes(1.3 * TIMEOUT)
    for name, result in (("first", first), ("second", second)):
        bench.open(name)
        assert result.get(timeout=DEADLINE) == name
        assert bench.count(f"begin-{name}") == 1  # its message came back to the same worker
    wait_until(hurried.is_worked_off, "all is settled")
    assert worker.log.count(f"consumer_timeout is {TIMEOUT:g} s") == 1
    assert worker.log.count(f"broker_transport_options={{'consumer_timeout': {TIMEOUT:g}}}") == 1


def test_with_others_a_worker_that_was_not_told_has_a_task_run_twice_at_most(
    hurried: Place, bench_at: StartBench
) -> None:
    bench = bench_at(hurried.url)
    workers = [bench.start("-c", "1", "-n", f"{name}@%h") for name in ("one", "two")]
    result = bench.tasks.gated.delay("long")
    begin(bench, "long")
    passes(1.5 * TIMEOUT)
    bench.open("long")
    assert result.get(timeout=DEADLINE) == "long"
    wait_until(hurried.is_worked_off, "all is settled")
    assert bench.count("begin-long") <= 2
    assert any(f"consumer_timeout is {TIMEOUT:g} s" in worker.log for worker in workers)


@pytest.mark.parametrize("kind", ["quorum", pytest.param("classic", marks=pytest.mark.long)])
def test_a_worker_that_dies_with_a_renewed_hold_has_its_task_run_elsewhere(
    hurried: Place, bench_at: StartBench, kind: str
) -> None:
    bench = bench_at(hurried.url, **TOLD, **of_kind(kind))
    first = bench.start("-c", "1", "-n", "first@%h")
    result = bench.tasks.gated.delay("long")
    begin(bench, "long")
    passes(1.2 * TIMEOUT)
    held = [name for name, state in hurried.queues().items() if name.startswith("celeriac.held.") and state]
    assert held, "its hold was renewed"
    bench.start("-c", "1", "-n", "second@%h")
    first.process.kill()
    killed = time.monotonic()
    wait_until(lambda: bench.count("begin-long") == 2, "it runs elsewhere")
    print(f"again {time.monotonic() - killed:.1f} s after its worker was killed")
    bench.open("long")
    assert result.get(timeout=DEADLINE) == "long"
    wait_until(hurried.is_worked_off, "all is settled")


def test_future_work_is_held_by_no_worker(hurried: Place, bench_at: StartBench) -> None:
    bench = bench_at(hurried.url)
    worker = bench.start("-c", "1")
    bench.tasks.noted.apply_async(("later",), countdown=3600)
    soon = bench.tasks.add.apply_async((1, 1), countdown=1.3 * TIMEOUT)
    assert bench.tasks.add.delay(1, 1).get(timeout=DEADLINE) == 2
    wait_until(lambda: hurried.held() == 0, "nothing is unacknowledged")
    assert soon.get(timeout=DEADLINE) == 2
    waiting = {name: state.ready for name, state in hurried.queues().items() if state.ready}
    assert waiting == {"celery_delayed_11": 1}  # the highest bit of an hour
    assert bench.count("ran-later") == 0
    assert complaints(worker) == []
