"""Exchanges of RabbitMQ itself: topics, a queue of each worker's own, broadcasts, and what no queue takes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from celeriac import worker_direct
from celeriac.exceptions import CeleriacError, NotSupported
from integration.worker import broadcast_settings, delayed_settings, routed_settings
from integration.worker.conftest import Bench, bench_on, wait_until


@pytest.fixture
def bench(rabbit_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    with bench_on(rabbit_url, tmp_path, monkeypatch) as running:
        running.tasks.app.conf.result_backend = "disabled://"
        yield running


def _processes(bench: Bench, event: str) -> set[int]:
    return {pid for name, pid in bench.events() if name == event}


def test_a_topic_reaches_a_worker_of_each_queue(bench: Bench) -> None:
    bench.tasks.app.conf.update(task_queues=routed_settings.task_queues, task_routes=routed_settings.task_routes)
    for queue in ("feeds", "eu"):
        bench.start("-c", "1", "-Q", queue, CELERIAC_CONFIG="routed_settings")
    bench.tasks.noted.delay("both")
    wait_until(lambda: bench.count("ran-both") == 2, "one run for each queue")
    bench.tasks.noted.apply_async(("one",), routing_key="feed.sport")
    bench.pid_of("ran-one")
    with pytest.raises(CeleriacError, match="other"):
        bench.tasks.noted.apply_async(("none",), routing_key="other")
    bench.tasks.noted.apply_async(("none",), routing_key="other", mandatory=False)


def test_a_queue_of_ones_own(bench: Bench) -> None:
    for name in ("w1@here", "w2@here"):
        bench.start("-c", "1", "-n", name, "--", "worker_direct=true")
    bench.tasks.noted.apply_async(("first",), queue=worker_direct("w1@here"))
    bench.tasks.noted.apply_async(("second",), queue="w2@here.dq2")
    first, second = bench.pid_of("ran-first"), bench.pid_of("ran-second")
    bench.tasks.noted.apply_async(("again",), queue=worker_direct("w1@here"))
    assert first == bench.pid_of("ran-again") != second


def test_a_broadcast_runs_in_each_worker(bench: Bench) -> None:
    bench.tasks.app.conf.task_queues = broadcast_settings.task_queues
    bench.tasks.noted.apply_async(("nobody",), queue="everybody")  # and nobody is there
    for number in (1, 2):
        bench.start("-c", "1", "-n", f"w{number}@here", CELERIAC_CONFIG="broadcast_settings")

    def everybody_heard() -> bool:
        bench.tasks.noted.apply_async(("call",), queue="everybody")
        return len(_processes(bench, "ran-call")) == 2

    wait_until(everybody_heard, "each worker has its queue")  # it says that it is ready a moment before
    bench.tasks.noted.apply_async(("all",), queue="everybody")
    wait_until(lambda: bench.count("ran-all") == 2, "a run in each worker")
    assert _processes(bench, "ran-all") == _processes(bench, "ran-call")
    assert bench.count("ran-nobody") == 0
    with pytest.raises(NotSupported, match=r"'everybody' can not be delayed: .* without countdown"):
        bench.tasks.noted.apply_async(("later",), queue="everybody", countdown=5)


def test_what_is_delayed_reaches_each_queue_once_and_no_other(bench: Bench) -> None:
    """All that is delayed comes out of one exchange; to a topic it may be for any queue whose name is a key."""
    bench.tasks.app.conf.update(task_queues=delayed_settings.task_queues)
    worker = ("-c", "1", "-Q", "feed,audit,plain")
    bench.start(*worker, CELERIAC_CONFIG="delayed_settings")
    bench.tasks.noted.apply_async(("first",), queue="plain")
    bench.pid_of("ran-first")  # its bindings are there
    bench.tasks.noted.apply_async(("plain",), queue="plain", countdown=1.5)
    bench.tasks.noted.apply_async(("topic",), exchange="feeds", routing_key="feed", countdown=1.5)
    bench.tasks.noted.apply_async(("last",), queue="plain", countdown=3.5)
    bench.pid_of("ran-last")
    assert (bench.count("ran-plain"), bench.count("ran-topic")) == (1, 2)
