"""Kill workers, their children and the server while workflows run: all come to their end, and no task is sent twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks.chaos.workflows import run as workflows
from benchmarks.chaos.workflows.run import Plan
from benchmarks.chaos.workflows.verdict import Verdict
from scripts.servers import RABBITMQ, REDIS

from servers.programs import need_program

Run = Callable[[Path, Plan], Verdict]


def _on_calm_redis(folder: Path, plan: Plan) -> Verdict:
    need_program(REDIS)
    return workflows.run_on_redis(folder, plan)


def _on_redis(folder: Path, plan: Plan) -> Verdict:
    need_program(REDIS)
    return workflows.run_on_redis(folder, replace(plan, outages=workflows.ON_REDIS))


def _on_rabbitmq(folder: Path, plan: Plan) -> Verdict:
    need_program(RABBITMQ)
    return workflows.run_on_rabbitmq(folder, replace(plan, outages=workflows.ON_RABBITMQ))


@pytest.mark.chaos
@pytest.mark.timeout(400)
@pytest.mark.parametrize("run", [workflows.run_on_sqlite, _on_redis, _on_rabbitmq], ids=["sqlite", "redis", "rabbitmq"])
def test_two_thousand_workflows_survive_twelve_kills_and_outages(run: Run, tmp_path: Path) -> None:
    plan = Plan()
    verdict = run(tmp_path, plan)
    print(verdict)
    assert verdict.faults(plan.lease_seconds) == []


@pytest.mark.timeout(90)
@pytest.mark.parametrize("run", [workflows.run_on_sqlite, _on_calm_redis], ids=["sqlite", "redis"])
def test_two_hundred_workflows_survive_three_kills(run: Run, tmp_path: Path) -> None:
    plan = Plan(workflows=200, kills=3, interval=0.5, workers=2, lease_seconds=2.0, seed=3)
    assert run(tmp_path, plan).faults(plan.lease_seconds) == []
