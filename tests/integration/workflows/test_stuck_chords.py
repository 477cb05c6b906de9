"""A chord that lost a member's message waits for ever: it can be seen, and ended, from the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from celeriac import chain, chord
from celeriac.exceptions import ChordError
from integration.worker import conftest as worker_tests
from integration.worker.conftest import DEADLINE, MODULE, Bench, bench_on, wait_until
from integration.workflows.conftest import urls


@pytest.fixture(scope="module", params=["sqlite", "redis", "rabbitmq"])
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """One worker for all tests of this module, on each store that processes can share."""
    broker, backend = urls(request.param, request, tmp_path_factory)
    with pytest.MonkeyPatch.context() as patch:
        if backend is not None:
            patch.setenv("CELERIAC_TEST_SETTINGS", json.dumps({"result_backend": backend}))
        with bench_on(broker, tmp_path_factory.mktemp("stuck"), patch) as running:
            running.start("-c", "1")
            yield running


def command(*words: str) -> str:
    """Run `celeriac` with the worker's app; what it has printed."""
    done = subprocess.run(
        [sys.executable, "-m", "celeriac", "-A", MODULE, *words],
        cwd=Path(worker_tests.__file__).parent,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def shown(group_id: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(command("chord", "show", group_id, "--json"))
    return told


def test_a_chord_whose_member_was_purged_is_ended(bench: Bench) -> None:
    tasks = bench.tasks
    lost = tasks.add.s(2, 2).set(queue="parked")
    body = tasks.echo.s().on_error(tasks.errback.s())
    result: Any = chord([tasks.add.s(1, 1), lost], body)()
    header = result.parent
    header.results[0].get(timeout=DEADLINE)
    command("purge", "-f", "-Q", "parked")

    assert header.id in command("chord", "list")
    state = wait_until(lambda: (told := shown(header.id))["done"] and told, "its first share")
    assert (state["size"], state["missing"], state["queue"]) == (2, 1, "celery")
    assert state["members"] == [{"id": header.results[0].id, "state": "SUCCESS", "result": "2"}]

    assert "1 of 2 members was missing" in command("chord", "end", header.id, "--reason", "the queue was purged")
    with pytest.raises(ChordError, match="the queue was purged"):
        result.get(timeout=DEADLINE)
    wait_until(lambda: bench.count(f"errback-{result.id}-ChordError") == 1, "the errback is called")
    wait_until(lambda: header.id not in command("chord", "list"), "the chord is over")


def test_the_chord_around_it_gets_the_failure(bench: Bench) -> None:
    """The first member's queue is one that nobody takes from: who ends it names another."""
    tasks = bench.tasks
    inner = chord([tasks.add.s(1, 1).set(queue="parked"), tasks.add.s(2, 2)], tasks.echo.s())
    result: Any = chord([inner, chain(tasks.echo.s("a"), tasks.echo.s())], tasks.echo.s())()
    command("purge", "-f", "-Q", "parked")
    chords = [json.loads(line) for line in command("chord", "list", "--json").splitlines()]
    stuck = next(told for told in chords if told["queue"] == "parked")
    command("chord", "end", stuck["group_id"], "--reason", "in vain")
    command("chord", "end", stuck["group_id"], "--reason", "gone", "-Q", "celery")
    with pytest.raises(ChordError, match=r"Dependency .* raised ChordError\('gone'\)"):
        result.get(timeout=DEADLINE)
