"""The judgement over a journal and lists of kills and outages, on made-up histories."""

from __future__ import annotations

from typing import Literal

import pytest
from benchmarks.chaos.fleet import Kill
from benchmarks.chaos.journal import Run
from benchmarks.chaos.outage import Outage, What
from benchmarks.chaos.verdict import BACK_AFTER, Victims, came_back, judge

_SECOND = 1_000_000_000


def _kill(at: float, *pids: int, what: Literal["child", "worker"] = "child") -> Kill:
    return Kill(what, int(at * _SECOND), int(at * _SECOND), frozenset(pids))


def _outage(what: What, begin: float, end: float) -> Outage:
    return Outage(what, int(begin * _SECOND), int(end * _SECOND))


def _run(number: int, pid: int, started: float, ended: float | None, worker: int = 0) -> Run:
    return Run(number, pid, int(started * _SECOND), None if ended is None else int(ended * _SECOND), worker)


def test_a_victim_that_ran_again_is_explained_and_its_recovery_timed() -> None:
    runs = [_run(1, 10, 1.0, None), _run(1, 11, 3.5, 3.6), _run(0, 12, 1.0, 1.1)]
    verdict = judge(2, runs, [_kill(1.5, 10)])
    assert (verdict.missing, verdict.second_runs, verdict.running_at_kills) == (0, 1, 1)
    assert verdict.unexplained == 0
    assert verdict.slowest_recovery == 2.0
    assert verdict.of_children == Victims(1, 1, 2.0, 2.0)
    assert verdict.of_workers == Victims(0, 0, None, None)
    assert verdict.faults(10.0) == []


def test_a_victim_that_never_ran_again_is_missing() -> None:
    verdict = judge(1, [_run(0, 10, 1.0, None)], [_kill(1.5, 10, what="worker")])
    assert (verdict.missing, verdict.second_runs) == (1, 0)
    assert verdict.of_workers == Victims(1, 0, None, None)
    assert verdict.faults(10.0) == ["1 tasks are missing"]


def test_a_task_that_never_started_is_missing() -> None:
    assert judge(2, [_run(0, 10, 1.0, 1.1)], []).missing == 1


def test_a_second_run_without_a_kill_is_unexplained() -> None:
    runs = [_run(0, 10, 1.0, 1.05), _run(0, 11, 3.0, 3.05)]
    verdict = judge(1, runs, [_kill(2.0, 10)])
    assert verdict.unexplained == 1
    assert verdict.faults(10.0) == ["1 second runs without a kill"]


def test_an_outage_explains_no_second_run() -> None:
    runs = [_run(0, 10, 1.0, 1.05), _run(0, 11, 3.0, 3.05)]
    assert judge(1, runs, [], [_outage("restart", 1.06, 2.0)]).unexplained == 1


def test_an_end_just_before_the_kill_may_not_have_been_acknowledged() -> None:
    runs = [_run(0, 10, 1.0, 1.05), _run(0, 11, 3.0, 3.05)]
    verdict = judge(1, runs, [_kill(1.06, 10)])
    assert (verdict.second_runs, verdict.unexplained) == (1, 0)
    assert (verdict.running_at_kills, verdict.ended_at_kills) == (0, 1)


def test_what_a_dead_worker_could_not_write_for_want_of_a_server_may_run_again() -> None:
    runs = [_run(0, 10, 1.0, 1.98), _run(0, 11, 20.0, 20.1)]
    away = [_outage("absence", 2.0, 9.0)]
    assert judge(1, runs, [_kill(8.0, 10, what="worker")], away).unexplained == 0
    assert judge(1, runs, [_kill(10.0, 10, what="worker")], away).unexplained == 1
    assert judge(1, runs, [_kill(8.0, 10, what="child")], away).unexplained == 1
    assert judge(1, runs, [_kill(8.0, 10, what="worker")]).unexplained == 1


def test_a_recovery_over_an_outage_is_timed_from_the_return_of_the_server() -> None:
    runs = [_run(0, 10, 1.0, None), _run(0, 11, 20.0, 20.1)]
    verdict = judge(1, runs, [_kill(1.5, 10)], [_outage("restart", 2.0, 3.0), _outage("pause", 5.0, 15.0)])
    assert verdict.slowest_recovery == 0.0
    assert verdict.slowest_after_outage == 5.0


