"""A worker is killed before and after each trip to the store that a workflow takes; another one goes on to its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from benchmarks.chaos.workflows.shapes import KINDS

from chaos.steps import (
    Forks,
    RabbitStore,
    RedisStore,
    Scripts,
    Trial,
    When,
    forks,
    try_all,
    try_apart,
    try_on_redis,
    try_on_sqlite,
)
from servers.rabbitmq import RabbitServer
from servers.redis import RedisServer

#: How many are tried side by side: as many as a Redis server has databases. Most of the time goes by until the lease of
#: the dead has run out.
_AT_ONCE = 16

Try = Callable[[int, When, int], Trial]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    with forks(tmp_path_factory.mktemp("forks")) as running:
        yield running


def _on_sqlite(program: Forks, folder: Path, kind: str) -> Try:
    return lambda at, when, _: try_on_sqlite(program, folder / f"{when}-{at}", kind, at, when)


def _on_redis(program: Forks, folder: Path, kind: str, server: RedisServer, scripts: Scripts) -> Try:
    def attempt(at: int, when: When, lane: int) -> Trial:
        return try_on_redis(program, folder / f"{when}-{at}", RedisStore(server, lane), kind, at, when, scripts)

    return attempt


def _apart_on_redis(program: Forks, folder: Path, kind: str, server: RedisServer) -> Try:
    def attempt(at: int, when: When, lane: int) -> Trial:
        return try_apart(program, folder / f"{when}-{at}", RedisStore(server, lane), kind, at, when)

    return attempt


def _check(trials: list[Trial], least: int) -> None:
    print(f"{len(trials)} kills")
    assert [str(trial) for trial in trials if trial.faults] == []
    assert len(trials) >= least


@pytest.mark.chaos
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", KINDS)
def test_a_kill_at_any_transaction(kind: str, program: Forks, tmp_path: Path) -> None:
    _check(try_all(_on_sqlite(program, tmp_path, kind), at_once=_AT_ONCE), least=10)


@pytest.mark.chaos
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", KINDS)
def test_a_kill_at_any_script(kind: str, program: Forks, tmp_path: Path, redis_server: RedisServer) -> None:
    _check(try_all(_on_redis(program, tmp_path, kind, redis_server, "all"), at_once=_AT_ONCE), least=10)


@pytest.mark.chaos
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", KINDS)
def test_a_kill_at_any_transaction_where_messages_lie_elsewhere(
    kind: str, program: Forks, tmp_path: Path, redis_server: RedisServer
) -> None:
    _check(try_all(_apart_on_redis(program, tmp_path, kind, redis_server), at_once=_AT_ONCE), least=10)


@pytest.mark.timeout(120)
def test_a_kill_at_any_transaction_of_a_chord_that_grows(
    program: Forks, tmp_path: Path, redis_server: RedisServer
) -> None:
    """Also between counting a member and sending it."""
    _check(try_all(_apart_on_redis(program, tmp_path, "chord that grows", redis_server), at_once=_AT_ONCE), least=10)


@pytest.mark.chaos
@pytest.mark.timeout(600)
def test_a_kill_at_any_transaction_of_a_chord_that_grows_on_rabbitmq(
    program: Forks, tmp_path: Path, rabbit_server: RabbitServer
) -> None:
    def attempt(at: int, when: When, _: int) -> Trial:
        return try_apart(program, tmp_path / f"{when}-{at}", RabbitStore(rabbit_server), "chord that grows", at, when)

    _check(try_all(attempt, at_once=4), least=10)


@pytest.mark.timeout(120)
def test_a_kill_at_any_transaction_of_a_chord_in_a_chain(program: Forks, tmp_path: Path) -> None:
    _check(try_all(_on_sqlite(program, tmp_path, "chord in a chain"), at_once=_AT_ONCE), least=10)


@pytest.mark.timeout(120)
def test_a_kill_at_any_settlement_or_claim_of_a_chord_in_a_chain(
    program: Forks, tmp_path: Path, redis_server: RedisServer
) -> None:
    attempt = _on_redis(program, tmp_path, "chord in a chain", redis_server, "of workflows")
    _check(try_all(attempt, at_once=_AT_ONCE), least=10)
