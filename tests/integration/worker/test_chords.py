"""Bodies of chords on workers that have other things to do, and whose executors die."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from celeriac import GroupResult, chord
from celeriac.exceptions import ChordError

from .conftest import DEADLINE, Bench, bench_on, wait_until
from .deadly_route import KILLED


def _has_ended(bench: Bench, group_id: str) -> bool:
    state = bench.tasks.app.chord_store.chord_state(group_id)
    return state.size is None and not state.parts


def test_a_worker_whose_queue_is_never_empty_makes_bodies(bench: Bench) -> None:
    tasks = bench.tasks
    result = chord([tasks.add.s(1, 1), tasks.add.s(2, 2)], tasks.echo.s()).apply_async()
    others = [tasks.takes.delay(0.15) for _ in range(20)]
    bench.start("-c", "1")
    header = result.parent
    assert isinstance(header, GroupResult)
    wait_until(lambda: _has_ended(bench, header.id), "the body is sent")
    assert not others[-1].ready()  # the body is: all of them were there before it
    assert result.get(timeout=DEADLINE) == [2, 4]


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


def test_a_chord_fails_for_a_pickled_member_that_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERIAC_TEST_SETTINGS", json.dumps({"accept_content": ["json", "pickle"]}))
    with bench_on(None, tmp_path, monkeypatch) as bench:
        tasks = bench.tasks
        bench.start("-c", "1")
        lost = tasks.killed_once_and_for_all.s().set(serializer="pickle")
        body = tasks.echo.s().on_error(tasks.errback.s())
        result = chord([lost, tasks.add.s(1, 1)], body).apply_async()
        error = result.get(timeout=DEADLINE, propagate=False, follow_parents=False)
        assert isinstance(error, ChordError)
        assert "WorkerLostError" in str(error)
        wait_until(lambda: bench.count(f"errback-{result.id}-ChordError") == 1, "the errback is called")
