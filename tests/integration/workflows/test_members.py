"""Whatever becomes of a member, its workflow ends: the body of its chord fails with a `ChordError`, nothing hangs."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any

import pytest

from celeriac import chain, chord, group
from celeriac.exceptions import ChordError
from integration.worker.conftest import DEADLINE, Bench, bench_on, wait_until
from integration.workflows.conftest import urls

Make = Callable[[ModuleType], Any]


def _expired(tasks: ModuleType) -> Any:
    return tasks.add.s(1, 1).set(expires=datetime.now(UTC) - timedelta(hours=1))


#: What can become of a task, and what is said of it.
ENDS: dict[str, tuple[Make, str]] = {
    "raised": (lambda tasks: tasks.raises.s("boom"), r"ValueError\('boom'\)"),
    "timed out": (lambda tasks: tasks.spins.s(20).set(time_limit=0.3), "TimeLimitExceeded"),
    "timed out in a thread": (lambda tasks: tasks.hangs_in_thread.s().set(time_limit=0.3), "TimeLimitExceeded"),
    "lost for good": (lambda tasks: tasks.killer.s(), "WorkerLostError"),
    "lost, not to be run again": (lambda tasks: tasks.killed_once_and_for_all.s(), "WorkerLostError"),
    "rejected": (lambda tasks: tasks.rejected.s(), "reject requeue=False: spoilt"),
    "ignored": (lambda tasks: tasks.ignored.s(), "Ignore"),
    "expired": (_expired, "TaskRevokedError"),
    "unknown": (lambda tasks: tasks.app.signature("no.such.task"), "NotRegistered"),
    # What runs first is checked where it is sent.
    "called wrongly": (lambda tasks: chain(tasks.echo.si("first"), tasks.add.si(1, 2, 3)), "TypeError"),
}
EACH_END = pytest.mark.parametrize("end", ENDS)


@pytest.fixture(scope="module", params=["sqlite", "redis", "rabbitmq"])
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """One worker with processes for all tests of this module, on each store that processes can share."""
    broker, backend = urls(request.param, request, tmp_path_factory)
    with pytest.MonkeyPatch.context() as patch:
        if backend is not None:
            patch.setenv("CELERIAC_TEST_SETTINGS", f'{{"result_backend": "{backend}"}}')
        with bench_on(broker, tmp_path_factory.mktemp("members"), patch) as running:
            running.start("-c", "2")
            yield running


def _member(bench: Bench, end: str) -> Any:
    return ENDS[end][0](bench.tasks)


@EACH_END
def test_the_body_of_its_chord_fails(bench: Bench, end: str) -> None:
    body = bench.tasks.echo.s().on_error(bench.tasks.errback.s())
    result = chord([_member(bench, end), bench.tasks.add.s(1, 1)], body)()
    with pytest.raises(ChordError, match=f"Dependency .* raised .*{ENDS[end][1]}"):
        result.get(timeout=DEADLINE)
    wait_until(lambda: bench.count(f"errback-{result.id}-ChordError") == 1, "the errback is called")


@EACH_END
def test_the_rest_of_its_chain_fails(bench: Bench, end: str) -> None:
    result: Any = chain(_member(bench, end), bench.tasks.echo.si("never"), bench.tasks.echo.si("never"))()
    assert result.get(timeout=DEADLINE, propagate=False) is not None
    assert result.failed() or result.state == "REVOKED"
    assert result.parent.failed() or result.parent.state == "REVOKED"


@EACH_END
def test_a_chord_around_its_chain_fails(bench: Bench, end: str) -> None:
    member = chain(_member(bench, end), bench.tasks.echo.si("never"))
    result = chord([bench.tasks.add.s(1, 1), member], bench.tasks.echo.s())()
    with pytest.raises(ChordError, match=f"raised .*{ENDS[end][1]}"):
        result.get(timeout=DEADLINE)


@EACH_END
def test_a_chord_around_its_chord_fails(bench: Bench, end: str) -> None:
    inner = chord([_member(bench, end)], bench.tasks.echo.s())
    result = chord([inner, bench.tasks.add.s(1, 1)], bench.tasks.echo.s())()
    with pytest.raises(ChordError, match=f"raised .*ChordError.*{ENDS[end][1]}"):
        result.get(timeout=DEADLINE)


@EACH_END
def test_a_body_that_ends_so_fails_the_chord_around_it(bench: Bench, end: str) -> None:
    body = _member(bench, end)
    body.set_immutable(True)
    result = chord([chord([bench.tasks.add.s(1, 1)], body), bench.tasks.add.s(1, 1)], bench.tasks.echo.s())()
    with pytest.raises(ChordError, match=f"raised .*{ENDS[end][1]}"):
        result.get(timeout=DEADLINE)


def test_the_body_fails_for_a_member_that_can_not_be_read(bench: Bench) -> None:
    body = bench.tasks.echo.s().on_error(bench.tasks.errback.s())
    result = chord([bench.tasks.add.s(1, 1).set(serializer="pickle"), bench.tasks.add.s(1, 1)], body)()
    with pytest.raises(ChordError, match=r"Dependency .* raised ContentDisallowed"):
        result.get(timeout=DEADLINE)
    wait_until(lambda: bench.count(f"errback-{result.id}-ChordError") == 1, "the errback is called")
    wait_until(result.failed, "it is stored")  # `get` tells of the member, and the errback runs before that is written


def test_a_member_whose_process_is_killed_once_counts_once(bench: Bench) -> None:
    name = f"member-{bench.tasks.app.broker.address}".replace("/", "-")
    result = chord([bench.tasks.killed_first.s(name[-20:]), bench.tasks.add.s(1, 1)], bench.tasks.echo.s())()
    assert result.get(timeout=DEADLINE) == [name[-20:], 2]


def test_a_member_that_is_retried_counts_once(bench: Bench) -> None:
    result = chord([bench.tasks.fails_twice.s(), bench.tasks.add.s(1, 1)], bench.tasks.echo.s())()
    assert result.get(timeout=DEADLINE) == [2, 2]


def test_a_chord_that_was_acknowledged_early_and_killed_fails(bench: Bench) -> None:
    result = chord([bench.tasks.gated_early.s("early"), bench.tasks.add.s(1, 1)], bench.tasks.echo.s())()
    os.kill(bench.pid_of("begin-early"), signal.SIGKILL)
    with pytest.raises(ChordError, match="WorkerLostError"):
        result.get(timeout=DEADLINE)


def test_members_of_all_pools_meet(bench: Bench) -> None:
    tasks = bench.tasks
    header = [tasks.add.s(1, 1), tasks.add_soon.s(1, 2), tasks.where_in_thread.s(), tasks.spins_in_coroutine.s(0.01)]
    two, three, where, finished = chord(header, tasks.echo.s())().get(timeout=DEADLINE)
    assert (two, three, where[0] > 0, finished) == (2, 3, True, "finished")


def test_five_hundred_members_meet(bench: Bench) -> None:
    result = chord((bench.tasks.add.s(number, 0) for number in range(500)), bench.tasks.echo.s())()
    assert result.get(timeout=DEADLINE) == list(range(500))


def test_a_hundred_steps(bench: Bench) -> None:
    assert chain(bench.tasks.add.s(0, 0), *(bench.tasks.add.s(1) for _ in range(99)))().get(timeout=DEADLINE) == 99


def test_chords_in_chords_in_processes(bench: Bench) -> None:
    inner = [chord([bench.tasks.add.s(row, column) for column in range(5)], bench.tasks.echo.s()) for row in range(5)]
    expected = [[row + column for column in range(5)] for row in range(5)]
    assert chord(inner, bench.tasks.echo.s())().get(timeout=DEADLINE) == expected


def test_a_group_tells_of_each_member(bench: Bench) -> None:
    result = group([_member(bench, end) for end in ENDS if end != "ignored"])()  # nothing is stored of ignored ones
    errors = result.get(timeout=DEADLINE, propagate=False)
    assert all(isinstance(error, BaseException) for error in errors)
