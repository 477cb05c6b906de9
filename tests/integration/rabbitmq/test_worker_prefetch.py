"""What real workers hold on RabbitMQ: hardly more than they run; from several queues; queues with odd names."""

from __future__ import annotations

import pytest

from integration.worker.conftest import DEADLINE, Bench, wait_until

from .conftest import Place, StartBench
from .worker_support import complaints, each_ran_once

#: What a worker with two processes holds: what they run, and 8 at most for a while that may be for idle threads.
FULL = 2 + 8


def begun(bench: Bench) -> set[str]:
    return {name for name, _ in bench.events() if name.startswith("begin-")}


@pytest.mark.parametrize("kind", ["quorum", pytest.param("classic", marks=pytest.mark.long)])
def test_a_worker_with_slow_tasks_leaves_the_rest_to_others(place: Place, bench_at: StartBench, kind: str) -> None:
    bench = bench_at(place.url, task_default_queue_type=kind, task_create_missing_queue_type=kind)
    names = [str(number) for number in range(60)]
    results = {name: bench.tasks.gated.delay(name) for name in names}
    bench.start("-c", "2", "-n", "one@%h")
    wait_until(lambda: len(begun(bench)) == 2, "the first worker is full")
    wait_until(lambda: place.held() <= FULL, "it holds hardly more than it runs")
    bench.start("-c", "2", "-n", "two@%h")
    wait_until(lambda: len(begun(bench)) == 4, "the second works as well")
    wait_until(lambda: place.held() <= 2 * FULL, "both hold hardly more than they run")
    assert len({pid for name, pid in bench.events() if name.startswith("begin-")}) == 4
    for name in names:
        bench.open(name)
    assert [result.get(timeout=DEADLINE) for result in results.values()] == names
    wait_until(place.is_worked_off, "all is settled")
    assert len(begun(bench)) == len([name for name, _ in bench.events() if name.startswith("begin-")])


def test_an_idle_worker_gets_what_a_busy_one_has_fetched(place: Place, bench_at: StartBench) -> None:
    bench = bench_at(place.url)
    bench.start("-c", "1", "-n", "one@%h")
    quick = [f"quick-{number}" for number in range(200)]  # so that it fetches many at a time
    for name in quick:
        bench.tasks.noted.delay(name)
    bench.tasks.gated.delay("slow")
    late = [f"late-{number}" for number in range(50)]
    for name in late:
        bench.tasks.noted.delay(name)
    bench.pid_of("begin-slow")
    bench.start("-c", "1", "-n", "two@%h")
    each_ran_once(bench, [*quick, *late])
    assert bench.count("end-slow") == 0
    bench.open("slow")
    wait_until(place.is_worked_off, "all is settled")


def test_several_queues_share_a_worker(place: Place, bench_at: StartBench) -> None:
    bench = bench_at(place.url)
    names = [f"{queue}-{number}" for number in range(40) for queue in ("many", "few")]
    for name in names:
        bench.tasks.noted.apply_async((name,), queue=name.split("-")[0])
    worker = bench.start("-c", "2", "-Q", "many,few,none")
    each_ran_once(bench, names)
    for name in ("many", "few", "none"):
        assert bench.tasks.add.apply_async((1, 1), queue=name).get(timeout=DEADLINE) == 2
    wait_until(place.is_worked_off, "all is settled")
    assert complaints(worker) == []


@pytest.mark.parametrize("kind", ["quorum", pytest.param("classic", marks=pytest.mark.long)])
def test_queues_with_odd_names(place: Place, bench_at: StartBench, kind: str) -> None:
    bench = bench_at(place.url, task_default_queue_type=kind, task_create_missing_queue_type=kind)
    names = ["a.b.c", "with space", "Straße 日本語", "#", "*.x", "a/b:c@d", "~t", "%h", "x" * 150]
    worker = bench.start("-c", "2", "-Q", ",".join(names))
    results = [bench.tasks.add.apply_async((1, 1), queue=name) for name in names]
    results += [bench.tasks.add.apply_async((1, 1), queue=name, countdown=1.5) for name in names]
    results += [bench.tasks.killed_first.apply_async((str(number),), queue=name) for number, name in enumerate(names)]
    expected = [2] * (2 * len(names)) + [str(number) for number in range(len(names))]
    assert [result.get(timeout=DEADLINE) for result in results] == expected
    wait_until(place.is_worked_off, "all is settled")
    assert not any("was lost" not in line and "was killed" not in line for line in complaints(worker))
