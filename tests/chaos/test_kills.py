"""Kill workers and their children: every task's effect is there, and no more second runs than the kills explain."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from benchmarks.chaos import kills
from benchmarks.chaos.verdict import Verdict
from scripts.servers import RABBITMQ, REDIS

from servers.programs import need_program

Run = Callable[[Path, kills.Plan], Verdict]


def _on_redis(folder: Path, plan: kills.Plan) -> Verdict:
    need_program(REDIS)
    return kills.run_on_redis(folder, plan)


def _on_rabbitmq(folder: Path, plan: kills.Plan) -> Verdict:
    need_program(RABBITMQ)
    return kills.run_on_rabbitmq(folder, plan)


on_each_broker = pytest.mark.parametrize(
    "run", [kills.run_on_sqlite, _on_redis, _on_rabbitmq], ids=["sqlite", "redis", "rabbitmq"]
)


@on_each_broker
@pytest.mark.chaos
@pytest.mark.timeout(180)
def test_fifteen_hundred_tasks_survive_ten_kills(run: Run, tmp_path: Path) -> None:
    plan = kills.Plan()
    verdict = run(tmp_path, plan)
    print(verdict)
    assert verdict.faults(plan.lease_seconds) == []
    assert verdict.second_runs <= verdict.running_at_kills + verdict.ended_at_kills


@on_each_broker
@pytest.mark.timeout(90)
def test_two_hundred_tasks_survive_two_kills(run: Run, tmp_path: Path) -> None:
    plan = kills.Plan(tasks=200, backlog=100, kills=2, interval=0.7, lease_seconds=2.0, seed=2)
    verdict = run(tmp_path, plan)
    assert verdict.faults(plan.lease_seconds) == []
    assert verdict.second_runs <= verdict.running_at_kills + verdict.ended_at_kills
