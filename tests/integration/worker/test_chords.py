"""Bodies of chords on workers that have other things to do, and whose executors die."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from celeriac import GroupResult, chain, chord
from celeriac.exceptions import ChordError, WorkerLostError

from .conftest import DEADLINE, Bench, bench_on, wait_until
from .deadly_route import KILLED


def _has_ended(bench: Bench, group_id: str) -> bool:
    state = bench.tasks.app.chord_store.chord_state(group_id)
    return state.size is None and not state.parts


def test_a_worker_whose_queue_is_never_empty_makes_bodies(bench: Bench) -> None:
    tasks = bench.tasks
    bench.start("-c", "1")
    tasks.takes.delay(0.3).get(timeout=DEADLINE)  # from now on it takes no more than it runs
    result = chord([tasks.takes.si(0.2), tasks.takes.si(0.2)], tasks.echo.si("made")).apply_async()
    others = [tasks.takes.delay(0.15) for _ in range(20)]
    header = result.parent
    assert isinstance(header, GroupResult)
    wait_until(lambda: _has_ended(bench, header.id), "the body is sent")
    assert not others[-1].ready()
    assert result.get(timeout=DEADLINE) == "made"


def test_a_body_whose_making_kills_an_executor_holds_up_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELERIAC_TEST_LEASE", "2")
    monkeypatch.setenv("CELERIAC_TEST_SETTINGS", json.dumps({"task_routes": ["deadly_route.kills_once"]}))
    with bench_on(None, tmp_path, monkeypatch) as bench:
        tasks = bench.tasks
        bench.start("-c", "1")
        deadly = chord([tasks.add.s(1, 1)], tasks.echo.s()).apply_async()
        wait_until((tmp_path / KILLED).exists, "the first body is made")
        harmless = chord([tasks.add.s(2, 2)], tasks.where.si()).apply_async()
        assert harmless.get(timeout=DEADLINE)
        assert deadly.get(timeout=DEADLINE) == [2]  # claimed anew when the first claim has run out


def test_what_waits_for_a_pickled_task_that_is_lost_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERIAC_TEST_SETTINGS", json.dumps({"accept_content": ["json", "pickle"]}))
    with bench_on(None, tmp_path, monkeypatch) as bench:
        tasks = bench.tasks
        bench.start("-c", "1")
        lost = tasks.killed_once_and_for_all.s().set(serializer="pickle")
        in_header = chord([lost, tasks.add.s(1, 1)], tasks.echo.s().on_error(tasks.errback.s())).apply_async()
        in_chain = chain(lost, tasks.echo.si("never")).on_error(tasks.errback.s()).apply_async()
        chord_around = chord([chain(lost, tasks.echo.si("never")), tasks.add.s(1, 1)], tasks.echo.s()).apply_async()
        for result, kind in ((in_header, ChordError), (in_chain, WorkerLostError), (chord_around, ChordError)):
            error = result.get(timeout=DEADLINE, propagate=False, follow_parents=False)
            assert isinstance(error, kind)
            assert "Worker lost" in str(error)
        assert in_chain.parent is not None
        told = {f"errback-{in_header.id}-ChordError", f"errback-{in_chain.parent.id}-WorkerLostError"}
        wait_until(lambda: told <= {name for name, _ in bench.events()}, "the errbacks are called")
