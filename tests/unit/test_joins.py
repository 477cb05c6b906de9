"""Making the body of a complete chord: one that can not be made fails at once, and says why."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from celeriac import Celeriac, chord
from celeriac.attempt import Attempt, Job
from celeriac.exceptions import MessageTooLarge
from celeriac.joins import join_message
from celeriac.outcome import Outcome, Succeeded
from celeriac.result_meta import decode_meta
from hand_worker import SITE, HandWorker


def join(app: Celeriac) -> Outcome:
    """Make the body of the one chord that is complete."""
    (claimed,) = asyncio.run(app.chord_store.claim_chords(["celery"], 10, 60))
    return Attempt(app, Job(1, join_message(app, claimed, None), "celery"), SITE).run()


@pytest.fixture
def complete(app: Celeriac, worker: HandWorker) -> Callable[[], None]:
    """Send a chord whose two members return 600 characters each, and run these."""

    @app.task(name="long")
    def long() -> str:
        return "x" * 600

    @app.task(name="body")
    def body(values: list[str]) -> int:
        return len(values)

    def send_and_run() -> None:
        chord([long.s(), long.s()], body.s().set(task_id="body")).apply_async()
        worker.run_all()

    return send_and_run


def test_a_body_that_is_too_large_fails_with_that(app: Celeriac, complete: Callable[[], None]) -> None:
    app.conf.task_message_size_limit = 1000
    complete()
    outcome = join(app)
    assert isinstance(outcome, Succeeded)
    assert outcome.flow is not None
    (record,) = outcome.flow.results
    meta = decode_meta(record.meta, accept=["json"])
    assert record.task_id == "body"
    assert isinstance(meta["result"], MessageTooLarge)
    assert len(outcome.flow.ends) == 1
    assert not outcome.follow_ups


def test_a_router_that_raises_fails_the_body(app: Celeriac, complete: Callable[[], None]) -> None:
    complete()

    def route(name: str, *_: object, **__: object) -> dict[str, Any] | None:
        raise LookupError(name)

    app.conf.task_routes = [route]
    outcome = join(app)
    assert isinstance(outcome, Succeeded)
    assert outcome.flow is not None
    assert [record.task_id for record in outcome.flow.results] == ["body"]
    assert len(outcome.flow.ends) == 1
