"""Making the body of a complete chord: one that can not be made fails at once, and says why."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from celeriac import Celeriac, chord
from celeriac.attempt import Attempt, Job
from celeriac.chords import ChordEnd, ChordShare, ChordStart, ClaimedChord
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


def claim(app: Celeriac) -> ClaimedChord:
    (claimed,) = asyncio.run(app.chord_store.claim_chords(["celery"], 10, 60))
    return claimed


def attempt(app: Celeriac, claimed: ClaimedChord, refusal: str | None = None) -> Succeeded:
    outcome = Attempt(app, Job(1, join_message(app, claimed, refusal), "celery"), SITE).run()
    assert isinstance(outcome, Succeeded)
    return outcome


def test_a_claim_of_a_chord_that_has_ended_makes_nothing(app: Celeriac, complete: Callable[[], None]) -> None:
    complete()
    claimed = claim(app)
    asyncio.run(app.chord_store.end_chords([ChordEnd(claimed.group_id, claimed.claim)]))
    for refusal in (None, "too late"):
        outcome = attempt(app, claimed, refusal)
        assert (outcome.follow_ups, outcome.flow) == ((), None)


def test_a_chord_that_never_began_can_be_ended(app: Celeriac) -> None:
    body = b'{"task": "body", "args": [], "kwargs": {}, "options": {"task_id": "body"}}'
    share = ChordShare("g", "m", 0, b'[1, "m", "SUCCESS", 1]', body, None, "celery")
    asyncio.run(app.chord_store.add_shares([share]))
    assert app.chord_store.break_chord("g", "its sender is gone", "celery")
    claimed = claim(app)
    flow = attempt(app, claimed, claimed.reason).flow
    assert flow is not None
    assert [record.task_id for record in flow.results] == ["body"]
    assert flow.ends == (ChordEnd("g", claimed.claim),)


@pytest.mark.parametrize("body", [b"[1]", b'{"no": "task"}', b"\x00pickle\x00\x80\x04N."])
def test_a_body_that_is_no_signature_is_given_up(app: Celeriac, body: bytes, caplog: pytest.LogCaptureFixture) -> None:
    claimed = ClaimedChord("g", "c", 1, body, "m", None, "celery")
    share = ChordShare("g", "m", 0, b'[1, "m", "SUCCESS", 1]', body, None, "celery")
    app.chord_store.start_chords([ChordStart("g", 1)])
    asyncio.run(app.chord_store.add_shares([share]))
    flow = attempt(app, claimed).flow
    assert flow is not None
    assert flow.ends == (ChordEnd("g", "c"),)
    assert "Chord g is given up" in caplog.text


def test_what_others_may_send_is_nothing_to_a_join(app: Celeriac, complete: Callable[[], None]) -> None:
    complete()
    app.conf.accept_content = ["pickle"]
    app.conf.result_accept_content = ["json"]
    (follow_up,) = attempt(app, claim(app)).follow_ups
    assert follow_up.message.headers["id"] == "body"


class Box:
    """Has no form in JSON."""

    def __init__(self, value: int) -> None:
        self.value = value


@pytest.mark.parametrize("task_serializer", ["pickle", "json"])
@pytest.mark.parametrize("accepted", [["pickle"], ["pickle", "json"]])
def test_bodies_are_made_whatever_serialisers_there_are(
    app: Celeriac, worker: HandWorker, accepted: list[str], task_serializer: str
) -> None:
    app.conf.update(
        accept_content=accepted, task_serializer=task_serializer, result_serializer="pickle",
        result_accept_content=["pickle"],
    )  # fmt: skip

    @app.task(name="same", serializer="pickle")
    def same(number: int) -> int:
        return number

    @app.task(name="scaled", serializer="pickle")
    def scaled(values: list[int], by: Box) -> int:
        return sum(values) * by.value

    result = chord([same.s(1), same.s(2)], scaled.s(by=Box(5)).set(serializer="pickle")).apply_async()
    worker.finish()
    assert result.result == 15