def test_a_disturbance_that_takes_nothing_away_gives_no_time() -> None:
    runs = [_run(0, 10, 1.0, None), _run(0, 11, 20.0, 20.1)]
    verdict = judge(1, runs, [_kill(1.5, 10)], [_outage("hang up", 3.0, 3.0)])
    assert verdict.slowest_recovery == 18.5
    assert verdict.faults(10.0) == ["recovery took 18.5 s"]


def test_a_worker_is_back_when_it_has_started_more_than_it_can_have_held() -> None:
    outage = _outage("restart", 1.0, 2.0)
    early = [_run(100, 9, 1.5, 1.6)]
    runs = [_run(number, 10, 2.5 + number, 3.0 + number) for number in range(BACK_AFTER)]
    assert came_back(early + runs[:-1], outage, worker=0) is None
    assert came_back(early + runs, outage, worker=0) == 0.5 + BACK_AFTER - 1
    assert came_back(early + runs, outage, worker=1) is None


def test_the_slowest_worker_decides_how_long_a_return_takes() -> None:
    outage = _outage("pause", 1.0, 2.0)
    fast = [_run(number, 10, 3.0, 3.1, worker=0) for number in range(BACK_AFTER)]
    slow = [_run(BACK_AFTER + number, 11, 8.0, 8.1, worker=1) for number in range(BACK_AFTER)]
    verdict = judge(2 * BACK_AFTER, fast + slow, [], [outage])
    assert verdict.back == {"pause": 6.0}
    assert verdict.faults(10.0) == ["back only after {'pause': 6.0}"]


def test_where_the_connection_is_the_lease_its_loss_explains_a_run_by_another_worker() -> None:
    away = [_outage("restart", 2.0, 5.0)]
    first = _run(0, 10, 1.9, 2.1)
    elsewhere, here = _run(0, 20, 6.0, 6.1, worker=1), _run(0, 11, 6.0, 6.1)
    verdict = judge(1, [first, elsewhere], [], away, connection_is_lease=True)
    assert (verdict.second_runs, verdict.lost_connections, verdict.unexplained) == (1, 1, 0)
    assert judge(1, [first, here], [], away, connection_is_lease=True).unexplained == 1
    assert judge(1, [first, elsewhere], [], away).unexplained == 1


@pytest.mark.parametrize(
    ("what", "unsaved", "unexplained"), [("restart", 0.0, 1), ("restart", 1.0, 0), ("orderly restart", 1.0, 1)]
)
def test_a_killed_server_may_not_have_saved_what_it_was_told(what: What, unsaved: float, unexplained: int) -> None:
    runs = [_run(0, 10, 1.0, 1.1), _run(0, 20, 6.0, 6.1, worker=1)]
    verdict = judge(1, runs, [], [_outage(what, 2.0, 5.0)], connection_is_lease=True, unsaved=unsaved)
    assert verdict.unexplained == unexplained


@pytest.mark.parametrize(("came_back", "unexplained"), [(0.5, 0), (-2.0, 1)])
def test_what_ended_since_a_server_came_back_may_wait_for_its_confirmations(came_back: float, unexplained: int) -> None:
    runs = [_run(0, 10, 1.0, 1.1), _run(0, 20, 6.0, 6.1, worker=1)]
    outages = [_outage("orderly restart", came_back - 5.0, came_back), _outage("restart", 2.0, 5.0)]
    assert judge(1, runs, [], outages, connection_is_lease=True).unexplained == unexplained


def test_a_run_that_a_kill_explains_needs_no_lost_connection() -> None:
    runs = [_run(0, 10, 1.9, None), _run(0, 20, 6.0, 6.1, worker=1)]
    verdict = judge(1, runs, [_kill(2.0, 10)], [_outage("hang up", 2.5, 2.6)], connection_is_lease=True)
    assert (verdict.running_at_kills, verdict.lost_connections, verdict.unexplained) == (1, 0, 0)
