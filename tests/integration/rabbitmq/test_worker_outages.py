"""A real worker while its RabbitMQ dies, stops, stands still, or takes nothing.

What is asked in all cases: the worker lives, is back soon after the server, says so once, nothing is lost, and what ran
when the connection was lost has run once.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from celeriac.exceptions import OperationalError
from integration.worker.conftest import DEADLINE, wait_until

from .conftest import Place, StartBench
from .worker_support import each_ran_once, noticed, quiet, works_again

OUTAGES: dict[str, tuple[Callable[[Place], object], Callable[[Place], object]]] = {
    "killed": (lambda place: place.server.kill(), lambda place: place.server.restart()),
    "restarted": (lambda place: place.server.stop(), lambda place: place.server.restart()),
    "app stopped": (lambda place: place.server.stop_app(), lambda place: place.server.start_app()),
    "paused": (lambda place: place.server.pause(), lambda place: place.server.resume()),
}
#: A server that is restarted looks to a worker like one whose application is.
EACH_OUTAGE = pytest.mark.parametrize(
    "outage", [pytest.param(name, marks=[pytest.mark.long] if name == "restarted" else []) for name in OUTAGES]
)


@pytest.mark.parametrize("kind", ["quorum", pytest.param("classic", marks=pytest.mark.long)])
@EACH_OUTAGE
def test_an_outage_under_load_loses_nothing(frail: Place, bench_at: StartBench, outage: str, kind: str) -> None:
    begin, end = OUTAGES[outage]
    bench = bench_at(frail.url, task_default_queue_type=kind, task_create_missing_queue_type=kind)
    worker = bench.start("-c", "2", CELERIAC_TEST_LEASE="3")  # a heartbeat each second
    during = bench.tasks.gated.apply_async(("during",), link=bench.tasks.noted.si("linked"))
    bench.pid_of("begin-during")
    names = [str(number) for number in range(200)]
    for name in names:
        bench.tasks.noted.delay(name)
    wait_until(lambda: bench.count("ran-50"), "some have run")
    begin(frail)
    bench.open("during")
    noticed(worker)
    wait_until(lambda: bench.count("end-during"), "it has ended meanwhile")
    end(frail)
    works_again(bench, f"the server was {outage}")
    assert during.get(timeout=DEADLINE) == "during"
    each_ran_once(bench, names)
    wait_until(lambda: bench.count("ran-linked"), "what follows has run")  # twice, if its confirm was lost
    wait_until(frail.is_worked_off, "all is settled")
    assert bench.count("begin-during") == 1
    quiet(worker)


@EACH_OUTAGE
def test_an_idle_worker_is_back_soon(frail: Place, bench_at: StartBench, outage: str) -> None:
    begin, end = OUTAGES[outage]
    bench = bench_at(frail.url)
    worker = bench.start("-c", "1", CELERIAC_TEST_LEASE="3")
    begin(frail)
    noticed(worker)
    end(frail)
    works_again(bench, f"the server was {outage}")
    wait_until(lambda: "Work goes on" in worker.log, "it says so")
    quiet(worker)


def test_a_node_that_stands_still_for_less_than_a_heartbeat_is_not_noticed(frail: Place, bench_at: StartBench) -> None:
    bench = bench_at(frail.url)
    worker = bench.start("-c", "1", CELERIAC_TEST_LEASE="6")  # a heartbeat each 2 s
    result = bench.tasks.gated.delay("during")
    bench.pid_of("begin-during")
    frail.server.pause()
    until = time.monotonic() + 1.5
    wait_until(lambda: time.monotonic() > until, "a moment has passed")
    frail.server.resume()
    bench.open("during")
    assert result.get(timeout=DEADLINE) == "during"
    works_again(bench, "the server stood still for a moment")
    assert bench.count("begin-during") == 1
    assert not [line for line in worker.log.splitlines() if "WARN" in line or "ERROR" in line]


def test_a_memory_alarm_stops_what_is_published_and_nothing_else(frail: Place, bench_at: StartBench) -> None:
    bench = bench_at(frail.url)
    worker = bench.start("-c", "3")
    names = [str(number) for number in range(100)]
    gated = bench.tasks.gated.delay("gated")
    bench.pid_of("begin-gated")
    linked = bench.tasks.gated.apply_async(("linked",), link=bench.tasks.noted.si("after"))
    bench.pid_of("begin-linked")
    for name in names:
        bench.tasks.noted.delay(name)
    frail.server.memory_alarm(True)
    began = time.monotonic()
    with pytest.raises(OperationalError, match="takes no messages at the moment"):
        bench.tasks.noted.apply_async(("refused",), retry=False)
    assert time.monotonic() - began < 4.0
    bench.open("gated")
    assert gated.get(timeout=DEADLINE) == "gated"
    each_ran_once(bench, names)
    wait_until(lambda: frail.held() == 1, "all others are acknowledged")
    bench.open("linked")
    assert linked.get(timeout=DEADLINE) == "linked"
    wait_until(lambda: "takes no messages at the moment" in worker.log, "the worker has noticed")
    assert bench.count("ran-after") == 0
    frail.server.memory_alarm(False)
    each_ran_once(bench, ["after"])
    works_again(bench, "an alarm")
    wait_until(frail.is_worked_off, "all is settled")
    assert [bench.count(f"begin-{name}") for name in ("gated", "linked")] == [1, 1]
    quiet(worker)


def test_a_retry_waits_for_the_end_of_an_alarm(frail: Place, bench_at: StartBench) -> None:
    bench = bench_at(frail.url)
    bench.tasks.add.delay(1, 1)
    result = bench.tasks.fails_twice.delay()
    frail.server.memory_alarm(True)
    worker = bench.start("-c", "2")
    wait_until(lambda: "takes no messages at the moment" in worker.log, "the worker has noticed")
    frail.server.memory_alarm(False)
    assert result.get(timeout=DEADLINE) == 2
    wait_until(frail.is_worked_off, "all is settled")
    quiet(worker)
