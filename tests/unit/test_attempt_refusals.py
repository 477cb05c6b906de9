"""Messages that can not be run."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime
from typing import Any

import pytest

from celeriac import Celeriac, signals
from celeriac.attempt import Attempt, Job
from celeriac.exceptions import (
    NotRegistered,
)
from celeriac.message import Message
from celeriac.outcome import (
    Discarded,
    Early,
    Succeeded,
    Unrunnable,
)
from celeriac.testing import VirtualClock
from hand_worker import SITE, attempt_of, make_message, stored


def test_an_unknown_task(app: Celeriac, caplog: pytest.LogCaptureFixture) -> None:
    app.task(name="proj.add")(lambda: None)
    told: list[Any] = []

    def tell(**arguments: Any) -> None:
        told.append(arguments)

    signals.task_unknown.connect(tell)
    attempt = attempt_of(app, "proj.ad", 1, task_id="1")
    outcome = attempt.run()
    signals.task_unknown.disconnect(tell)
    assert isinstance(outcome, Unrunnable)
    assert "'proj.ad'" in outcome.reason
    assert "Did you mean proj.add" in outcome.reason
    assert isinstance(stored(outcome)["result"], NotRegistered)
    assert "proj.ad[1]" in caplog.text
    assert (told[0]["name"], told[0]["id"], type(told[0]["exc"])) == ("proj.ad", "1", NotRegistered)
    assert attempt.task is None
    assert not attempt.is_coroutine


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"body": b"not json"}, "DecodeError"),
        ({"body": b"[[], {}]"}, "InvalidTaskError"),
        ({"body": b"[[" + 100_000 * b"[" + 100_000 * b"]" + b"], {}, {}]"}, "DecodeError"),
        ({"body": b'[[], {}, {"chain": ' + 100_000 * b"[" + 100_000 * b"]" + b"}]"}, "DecodeError"),
        ({"content_type": "application/x-python-serialize"}, "ContentDisallowed"),
    ],
)
def test_a_body_that_can_not_or_must_not_be_read(
    app: Celeriac, caplog: pytest.LogCaptureFixture, change: dict[str, Any], text: str
) -> None:
    task = app.task(name="t")(lambda: None)
    told: list[type] = []

    def tell(exc: Exception, **_: Any) -> None:
        told.append(type(exc))

    signals.task_rejected.connect(tell)
    message = make_message(app, task)
    for name, value in change.items():
        setattr(message, name, value)
    outcome = Attempt(app, Job(1, message, "celery"), SITE).run()
    signals.task_rejected.disconnect(tell)
    assert isinstance(outcome, Unrunnable)
    assert text in outcome.reason
    assert text == told[0].__name__ == type(stored(outcome)["result"]).__name__
    assert text in caplog.text


def test_no_result_for_a_message_without_an_id(app: Celeriac) -> None:
    outcome = Attempt(app, Job(1, Message({"task": "t"}, {}, b"[[], {}, {}]"), "celery"), SITE).run()
    assert isinstance(outcome, Unrunnable)
    assert outcome.result is None


@pytest.mark.parametrize(
    ("embed", "text"),
    [
        ({"chain": [{"task": None}]}, "made of signatures"),
        ({"chord": {"options": {}}}, "made of signatures"),
        ({"callbacks": [{"task": 3}]}, "made of signatures"),
        ({"errbacks": [{"subtask_type": "group"}]}, "made of signatures"),
        ({"chain": [{"task": "celery.chord", "kwargs": {}}]}, "a chord needs a header"),
        ({"callbacks": [{"task": "celery.group", "kwargs": [1]}]}, "kwargs of a workflow"),
    ],
)
def test_what_can_not_follow_is_said_before_the_run(app: Celeriac, embed: dict[str, Any], text: str) -> None:
    import json

    ran: list[int] = []
    app.task(name="t")(lambda: ran.append(1))
    body = json.dumps([[], {}, embed]).encode()
    outcome = Attempt(app, Job(1, Message({"task": "t", "id": "1"}, {}, body), "celery"), SITE).run()
    assert isinstance(outcome, Unrunnable)
    assert text in outcome.reason
    assert not ran


def test_the_end_of_a_chain_is_run(app: Celeriac) -> None:
    app.task(name="t")(lambda: 1)
    body = b'[[], {}, {"chain": []}]'
    outcome = Attempt(app, Job(1, Message({"task": "t", "id": "1"}, {}, body), "celery"), SITE).run()
    assert isinstance(outcome, Succeeded)


def test_protocol_1(app: Celeriac) -> None:
    app.task(name="t")(lambda x: x)
    attempt = Attempt(app, Job(1, Message({}, {}, b'{"task": "t", "id": "1", "args": [7]}'), "celery"), SITE)
    assert (attempt.name, attempt.task_id) == ("", "")
    assert stored(attempt.run())["result"] == 7
    assert (attempt.name, attempt.task_id) == ("t", "1")


def pickled_protocol_1(moment: str, seconds: float, clock: VirtualClock) -> Message:
    """Its times are where no supervisor looks."""
    text = datetime.fromtimestamp(clock.time() + seconds, UTC).isoformat()
    body = pickle.dumps({"task": "t", "id": "1", "args": [7], moment: text})
    return Message({}, {}, body, "application/x-python-serialize", "binary")


def test_protocol_1_in_a_pickle_before_its_time(app: Celeriac, clock: VirtualClock) -> None:
    app.conf.accept_content = ["pickle"]
    app.task(name="t")(lambda x: x)
    due = clock.time() + 60
    outcome = Attempt(app, Job(1, pickled_protocol_1("eta", 60, clock), "celery"), SITE).run()
    assert isinstance(outcome, Early)
    assert outcome.not_before == due
    again = Attempt(app, Job(1, outcome.message, "celery"), SITE).run()  # this clock may be slow
    assert isinstance(again, Succeeded)


def test_protocol_1_in_a_pickle_that_has_expired(app: Celeriac, clock: VirtualClock) -> None:
    app.conf.accept_content = ["pickle"]
    app.task(name="t")(lambda x: x)
    outcome = Attempt(app, Job(1, pickled_protocol_1("expires", -1, clock), "celery"), SITE).run()
    assert isinstance(outcome, Discarded)
    assert stored(outcome)["status"] == "REVOKED"
