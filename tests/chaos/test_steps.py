"""A worker is killed before and after each trip to the store that a workflow takes; another one goes on to its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from benchmarks.chaos.workflows.shapes import KINDS

from chaos.steps import Forks, Trial, When, forks, try_all, try_on_redis, try_on_sqlite
from servers.redis import RedisServer

Try = Callable[[str, int, When, int], Trial]

#: How many are tried side by side. Most of the time goes by until the lease of the dead has run out.
_AT_ONCE = 12


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    with forks(tmp_path_factory.mktemp("forks")) as running:
        yield running


@pytest.fixture(params=["sqlite", "redis"])
def attempt(request: pytest.FixtureRequest, program: Forks, tmp_path: Path) -> Try:
    """Kills a worker once, on either store."""
    if request.param == "sqlite":
        return lambda kind, at, when, _: try_on_sqlite(program, tmp_path / f"{when}-{at}", kind, at, when)
    server: RedisServer = request.getfixturevalue("redis_server")
    return lambda kind, at, when, lane: try_on_redis(program, tmp_path / f"{when}-{at}", server, lane, kind, at, when)


def _check(trials: list[Trial], least: int) -> None:
    print(f"{len(trials)} kills")
    assert [str(trial) for trial in trials if trial.faults] == []
    assert len(trials) >= least


@pytest.mark.chaos
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", KINDS)
def test_a_kill_at_any_step(kind: str, attempt: Try) -> None:
    _check(try_all(partial(attempt, kind), at_once=_AT_ONCE), least=10)


@pytest.mark.timeout(120)
def test_a_kill_at_any_step_of_a_small_chord(attempt: Try) -> None:
    _check(try_all(partial(attempt, "chord with a failure"), at_once=_AT_ONCE), least=10)
