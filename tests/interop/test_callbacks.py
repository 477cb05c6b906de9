"""Links and errbacks that lead from one side to the other."""

from __future__ import annotations

import uuid

from interop.pairs import Direction, Pair, signature

BOOMS = {"celery": "CeleryBoom", "celeriac": "CeleriacBoom"}


def test_a_link_to_the_other_side(direction: Direction) -> None:
    key = uuid.uuid4().hex
    task_id = direction.send("add", 2, 3, link=[signature("called", kwargs={"key": key}, queue=direction.producer)])
    assert direction.pair.place.journal.take(key) == [f"{direction.producer} 5"]
    [child] = direction.pair.both(task_id).children
    context = direction.pair.both(child).value
    assert (context["side"], context["parent_id"], context["root_id"]) == (direction.producer, task_id, task_id)


def test_two_links_one_of_them_immutable(direction: Direction) -> None:
    key = uuid.uuid4().hex
    links = [
        signature("called", kwargs={"key": key}, queue=direction.producer),
        signature("called", "fixed", kwargs={"key": key}, queue=direction.worker, immutable=True),
    ]
    direction.send("add", 2, 3, link=links)
    assert sorted(direction.pair.place.journal.take(key, 2)) == sorted(
        [f"{direction.producer} 5", f"{direction.worker} fixed"]
    )


def test_a_link_of_a_link(direction: Direction) -> None:
    key = uuid.uuid4().hex
    last = signature("called", kwargs={"key": key}, queue=direction.worker)
    first = signature("add", 10, queue=direction.producer, link=[last])
    direction.succeed("add", 2, 3, link=[first])
    assert direction.pair.place.journal.take(key) == [f"{direction.worker} 15"]


def test_an_errback_of_one_argument_is_sent_to_the_other_side(direction: Direction) -> None:
    task_id = direction.send("fails", "x", link_error=[signature("old_errback", queue=direction.producer)])
    assert direction.pair.place.journal.take(task_id) == [f"{direction.producer} old"]
    assert direction.pair.both(task_id).state == "FAILURE"


def test_an_errback_that_wants_the_exception_runs_in_the_failing_worker(direction: Direction) -> None:
    task_id = direction.send("fails", "x", 1, link_error=[signature("new_errback", queue=direction.producer)])
    expected = f"{direction.worker} new {BOOMS[direction.worker]}('x', 1)"
    assert direction.pair.place.journal.take(task_id) == [expected]


def test_the_errback_comes_after_the_last_retry(direction: Direction) -> None:
    task_id = direction.send("exhausted", True, link_error=[signature("old_errback", queue=direction.producer)])
    assert direction.pair.place.journal.take(task_id) == [f"{direction.producer} old"]
    assert direction.pair.both(task_id).state == "FAILURE"
    assert direction.pair.place.journal.rest(task_id) == []


def test_the_link_survives_a_retry(direction: Direction) -> None:
    key = uuid.uuid4().hex
    link = signature("called", kwargs={"key": key}, queue=direction.producer)
    direction.succeed("again", 1, 0, link=[link])
    assert direction.pair.place.journal.take(key) == [f"{direction.producer} {[direction.worker, 1]}"]


def test_links_of_a_message_of_protocol_1(pair: Pair) -> None:
    key = uuid.uuid4().hex
    link = signature("called", kwargs={"key": key}, queue="celery")
    task_id = pair.celery.send("add", 2, 3, settings={"task_protocol": 1}, queue="celeriac", link=[link])
    assert pair.place.journal.take(key) == ["celery 5"]
    assert pair.both(task_id).value == 5


def test_members_of_a_celery_group_run(pair: Pair) -> None:
    ids = pair.celery.call("send_group", name="add", calls=[(1, 1), (2, 2)], options={"queue": "celeriac"})
    assert [pair.both(task_id).value for task_id in ids] == [2, 4]


def test_the_rest_of_a_chain_is_sent_by_who_runs_a_step(pair: Pair) -> None:
    following = signature("add", 3)
    following["options"].update(task_id=str(uuid.uuid4()), queue="celery")
    seen = pair.both(pair.celery.send("add", 1, 2, queue="celeriac", chain=[following]))
    assert seen.value == 3
    assert pair.both(following["options"]["task_id"]).value == 6
