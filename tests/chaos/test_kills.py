"""Kill workers and their children: every task's effect is there, and no more second runs than the kills explain."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.chaos import kills


def _check(verdict: kills.Verdict, lease_seconds: float) -> None:
    assert verdict.missing == 0, verdict
    assert verdict.dead_letters == 0, verdict
    assert verdict.second_runs <= verdict.running_at_kills + verdict.ended_at_kills, verdict
    assert verdict.unexplained == 0, verdict
    assert verdict.slowest_recovery <= lease_seconds + 5, verdict
    assert verdict.left_over == 0, verdict


@pytest.mark.chaos
@pytest.mark.timeout(180)
def test_a_thousand_tasks_survive_ten_kills(tmp_path: Path) -> None:
    _check(kills.run(tmp_path, kills.Plan()), lease_seconds=10.0)


@pytest.mark.timeout(90)
def test_a_hundred_tasks_survive_two_kills(tmp_path: Path) -> None:
    plan = kills.Plan(tasks=100, kills=2, interval=0.7, lease_seconds=2.0, seed=4)
    _check(kills.run(tmp_path, plan), lease_seconds=2.0)
