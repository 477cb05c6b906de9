"""Where results are to go: what messages say, and what records note of it."""

from __future__ import annotations

from typing import Any

import pytest

from celeriac import Celeriac
from celeriac.outcome import Failed, Succeeded
from celeriac.records import reply_queue
from hand_worker import HandWorker, raise_


@pytest.mark.parametrize(
    ("named", "queue"),
    [("oid", "oid"), ("\u00fc", "\u00fc"), ("", None), (None, None), (5, None), (["x"], None), ("\ud800", None)],
)
def test_names_of_reply_queues(named: object, queue: str | None) -> None:
    assert reply_queue(named) == queue


def test_backends_that_store_results_need_no_replies(app: Celeriac) -> None:
    assert app.replies is None

    @app.task
    def nothing() -> None: ...

    assert nothing.delay().kept is None


@pytest.mark.parametrize("named", ["oid", None, 7])
def test_records_say_who_waits(app: Celeriac, worker: HandWorker, named: Any) -> None:
    @app.task
    def add(x: int, y: int) -> int:
        return x + y

    @app.task
    def fail() -> None:
        raise_(ValueError("as asked"))

    expected = named if named == "oid" else None
    for task, args in ((add, (1, 2)), (fail, ())):
        task.apply_async(args, properties={"reply_to": named})
        (outcome,) = worker.run()
        assert isinstance(outcome, Succeeded | Failed)
        assert outcome.result is not None
        assert outcome.result.reply_to == expected


def test_links_answer_to_the_first_sender(app: Celeriac, worker: HandWorker) -> None:
    @app.task
    def add(x: int, y: int) -> int:
        return x + y

    add.apply_async((1, 2), link=[add.s(3), add.s(4).set(reply_to="another")], reply_to="oid")
    worker.run()
    assert [one.message.properties["reply_to"] for one in worker.waiting()] == ["oid", "another"]
    add.apply_async((1, 2), link=add.s(3))
    worker.run_all()
    add.apply_async((1, 2), link=add.s(3))
    worker.run()
    assert [one.message.properties["reply_to"] for one in worker.waiting()] == [""]


def test_what_can_not_be_run_is_told_too(app: Celeriac, worker: HandWorker) -> None:
    app.send_task("nobody knows it", reply_to="oid")
    (outcome,) = worker.run()
    assert getattr(outcome, "result").reply_to == "oid"  # noqa: B009 - whatever kind of outcome it is
