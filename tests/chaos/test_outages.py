"""Kills while the server is killed, stands still, hangs up, forgets scripts: nothing is lost or run without need."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks.chaos import outages
from benchmarks.chaos.outage import What
from benchmarks.chaos.systems import CELERIAC, QueueType
from benchmarks.chaos.verdict import Verdict
from scripts.servers import RABBITMQ, REDIS

from servers.programs import need_program

on_each_type = pytest.mark.parametrize("queue_type", ["quorum", pytest.param("classic", marks=pytest.mark.long)])


def _run_on_redis(folder: Path, plan: outages.Plan) -> Verdict:
    need_program(REDIS)
    verdict = outages.run_on_redis(folder, plan)
    print(verdict)
    return verdict


def _run_on_rabbitmq(folder: Path, plan: outages.Plan, queue_type: QueueType) -> Verdict:
    need_program(RABBITMQ)
    verdict = outages.run_on_rabbitmq(folder, plan, replace(CELERIAC, queue_type=queue_type))
    print(verdict)
    return verdict


@pytest.mark.chaos
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [1, 2])
def test_eight_outages_and_eight_kills(seed: int, tmp_path: Path) -> None:
    plan = outages.Plan(seed=seed)
    assert _run_on_redis(tmp_path, plan).faults(plan.lease_seconds) == []


@pytest.mark.timeout(90)
def test_three_outages_and_two_kills(tmp_path: Path) -> None:
    happens: tuple[What, ...] = ("absence", "hang up", "forget scripts")
    plan = outages.Plan(backlog=100, outages=happens, kills=1, interval=0.7, lease_seconds=2.0, absence=2.0)
    assert _run_on_redis(tmp_path, plan).faults(plan.lease_seconds) == []


@on_each_type
@pytest.mark.chaos
@pytest.mark.timeout(400)
@pytest.mark.parametrize("seed", [1, 2])
def test_eight_outages_of_rabbitmq_and_ten_kills(seed: int, queue_type: QueueType, tmp_path: Path) -> None:
    plan = outages.Plan(seed=seed, outages=outages.ON_RABBITMQ, kills=8)
    assert _run_on_rabbitmq(tmp_path, plan, queue_type).faults(plan.lease_seconds) == []


@on_each_type
@pytest.mark.timeout(120)
def test_two_outages_of_rabbitmq_and_two_kills(queue_type: QueueType, tmp_path: Path) -> None:
    plan = outages.Plan(
        backlog=100, outages=("absence", "hang up"), kills=1, interval=0.7, lease_seconds=3.0, absence=1.0
    )
    assert _run_on_rabbitmq(tmp_path, plan, queue_type).faults(plan.lease_seconds) == []
