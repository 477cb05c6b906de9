"""What others have sent need not be a workflow: the task's own end is told all the same, and its chord learns of it."""

from __future__ import annotations

import json
import logging
import pickle
from typing import Any, Final

import pytest

from celeriac import Celeriac
from celeriac.attempt import Attempt, Job
from celeriac.chords import ChordBreak
from celeriac.exceptions import DecodeError, TaskRevokedError, WorkerLostError
from celeriac.message import Delivery, Message, PackedMessage
from celeriac.outcome import Failed, Succeeded, Unrunnable
from celeriac.worker.failures import consequences
from hand_worker import SITE, stored

#: The rest of chains, last step first. The next step is sound; what comes after it is not.
LATER: Final[dict[str, dict[str, Any]]] = {
    "a chord without a header": {"task": "celery.chord", "kwargs": {}, "options": {}},
    "a chord of nothing": {"task": "celery.chord", "kwargs": {"header": 5, "body": None}},
    "a chain of numbers": {"task": "celery.chain", "kwargs": {"tasks": [1, 2]}},
    "options that are a list": {"task": "t", "options": ["a"]},
    "no signature": {"no": "task"},
}
EACH: Final = pytest.mark.parametrize("later", LATER)


def message(later: str) -> Message:
    """A member of a chord, in a chain that goes on with something malformed."""
    embed = {"chain": [LATER[later], {"task": "t", "options": {"task_id": "next"}}], "chord": {"task": "body"}}
    properties = {"content_type": "application/json", "content_encoding": "utf-8"}
    body = json.dumps([[], {}, embed]).encode()
    return Message({"task": "t", "id": "member", "group": "g", "group_index": 0}, properties, body)


@EACH
def test_a_task_that_fails_says_its_own_error(app: Celeriac, caplog: pytest.LogCaptureFixture, later: str) -> None:
    @app.task(name="t")
    def fail() -> None:
        raise ValueError("its own")

    outcome = Attempt(app, Job(1, message(later), "celery"), SITE).run()
    assert isinstance(outcome, Failed)
    assert stored(outcome)["result"].args == ("its own",)
    assert outcome.flow is not None
    assert [share.task_id for share in outcome.flow.shares] == ["member"]
    assert [record.task_id for record in outcome.flow.results] == ["next"]
    assert "is no workflow" in caplog.text


@EACH
def test_a_failure_that_the_supervisor_writes_is_told_as_far_as_can_be(app: Celeriac, later: str) -> None:
    app.task(name="t")(lambda: None)
    delivery = Delivery(1, 0, PackedMessage.pack(message(later)), "celery")
    follows = consequences(app, delivery, TaskRevokedError("expired"), "REVOKED", calls_errbacks=False)
    assert follows.flow is not None
    assert [share.task_id for share in follows.flow.shares] == ["member"]
    assert [record.task_id for record in follows.flow.results] == ["next"]


def test_a_refused_member_gives_its_share(app: Celeriac, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "celeriac.worker")
    app.task(name="t")(lambda: None)
    embed = {"chain": [LATER["a chord without a header"]], "chord": {"task": "body"}}
    sent = message("no signature")
    sent.body = json.dumps([[], {}, embed]).encode()
    outcome = Attempt(app, Job(1, sent, "celery"), SITE).run()
    assert isinstance(outcome, Unrunnable)
    assert "a chord needs a header" in outcome.reason
    assert outcome.flow is not None
    assert [share.task_id for share in outcome.flow.shares] == ["member"]


def pickled(group: str | None, **embed: Any) -> Delivery:
    """A task in a message that the supervisor does not read."""
    kind = "application/x-python-serialize"
    everything = {"callbacks": None, "errbacks": None, "chain": None, "chord": None, **embed}
    body = pickle.dumps(((), {}, everything))
    properties = {"content_type": kind, "content_encoding": "binary"}
    sent = Message({"task": "t", "id": "member", "group": group}, properties, body, kind, "binary")
    return Delivery(1, 0, PackedMessage.pack(sent), "q", 3)


GONE: Final = WorkerLostError("gone")
BROKEN: Final = ChordBreak("g", "Dependency member raised WorkerLostError('gone')", "q")


@pytest.mark.parametrize("group", ["g", None])
def test_of_a_damaged_body_the_headers_tell_the_chord(app: Celeriac, group: str | None) -> None:
    sent = Message({"task": "t", "id": "member", "group": group}, {}, b"damaged", "application/json", "utf-8")
    follows = consequences(app, Delivery(1, 0, PackedMessage.pack(sent), "q"), GONE)
    assert follows.publications == ()
    assert (follows.flow.broken if follows.flow is not None else ()) == ((BROKEN,) if group else ())


def test_an_executor_tells_of_the_failure_of_a_pickle(app: Celeriac) -> None:
    app.conf.accept_content = ["json", "pickle"]
    told: list[str] = []
    app.task(name="warn")(told.append)
    step = {"task": "t", "options": {"task_id": "next", "group_id": "outer", "chord": {"task": "body"}}}
    delivery = pickled("g", chord={"task": "body"}, chain=[step], errbacks=[{"task": "warn"}])
    follows = consequences(app, delivery, GONE)
    assert follows.flow is not None
    assert follows.flow.broken == (BROKEN,)  # the chord at once
    (publication,) = follows.publications
    assert (publication.queue, publication.priority) == ("q", 3)
    outcome = Attempt(app, Job(1, publication.message, "q"), SITE).run()
    assert isinstance(outcome, Succeeded)
    assert outcome.result is None
    assert outcome.flow is not None
    assert [record.task_id for record in outcome.flow.results] == ["next"]
    assert [share.task_id for share in outcome.flow.shares] == ["next"]
    (errback,) = outcome.follow_ups
    assert errback.message.body.startswith(b'[["member"], {}')


def test_nobody_is_asked_about_a_pickle_that_nothing_follows_or_that_is_not_accepted(app: Celeriac) -> None:
    app.conf.accept_content = ["json", "pickle"]
    assert not consequences(app, pickled(None), GONE)
    assert consequences(app, pickled(None, errbacks=[{"task": "t"}]), GONE)
    app.conf.accept_content = ["json"]
    assert not consequences(app, pickled(None, errbacks=[{"task": "t"}]), GONE)


def test_headers_that_are_nested_too_deeply_are_damaged() -> None:
    head = b'[{"task": "t", "id": "1", "more": ' + 100_000 * b"[" + 100_000 * b"]" + b"}, {}]"
    packed = PackedMessage(head, b"", "application/json", "utf-8")
    for look in (packed.peek, packed.unpack):
        with pytest.raises(DecodeError, match="not readable"):
            look()
    assert Delivery(1, 0, packed, "q").is_damaged
