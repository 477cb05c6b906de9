"""Workers and queues: which they take from, what an exchange leads to, and a queue of a worker's own."""

from __future__ import annotations

import pytest

from celeriac import worker_direct

from . import routed_settings
from .conftest import DEADLINE, Bench, wait_until


@pytest.fixture
def routed(bench: Bench) -> Bench:
    """The test's own side has the same settings as the workers."""
    bench.tasks.app.conf.update(task_queues=routed_settings.task_queues, task_routes=routed_settings.task_routes)
    return bench


def test_a_worker_takes_from_the_queues_that_are_named(bench: Bench) -> None:
    bench.start("-c", "1", "-Q", "mail,pictures")
    bench.tasks.noted.apply_async(("left",), queue="other")
    assert bench.tasks.add.apply_async((1, 2), queue="pictures").get(timeout=DEADLINE) == 3
    assert bench.tasks.add.apply_async((3, 4), queue="mail").get(timeout=DEADLINE) == 7
    assert bench.count("ran-left") == 0


def test_a_topic_reaches_a_worker_of_each_queue(routed: Bench) -> None:
    for queue in ("feeds", "eu"):
        routed.start("-c", "1", "-Q", queue, CELERIAC_CONFIG="routed_settings")
    routed.tasks.noted.delay("both")
    wait_until(lambda: routed.count("ran-both") == 2, "one run for each queue")
    assert len({pid for name, pid in routed.events() if name == "ran-both"}) == 2
    routed.tasks.noted.apply_async(("one",), routing_key="feed.sport")
    routed.tasks.noted.apply_async(("last",), queue="feeds", exchange="", routing_key="feeds")
    routed.pid_of("ran-last")
    assert routed.count("ran-one") == 1


def test_links_are_routed_by_the_process_that_ran_the_task(routed: Bench) -> None:
    routed.start("-c", "1", CELERIAC_CONFIG="routed_settings")
    result = routed.tasks.add.apply_async((1, 2), link=routed.tasks.noted.si("linked"))
    assert result.get(timeout=DEADLINE) == 3
    wait_until(lambda: routed.count("ran-linked") == 2, "both queues of the exchange")


@pytest.mark.parametrize("options", [(), ("-Q", "other")], ids=["all queues", "-Q"])
def test_a_queue_of_ones_own(bench: Bench, options: tuple[str, ...]) -> None:
    bench.start("-c", "1", "-n", "w1@here", *options, "--", "worker_direct=true")
    bench.start("-c", "1", "-n", "w2@here", *options, "--", "worker_direct=true")
    first = bench.tasks.where.apply_async(queue=worker_direct("w1@here")).get(timeout=DEADLINE)
    again = bench.tasks.where.apply_async(queue="w1@here.dq2").get(timeout=DEADLINE)
    other = bench.tasks.where.apply_async(queue=worker_direct("w2@here")).get(timeout=DEADLINE)
    assert first == again
    assert other != first


def test_unknown_queues_are_refused_where_none_are_made(bench: Bench) -> None:
    worker = bench.start(
        "-Q", "pictures", "--", "task_queues=picture,mail", "task_create_missing_queues=false", ready=False
    )
    assert worker.wait() == 2
    assert "queue 'pictures' is not in task_queues" in worker.log
    assert "did you mean 'picture'?" in worker.log


def test_a_broadcast_needs_a_broker_with_exchanges(bench: Bench) -> None:
    worker = bench.start(ready=False, CELERIAC_CONFIG="broadcast_settings")
    assert worker.wait() == 1
    assert "Broadcast('everybody') gives each worker a queue of its own" in worker.log
    assert "worker_direct" in worker.log
