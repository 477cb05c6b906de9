"""Each role in a chord on each side: who sends it, who gives the last share and so begins the body, who runs the body.

The last share is the point where the two sides join chords in different ways.
"""

from __future__ import annotations

import time
import uuid
from typing import Any

import pytest

from celeriac import GroupResult, chain, chord, group, result_from_tuple
from integration.workflows.model import Value
from integration.workflows.sights import seen_of
from interop.pairs import Pair
from interop.sides import SideName, other

DEADLINE = 20.0

SENDERS = pytest.mark.parametrize("sender", ["celery", "celeriac"])
LAST = pytest.mark.parametrize("last", ["celery", "celeriac"])
BODY = pytest.mark.parametrize("body", ["celery", "celeriac"])


def call(name: str, *args: Any, queue: SideName, **kwargs: Any) -> dict[str, Any]:
    """A signature as it travels."""
    options = {"queue": queue}
    return {"task": name, "args": args, "kwargs": kwargs, "options": options, "subtask_type": None, "immutable": False}


def send_chord(pair: Pair, sender: SideName, header: list[dict[str, Any]], body: dict[str, Any]) -> Any:
    """Send a chord; its result as a tuple."""
    if sender == "celery":
        return pair.celery.call("send_chord", header=header, body=body)
    app = pair.celeriac.app
    return chord([app.signature(member) for member in header], app.signature(body), app=app)().as_tuple()


def value(pair: Pair, result: Any) -> Any:
    """What both sides see it come to."""
    by_celery = pair.celery.call("see", result=result, timeout=DEADLINE)
    by_celeriac = seen_of(result_from_tuple(result, pair.celeriac.app), time.monotonic() + DEADLINE)
    assert by_celeriac == by_celery
    assert isinstance(by_celeriac, Value), by_celeriac
    return by_celeriac.value


@SENDERS
@LAST
@BODY
def test_who_gives_the_last_share(pair: Pair, sender: SideName, last: SideName, body: SideName) -> None:
    first, end = uuid.uuid4().hex, uuid.uuid4().hex
    header = [call("gated", end, queue=last), call("gated", first, queue=other(last))]
    result = send_chord(pair, sender, header, call("context", queue=body))
    journal = pair.place.journal
    assert (journal.take(first), journal.take(end)) == ([other(last)], [last])
    journal.open(first)
    restored = result_from_tuple(result, pair.celeriac.app)
    assert isinstance(restored.parent, GroupResult)
    assert restored.parent.results[1].get(timeout=DEADLINE) == other(last)
    assert not restored.ready()
    journal.open(end)
    seen = value(pair, result)
    assert (seen["side"], seen["args"]) == (body, [[last, other(last)]])
    assert seen["parent_id"] == restored.parent.results[0].id


@SENDERS
@LAST
def test_the_member_that_fails_last_fails_the_body(pair: Pair, sender: SideName, last: SideName) -> None:
    key = uuid.uuid4().hex
    failing = call("fails_at_gate", key, queue=last)
    header = [call("where", queue=other(last)), failing]
    body = call("add", 1, queue=other(last))
    body["options"]["link_error"] = [call("old_errback", queue=last)]
    result = result_from_tuple(send_chord(pair, sender, header, body), pair.celeriac.app)
    assert pair.place.journal.take(key) == [last]
    pair.place.journal.open(key)
    seen = pair.both(result.id)
    assert seen.state == "FAILURE"
    assert seen.error is not None
    assert isinstance(result.parent, GroupResult)
    assert (seen.error[0], seen.error[1][0].split(" raised")[0]) == (
        "ChordError",
        f"Dependency {result.parent.results[1].id}",
    )
    assert pair.place.journal.take(result.id) == [f"{last} old"]
    assert pair.place.journal.rest(result.id) == []


@SENDERS
@LAST
def test_a_member_adds_another_to_its_chord(pair: Pair, sender: SideName, last: SideName) -> None:
    header = [call("adds_member", [other(last)], queue=last), call("adds_member", [last, last], queue=other(last))]
    seen = value(pair, send_chord(pair, sender, header, call("echo", queue=last)))
    assert sorted(seen) == sorted(["celery", "celeriac", *[other(last)], last, last])


@SENDERS
def test_two_hundred_members_on_both(pair: Pair, sender: SideName) -> None:
    sides: list[SideName] = ["celery", "celeriac"]
    header = [call("add", number, 0, queue=sides[number % 2]) for number in range(200)]
    assert value(pair, send_chord(pair, sender, header, call("echo", queue="celery"))) == list(range(200))


@SENDERS
def test_twenty_chords_one_after_the_other(pair: Pair, sender: SideName) -> None:
    for number in range(20):
        sides: list[SideName] = ["celery", "celeriac"]
        header = [call("add", number, place, queue=sides[(number + place) % 2]) for place in range(4)]
        result = send_chord(pair, sender, header, call("echo", queue=sides[number // 2 % 2]))
        assert value(pair, result) == [number + place for place in range(4)]


@pytest.mark.parametrize("first", ["celery", "celeriac"])
def test_a_long_chain_over_both(pair: Pair, first: SideName) -> None:
    app = pair.celeriac.app
    steps = [app.signature("add", (1,), queue=first if number % 2 else other(first)) for number in range(60)]
    result = chain(app.signature("add", (0, 0), queue=first), *steps)()
    assert value(pair, result.as_tuple()) == 60


def test_stamps_go_through_both(pair: Pair) -> None:
    app = pair.celeriac.app
    sides: list[SideName] = ["celery", "celeriac"]
    header = group([app.signature("stamped", queue=side) for side in sides for _ in range(2)])
    made = chain(app.signature("stamped", queue="celery"), header, app.signature("echo", queue="celeriac"))
    made.stamp(tenant="acme")
    stamps = value(pair, made.apply_async().as_tuple())
    assert [stamp["tenant"] for stamp in stamps] in ([["acme"]] * 4, ["acme"] * 4)
