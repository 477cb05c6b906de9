"""Where results are to go: what messages say, and what records note of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from celeriac import AsyncResult, Celeriac, GroupResult, Signature, chain, group
from celeriac.consequences import of_success, replacing
from celeriac.outcome import Failed, Succeeded
from celeriac.records import reply_queue
from celeriac.request import Request
from celeriac.workflows import Workflow
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


@pytest.fixture
def asking() -> Iterator[Celeriac]:
    """An app whose results come by reply queue. Nothing connects to it here."""
    with Celeriac("replies", broker="amqp://guest@localhost:1//", backend="rpc://", set_as_current=False) as made:
        yield made


def test_results_of_what_workers_send_are_expected_too(asking: Celeriac) -> None:
    def task(task_id: str) -> Signature[Any]:
        return asking.signature("task").set(task_id=task_id)

    line = chain(task("a"), group(task("b"), task("c")))
    for workflow, expected in (
        (line, "abc"),
        (group(task("d"), chain(task("e"), task("f")), chain(task("g"), group(task("h"), task("i")))), "efghi"),
    ):
        sending = Workflow(asking, workflow, (), {})
        assert list(sending.parts())
        assert sorted(sending.awaited) == sorted(expected)  # a task that is sent now is known without
        sending.keep({name: f"place of {name}" for name in expected})
        found = {task.id: task.kept for task in leaves(sending.result())}
        assert found == {name: f"place of {name}" if name in expected else None for name in found}


def leaves(result: AsyncResult[Any] | GroupResult) -> list[AsyncResult[Any]]:
    if isinstance(result, AsyncResult):
        return [result]
    return [leaf for member in result.results for leaf in leaves(member)]


@pytest.mark.parametrize("how", ["a link", "the next step", "a replacement"])
def test_what_a_run_sends_answers_to_who_waits_for_the_run(asking: Celeriac, how: str) -> None:
    following = asking.signature("task")
    request = Request(id="a", task="task", reply_to="its sender", called_directly=False)
    if how == "a replacement":
        made = replacing(asking, request, following)
    else:
        waiting: list[dict[str, Any]] = [following]
        request.callbacks, request.chain = (waiting, None) if how == "a link" else (None, waiting)
        made = of_success(asking, request, 1, "celery")
    (publication,) = made.publications
    assert publication.message.properties["reply_to"] == "its sender"
