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
from celeriac.exceptions import TaskRevokedError, WorkerLostError
from celeriac.message import Delivery, Message, PackedMessage
from celeriac.outcome import Failed, Unrunnable
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


@pytest.mark.parametrize("body", [pickle.dumps([[], {}, {}]), b"\x80damaged"])
@pytest.mark.parametrize("group", ["g", None])
def test_of_a_body_that_the_supervisor_does_not_read_the_headers_tell_the_chord(
    app: Celeriac, body: bytes, group: str | None
) -> None:
    app.conf.accept_content = ["json", "pickle"]
    kind = "application/x-python-serialize" if body.startswith(b"\x80\x04") else "application/json"
    properties = {"content_type": kind, "content_encoding": "binary"}
    sent = Message({"task": "t", "id": "member", "group": group}, properties, body, kind, "binary")
    follows = consequences(app, Delivery(1, 0, PackedMessage.pack(sent), "q"), WorkerLostError("gone"))
    assert follows.publications == ()
    if group is None:
        assert follows.flow is None
    else:
        assert follows.flow is not None
        assert follows.flow.broken == (ChordBreak("g", "Dependency member raised WorkerLostError('gone')", "q"),)
