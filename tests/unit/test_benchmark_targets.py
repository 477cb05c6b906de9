"""How the benchmark judges what it has measured, and what it reads out of MONITOR."""

from __future__ import annotations

from collections import Counter

import pytest
from benchmarks.redis_meter import Commands
from benchmarks.report import Cell, Cells
from benchmarks.targets import TARGETS, Verdict, judge


def _verdict(cells: Cells, text: str, broker: str = "redis") -> Verdict:
    [verdict] = [each for each in judge(broker, cells) if each.text == text]
    return verdict


def _cells(scenario: str, metric: str, **figures: float) -> Cells:
    return {scenario: {name.replace("_", "-"): Cell({metric: [figure]}) for name, figure in figures.items()}}


def test_nothing_measured_is_no_verdict() -> None:
    assert {(verdict.measured, verdict.met) for verdict in judge("redis", {})} == {(None, None)}
    assert len(judge("redis", {})) == len(TARGETS["redis"])
    assert judge("sqlite", {}) == []


def test_a_rate_is_compared_with_the_fastest() -> None:
    cells = _cells("drain", "rate", celeriac_redis=30_000, dramatiq=2_000, taskiq=4_000)
    assert _verdict(cells, "drain, times the fastest in Python") == Verdict(
        "drain, times the fastest in Python", ">= 6", 7.5, True, "taskiq"
    )


def test_each_setup_is_compared_with_peers_on_the_same_kind_of_queue() -> None:
    cells = _cells("drain", "rate", celeriac_quorum=9_000, celery_quorum=1_000, celery_rabbitmq=90_000)
    verdict = _verdict(cells, "drain, quorum queues, times Celery", "rabbitmq")
    assert (verdict.measured, verdict.best_peer) == (9, "celery-quorum")


def test_a_cost_is_compared_the_other_way_round() -> None:
    cells = _cells("drain", "cpu", celeriac_redis=50, celery_redis=1_900)
    verdict = _verdict(cells, "CPU per task, worker tree, Celery's by ours")
    assert (verdict.wanted, verdict.measured, verdict.met) == (">= 40", 38, False)


@pytest.mark.parametrize(("p99", "met"), [(4.9, True), (5.0, False), (5.1, False)])
def test_a_strict_bound_is_not_enough_itself(p99: float, met: bool) -> None:
    verdict = _verdict(_cells("latency", "p99", celeriac_redis=p99), "enqueue to start, p99, ms")
    assert (verdict.wanted, verdict.met) == ("< 5", met)


def test_commands_of_clients_and_of_scripts_are_told_apart() -> None:
    counted = Commands()
    for line in (
        b'+1795349437.866908 [0 127.0.0.1:44754] "EVALSHA" "38d5" "1" "a lua] key"\r\n',
        b'+1795349437.866926 [0 lua] "TIME"\r\n',
        b'+1795349437.867315 [0 unix:/tmp/redis.sock] "get" "key"\r\n',
    ):
        counted.note(line)
    assert (counted.sent, counted.inner) == (Counter(EVALSHA=1, GET=1), Counter(TIME=1))


def test_messages_that_are_queued_are_counted_wherever_they_are_queued() -> None:
    counted = Commands()
    for line in (
        b'+1795349437.866908 [0 127.0.0.1:44754] "LPUSH" "celery" "{\\"id\\": \\"1\\"}"\r\n',
        b'+1795349437.866926 [0 lua] "LPUSH" "celery" "{\\"id\\": \\"2\\"}" "{\\"args\\": [\\"a\\", \\"b\\"]}"\r\n',
        b'+1795349437.867315 [0 127.0.0.1:44754] "RPUSH" "celery" "given back"\r\n',
    ):
        counted.note(line)
    assert counted.queued == 3
