"""Workers and executors on RabbitMQ that are killed or asked to end: what they held, what waited, what kills them."""

from __future__ import annotations

import asyncio
import os
import signal
from functools import partial

import pytest

from celeriac import states
from celeriac.exceptions import WorkerLostError
from integration.worker.conftest import DEADLINE, Bench, RunningWorker, wait_until
from servers.amqp_channel import channel

from .conftest import Place, StartBench
from .worker_support import each_ran_once

KINDS = pytest.mark.parametrize("kind", ["quorum", pytest.param("classic", marks=pytest.mark.long)])


def of_kind(kind: str) -> dict[str, str]:
    """Settings by which new queues are of this kind."""
    return {"task_default_queue_type": kind, "task_create_missing_queue_type": kind}


def keep_alive(bench: Bench, until: str, *options: str) -> list[RunningWorker]:
    """Start a worker, and another whenever one is killed, as service managers do, until `until` becomes a dead letter.

    Returns all of them.
    """
    workers = [bench.start(*options)]

    def is_buried() -> bool:
        if workers[-1].process.poll() is not None:
            workers.append(bench.start(*options, ready=False))
        return until in buried(bench)

    wait_until(is_buried, "it is a dead letter", timeout=60.0)  # up to six workers start one after the other
    return workers


def buried(bench: Bench) -> dict[str, int]:
    """Dead letters by task id, and how often each was lost."""
    letters = asyncio.run(bench.tasks.app.broker.dead_letters())
    return {letter.message.headers["id"]: len(letter.history) for letter in letters}


@KINDS
def test_what_a_killed_worker_held_runs_elsewhere(place: Place, bench_at: StartBench, kind: str) -> None:
    bench = bench_at(place.url, **of_kind(kind))
    first = bench.start("-c", "2")
    results = [bench.tasks.gated.delay(name) for name in "abc"]
    for name in "ab":
        bench.pid_of(f"begin-{name}")
    second = bench.start("-c", "3")
    first.process.kill()
    for name, runs in {"a": 2, "b": 2, "c": 1}.items():
        wait_until(lambda: bench.count(f"begin-{name}") == runs, f"{name} runs elsewhere", timeout=10.0)  # noqa: B023
        bench.open(name)
    assert [result.get(timeout=DEADLINE) for result in results] == ["a", "b", "c"]
    wait_until(place.is_worked_off, "all is settled")
    assert "Recovered" in second.log


@KINDS
def test_a_task_that_kills_its_workers_becomes_a_dead_letter_alone(
    place: Place, bench_at: StartBench, kind: str
) -> None:
    bench = bench_at(place.url, **of_kind(kind))
    before, after = [f"before-{number}" for number in range(10)], [f"after-{number}" for number in range(10)]
    for name in before:
        bench.tasks.noted.delay(name)
    poison = bench.tasks.kills_its_worker.delay("poison")
    for name in after:
        bench.tasks.noted.delay(name)
    workers = keep_alive(bench, poison.id, "-c", "2")
    assert buried(bench) == {poison.id: 3}
    (letter,) = asyncio.run(bench.tasks.app.broker.dead_letters())
    assert "lost 3 times" in letter.reason
    assert letter.queue == "celery"
    with pytest.raises(WorkerLostError):
        poison.get(timeout=DEADLINE)
    names = [*before, *after]
    wait_until(lambda: all(bench.count(f"ran-{name}") for name in names), "the others have run")
    wait_until(place.is_worked_off, "all is settled")
    assert buried(bench) == {poison.id: 3}
    assert bench.count("begin-poison") == 3
    assert len(workers) == 1 + bench.count("begin-poison")


def test_several_that_kill_their_workers_and_many_that_wait(place: Place, bench_at: StartBench) -> None:
    bench = bench_at(place.url)
    names = [str(number) for number in range(60)]
    for name in names[:30]:
        bench.tasks.noted.delay(name)
    poisons = {bench.tasks.kills_its_worker.delay(f"poison-{number}").id for number in range(2)}
    for name in names[30:]:
        bench.tasks.noted.delay(name)
    workers = keep_alive(bench, min(poisons), "-c", "2")
    if poisons - buried(bench).keys():
        workers += keep_alive(bench, max(poisons), "-c", "2")
    wait_until(lambda: all(bench.count(f"ran-{name}") for name in names), "the others have run")
    wait_until(place.is_worked_off, "all is settled")
    # One that has run may be buried with them: where its acknowledgement is still on its way when the next suspect
    # kills the worker it counts as lost once more, and on a busy machine that happens three times.
    assert poisons <= buried(bench).keys()
    assert len(buried(bench)) < 6
    assert len(workers) < 10


