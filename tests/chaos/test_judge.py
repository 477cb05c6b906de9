"""The judgement over a journal and a list of kills, on made-up histories."""

from __future__ import annotations

from benchmarks.chaos.fleet import Kill
from benchmarks.chaos.journal import Run
from benchmarks.chaos.kills import judge

_SECOND = 1_000_000_000


def _kill(at: float, *pids: int) -> Kill:
    return Kill("child", int(at * _SECOND), int(at * _SECOND), frozenset(pids))


def _run(number: int, pid: int, started: float, ended: float | None) -> Run:
    return Run(number, pid, int(started * _SECOND), None if ended is None else int(ended * _SECOND))


def test_a_victim_that_ran_again_is_explained_and_its_recovery_timed() -> None:
    runs = [_run(1, 10, 1.0, None), _run(1, 11, 3.5, 3.6), _run(2, 12, 1.0, 1.1)]
    verdict = judge(2, runs, [_kill(1.5, 10)])
    assert (verdict.missing, verdict.second_runs, verdict.running_at_kills) == (0, 1, 1)
    assert verdict.unexplained == 0
    assert verdict.slowest_recovery == 2.0


def test_a_victim_that_never_ran_again_is_missing() -> None:
    verdict = judge(1, [_run(1, 10, 1.0, None)], [_kill(1.5, 10)])
    assert (verdict.missing, verdict.second_runs) == (1, 0)


def test_a_second_run_without_a_kill_is_unexplained() -> None:
    runs = [_run(1, 10, 1.0, 1.05), _run(1, 11, 3.0, 3.05)]
    assert judge(1, runs, [_kill(2.0, 10)]).unexplained == 1


def test_an_end_just_before_the_kill_may_not_have_been_acknowledged() -> None:
    runs = [_run(1, 10, 1.0, 1.05), _run(1, 11, 3.0, 3.05)]
    verdict = judge(1, runs, [_kill(1.06, 10)])
    assert (verdict.second_runs, verdict.unexplained) == (1, 0)
    assert (verdict.running_at_kills, verdict.ended_at_kills) == (0, 1)
