"""What comes after a task travels on as it came, unless the task looks at it."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from celeriac import Celeriac, Task
from celeriac.attempt import Attempt, Job
from celeriac.message import Message
from celeriac.outcome import Failed, Outcome, Retried, Succeeded, Unrunnable
from celeriac.protocol import Invocation, read_invocation
from celeriac.protocol.building import task_message
from celeriac.serialization.unread import Unread, UnreadList
from hand_worker import SITE

#: A signature as no sender of ours writes it: what is not read stays so.
ODD = b'{"task":"last", "args":[ ],"kwargs": {},   "options": {"task_id": "l"}, "immutable" :true}'
NEXT = b'{"task": "step", "args": [], "kwargs": {}, "options": {"task_id": "s"}, "immutable": true}'


@pytest.fixture
def app(app: Celeriac) -> Celeriac:
    @app.task(name="step")
    def step() -> None:
        """Nothing."""

    return app


def message(body: bytes, name: str = "step", **headers: Any) -> Message:
    made = task_message(task=name, task_id="first", args=(), kwargs={}, size_limit=10_000)
    return Message({**made.headers, **headers}, made.properties, body)


def body_of(*pieces: bytes, chord: bytes = b"null") -> bytes:
    steps = b"[%b]" % b", ".join(pieces) if pieces else b"null"
    return b'[[], {}, {"callbacks": null, "errbacks": null, "chain": %b, "chord": %b}]' % (steps, chord)


def run(app: Celeriac, sent: Message) -> Outcome:
    return Attempt(app, Job(1, sent, "celery"), SITE).run()


def read(sent: Message) -> Invocation:
    return read_invocation(sent, accept=["json", "msgpack"], inflated_size_limit=100_000)


def follow_up(outcome: Outcome) -> Message:
    assert isinstance(outcome, Succeeded)
    (publication,) = outcome.follow_ups
    return publication.message


def test_the_rest_of_a_chain_is_sent_on_as_it_came(app: Celeriac) -> None:
    sent = follow_up(run(app, message(body_of(ODD, ODD, NEXT))))
    assert b"[%b, %b]" % (ODD, ODD) in sent.body
    rest = read(sent).chain
    assert isinstance(rest, UnreadList)
    assert [step["task"] for step in rest] == ["last", "last"]


def test_the_body_of_a_chord_is_handed_on_as_it_came(app: Celeriac) -> None:
    outcome = run(app, message(body_of(chord=ODD), group="g", group_index=0))
    assert isinstance(outcome, Succeeded)
    assert outcome.flow is not None
    assert outcome.flow.shares[0].body == ODD


def test_a_task_can_change_what_comes_after_it(app: Celeriac) -> None:
    @app.task(name="turns", bind=True)
    def turns(self: Task[Any, Any]) -> None:
        assert self.request.chain is not None
        self.request.chain[-1]["kwargs"]["k"] = 2
        self.request.chain[0]["args"].append(1)

    @app.task(name="stops", bind=True)
    def stops(self: Task[Any, Any]) -> None:
        self.request.chain = None

    sent = follow_up(run(app, message(body_of(ODD, NEXT), "turns")))
    invocation = read(sent)
    assert invocation.kwargs == {"k": 2}
    assert [step["args"] for step in invocation.chain or ()] == [[1]]
    outcome = run(app, message(body_of(ODD, NEXT), "stops"))
    assert isinstance(outcome, Succeeded)
    assert outcome.follow_ups == ()


def test_a_task_can_change_its_chord(app: Celeriac) -> None:
    @app.task(name="turns", bind=True)
    def turns(self: Task[Any, Any]) -> None:
        assert self.request.chord is not None
        self.request.chord["kwargs"]["k"] = 2

    outcome = run(app, message(body_of(chord=ODD), "turns", group="g", group_index=0))
    assert isinstance(outcome, Succeeded)
    assert outcome.flow is not None
    assert b'"k": 2' in outcome.flow.shares[0].body


def test_what_is_no_plain_json_is_read(app: Celeriac) -> None:
    day = b'{"task": "last", "args": [{"__type__": "date", "__value__": "2026-01-02"}], "kwargs": {}, "options": {}}'
    sent = follow_up(run(app, message(body_of(day, NEXT))))
    rest = read(sent).chain
    assert isinstance(rest, list)
    assert rest[0]["args"] == [date(2026, 1, 2)]


def test_another_serialiser_takes_over_half_way(app: Celeriac) -> None:
    packed = NEXT.replace(b'"task_id": "s"', b'"task_id": "s", "serializer": "msgpack"')
    sent = follow_up(run(app, message(body_of(ODD, ODD, packed))))
    assert sent.content_type == "application/x-msgpack"
    assert [step["task"] for step in read(sent).chain or ()] == ["last", "last"]


def test_a_retry_keeps_the_rest(app: Celeriac) -> None:
    @app.task(name="again", bind=True)
    def again(self: Task[Any, Any]) -> None:
        raise self.retry(countdown=0)

    outcome = run(app, message(body_of(ODD, NEXT, chord=ODD), "again", group="g"))
    assert isinstance(outcome, Retried)
    invocation = read(outcome.message)
    assert [step["task"] for step in invocation.chain or ()] == ["last", "step"]
    assert isinstance(invocation.chord, Unread)
    assert invocation.chord.read()["task"] == "last"


def test_a_failure_reaches_every_step_of_the_rest(app: Celeriac) -> None:
    @app.task(name="fails")
    def fails() -> None:
        raise ValueError

    outcome = run(app, message(body_of(ODD, NEXT), "fails"))
    assert isinstance(outcome, Failed)
    assert outcome.flow is not None
    assert [record.task_id for record in outcome.flow.results] == ["s", "l"]


@pytest.mark.parametrize("body", [body_of(ODD, b"1"), body_of(chord=b"[1]"), body_of(b'"step"')])
def test_what_is_no_signature_is_refused(app: Celeriac, body: bytes) -> None:
    assert isinstance(run(app, message(body)), Unrunnable)


#: JSON with what no reader takes, in a place that is left unread at first.
DAMAGED = NEXT.replace(b'"args": []', b'"args": ["\xff"]')
ENDLESS = NEXT.replace(b'"args": []', b'"args": [%b]' % (b"1" * 5000))


@pytest.mark.parametrize("damaged", [DAMAGED, ENDLESS])
@pytest.mark.parametrize("chord_", [b"null", ODD])
def test_damage_in_the_next_step_is_told_to_the_chord(app: Celeriac, damaged: bytes, chord_: bytes) -> None:
    outcome = run(app, message(body_of(ODD, damaged, chord=chord_), group="g", group_index=0))
    assert isinstance(outcome, Unrunnable)
    assert outcome.flow is not None
    assert [broken.group_id for broken in outcome.flow.broken] == ["g"]


def test_damage_anywhere_is_told_by_whoever_receives_it(app: Celeriac) -> None:
    assert isinstance(run(app, message(body_of(DAMAGED, NEXT))), Unrunnable)


def test_a_failure_is_the_tasks_own_whatever_follows(app: Celeriac) -> None:
    @app.task(name="fails")
    def fails() -> None:
        raise KeyError("mine")

    @app.task(name="told")
    def told(task_id: str) -> None:
        """Told."""

    errback = b'[{"task": "told", "args": [], "kwargs": {}, "options": {}}]'
    body = body_of(ENDLESS, NEXT).replace(b'"errbacks": null', b'"errbacks": %b' % errback)
    outcome = run(app, message(body, "fails"))
    assert isinstance(outcome, Failed)
    assert outcome.error == "KeyError('mine')"
    assert [publication.message.headers["task"] for publication in outcome.follow_ups] == ["told"]
    assert outcome.flow is not None
    assert [record.task_id for record in outcome.flow.results] == ["s"]


def test_the_error_shows_what_came(app: Celeriac) -> None:
    outcome = run(app, message(body_of(b"5")))
    assert isinstance(outcome, Unrunnable)
    assert "'chain' must be a list of signatures, not [5]" in outcome.reason