def test_an_executor_that_is_killed_has_its_task_run_again(place: Place, bench_at: StartBench) -> None:
    bench = bench_at(place.url)
    worker = bench.start("-c", "1")
    result = bench.tasks.gated.delay("once")
    waiting = bench.tasks.add.delay(1, 1)
    os.kill(bench.pid_of("begin-once"), signal.SIGKILL)
    wait_until(lambda: bench.count("begin-once") == 2, "it runs again", timeout=10.0)
    bench.open("once")
    assert (result.get(timeout=DEADLINE), waiting.get(timeout=DEADLINE)) == ("once", 2)
    assert "was lost (1 of 3)" in worker.log
    wait_until(place.is_worked_off, "all is settled")


@KINDS
def test_a_task_that_kills_its_executor_becomes_a_dead_letter(place: Place, bench_at: StartBench, kind: str) -> None:
    bench = bench_at(place.url, **of_kind(kind))
    bench.start("-c", "2")
    poison = bench.tasks.killer.delay()
    others = [bench.tasks.add.delay(number, 0) for number in range(20)]
    assert [result.get(timeout=DEADLINE) for result in others] == list(range(20))
    with pytest.raises(WorkerLostError):
        poison.get(timeout=DEADLINE)
    wait_until(partial(buried, bench), "it is a dead letter")
    assert buried(bench) == {poison.id: 3}
    assert bench.count("begin-killer") == 3


SHUTDOWNS = {"warm": (signal.SIGTERM,), "cold": (signal.SIGINT, signal.SIGINT), "soft": (signal.SIGQUIT,)}


@pytest.mark.parametrize("how", SHUTDOWNS)
@KINDS
def test_what_waits_when_a_worker_ends_is_as_it_was(place: Place, bench_at: StartBench, how: str, kind: str) -> None:
    bench = bench_at(place.url, **of_kind(kind))
    worker = bench.start("-c", "1", CELERIAC_TEST_SOFT_SHUTDOWN="15" if how == "soft" else "0")
    running = bench.tasks.gated.delay("running")
    bench.pid_of("begin-running")
    waiting = {bench.tasks.add.delay(number, 0).id: number for number in range(20)}
    wait_until(lambda: place.held() > 1, "the worker has got more")
    for number in SHUTDOWNS[how]:
        worker.signal(number)
        wait_until(lambda: "shutdown" in worker.log, "the announcement")
    if how != "cold":
        bench.open("running")
    assert worker.wait() == (0 if how == "warm" else 1)
    done = {} if how == "cold" else {running.id}
    assert (running.state == states.SUCCESS) is bool(done)
    with channel(place.url) as talk:
        left = [talk.basic_get("celery", no_ack=True) for _ in range(place.queues()["celery"].ready)]
    assert len(left) == 20 + (not done)
    messages = {one.properties["application_headers"]["id"]: one for one in left if one is not None}
    assert messages.keys() == waiting.keys() | ({running.id} - set(done))
    for message in messages.values():
        assert not message.delivery_info["redelivered"]
        headers = message.properties["application_headers"]
        assert headers.pop("x-delivery-count", 0) == 0  # of quorum queues
        assert not any(name.startswith("x-") for name in headers)


def test_what_a_worker_gave_back_runs_on_the_next_one(place: Place, bench_at: StartBench) -> None:
    bench = bench_at(place.url)
    worker = bench.start("-c", "1")
    running = bench.tasks.gated.delay("again")
    bench.pid_of("begin-again")
    names = [str(number) for number in range(50)]
    for name in names:
        bench.tasks.noted.delay(name)
    worker.signal(signal.SIGQUIT)
    assert worker.wait() == 1
    bench.open("again")
    second = bench.start("-c", "1")
    assert running.get(timeout=DEADLINE) == "again"
    each_ran_once(bench, names)
    wait_until(place.is_worked_off, "all is settled")
    assert "was lost" not in second.log
    assert "Recovered" not in second.log
