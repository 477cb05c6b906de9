"""A task that kills its process every time goes to the dead letters; those beside it are not harmed."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.chaos import poison
from scripts.servers import RABBITMQ, REDIS

from servers.programs import need_program


def _check(verdict: poison.Verdict) -> None:
    assert verdict.missing == 0, verdict
    assert verdict.good_second_runs == 0, verdict
    assert verdict.poison_runs == 3, verdict
    assert verdict.dead_letters == 1, verdict
    assert verdict.losses == 3, verdict
    assert "signal 9" in verdict.reason, verdict


@pytest.mark.chaos
@pytest.mark.timeout(120)
def test_poison_among_two_hundred(tmp_path: Path) -> None:
    _check(poison.run_on_sqlite(tmp_path))


@pytest.mark.chaos
@pytest.mark.timeout(120)
def test_poison_among_two_hundred_on_redis(tmp_path: Path) -> None:
    need_program(REDIS)
    _check(poison.run_on_redis(tmp_path))


@pytest.mark.chaos
@pytest.mark.timeout(120)
def test_poison_among_two_hundred_on_rabbitmq(tmp_path: Path) -> None:
    need_program(RABBITMQ)
    _check(poison.run_on_rabbitmq(tmp_path))


@pytest.mark.timeout(90)
def test_poison_among_twenty(tmp_path: Path) -> None:
    _check(poison.run_on_sqlite(tmp_path, good=20))


@pytest.mark.timeout(90)
def test_poison_among_twenty_on_redis(tmp_path: Path) -> None:
    need_program(REDIS)
    _check(poison.run_on_redis(tmp_path, good=20))


@pytest.mark.timeout(90)
def test_poison_among_twenty_on_rabbitmq(tmp_path: Path) -> None:
    need_program(RABBITMQ)
    _check(poison.run_on_rabbitmq(tmp_path, good=20))
