"""Kills while the Redis server is killed, stands still, hangs up, forgets scripts: nothing is lost or run twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.chaos import outages
from benchmarks.chaos.server import What
from benchmarks.chaos.verdict import Verdict
from scripts.servers import REDIS

from servers.programs import need_program


def _run(folder: Path, plan: outages.Plan) -> Verdict:
    need_program(REDIS)
    verdict = outages.run(folder, plan)
    print(verdict)
    return verdict


@pytest.mark.chaos
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [1, 2])
def test_eight_outages_and_eight_kills(seed: int, tmp_path: Path) -> None:
    plan = outages.Plan(seed=seed)
    assert _run(tmp_path, plan).faults(plan.lease_seconds) == []


@pytest.mark.timeout(90)
def test_three_outages_and_two_kills(tmp_path: Path) -> None:
    happens: tuple[What, ...] = ("absence", "hang up", "forget scripts")
    plan = outages.Plan(backlog=100, outages=happens, kills=1, interval=0.7, lease_seconds=2.0, absence=2.0)
    assert _run(tmp_path, plan).faults(plan.lease_seconds) == []
