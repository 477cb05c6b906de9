"""`call`, `purge`, `result` and `dead-letters` against a real SQLite broker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from celeriac import Celeriac
from celeriac.brokers.base import Broker
from celeriac.message import Delivery
from celeriac.outcome import Bury, ResultRecord, Settlement
from celeriac.result_meta import encode_meta

Run = Callable[..., Result]


@pytest.fixture
def app(project: Path) -> Iterator[Celeriac]:
    """An app on the same database file as the project's."""
    app = Celeriac("peer", broker=f"sqlite:///{project}/shop.sqlite3", set_as_current=False)
    yield app
    app.close()


def _reserve(
    app: Celeriac, queue: str = "celery", limit: int = 10, then: Callable[[Delivery], Any] | None = None
) -> list[Delivery]:
    """Take what waits, settle it if asked, and give back the rest."""

    async def take(broker: Broker) -> list[Delivery]:
        await broker.open("test", lease_seconds=10)
        deliveries = await broker.reserve([queue], limit, 0)
        if then is not None:
            await broker.settle([then(delivery) for delivery in deliveries])
        await broker.close()
        return deliveries

    return asyncio.run(take(app.broker))


def _depth(app: Celeriac, queue: str = "celery") -> int:
    return asyncio.run(app.broker.depth(queue))


def _bury(app: Celeriac, queue: str = "celery") -> None:
    _reserve(app, queue, then=lambda delivery: Settlement(delivery, Bury("its body can not be read")))


# -- call ----------------------------------------------------------------------------------------------------------


def test_call_sends_and_prints_the_id(run: Run, app: Celeriac) -> None:
    result = run("-A", "shop", "call", "shop.add", "-a", "[1]", "-k", '{"y": 2}')
    assert result.exit_code == 0
    (delivery,) = _reserve(app)
    headers = delivery.message.headers
    assert headers["id"] == result.output.strip()
    assert headers["task"] == "shop.add"
    assert json.loads(delivery.message.body)[:2] == [[1], {"y": 2}]


def test_call_uses_the_tasks_own_options(run: Run, app: Celeriac) -> None:
    assert run("-A", "shop", "call", "shop.fetch", "-a", '["u"]').exit_code == 0
    assert _depth(app, "slow") == 1


def test_call_takes_options(run: Run, app: Celeriac) -> None:
    words = ("--queue", "own", "--priority", "3", "--expires", "60", "--serializer", "json")
    assert run("-A", "shop", "call", "shop.add", "-a", "[1, 2]", *words).exit_code == 0
    (delivery,) = _reserve(app, "own")
    assert delivery.priority == 3
    assert delivery.message.headers["expires"] is not None


@pytest.mark.parametrize("when", [("--countdown", "60"), ("--eta", "2999-01-01T00:00:00+00:00")])
def test_call_for_later(run: Run, app: Celeriac, when: tuple[str, str]) -> None:
    assert run("-A", "shop", "call", "shop.add", "-a", "[1, 2]", *when).exit_code == 0
    assert _reserve(app) == []
    assert _depth(app) == 1


def test_call_without_an_app_sends_any_name(run: Run, app: Celeriac) -> None:
    result = run("-b", "sqlite:///shop.sqlite3", "call", "elsewhere.task")
    assert result.exit_code == 0, result.output
    assert _reserve(app)[0].message.headers["task"] == "elsewhere.task"


def test_call_of_a_name_that_is_none_of_the_apps_tasks_says_so(run: Run, app: Celeriac) -> None:
    result = run("-A", "shop", "call", "shop.ad", "-a", "[1, 2]")
    assert result.exit_code == 0
    assert result.stderr == "shop.ad is none of the app's tasks (did you mean shop.add?); sent as it is\n"
    assert _reserve(app)[0].message.headers["id"] == result.stdout.strip()
    assert run("-A", "shop", "call", "zzz").stderr == "zzz is none of the app's tasks; sent as it is\n"
    assert run("-A", "shop", "-q", "call", "zzz").stderr == ""


def test_call_with_wrong_arguments(run: Run, app: Celeriac) -> None:
    result = run("-A", "shop", "call", "shop.add", "-a", "[1]")
    assert result.exit_code == 2
    assert "'y'" in result.stderr
    assert _depth(app) == 0


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("-a", "1, 2"), "is no JSON"),
        (("-a", "{}"), "is no json array"),
        (("--eta", "2030-01-01", "--countdown", "1"), "say the same thing"),
        (("--priority", "10"), "'10' is not a whole number from 0 to 9"),
        (("--countdown", "soon"), "'soon' is not a number of seconds"),
        (("--queue", ""), "names nothing"),
        (("--serializer", ""), "names nothing"),
    ],
)
def test_call_with_wrong_options(run: Run, words: tuple[str, ...], text: str) -> None:
    result = run("-A", "shop", "call", "shop.add", *words)
    assert result.exit_code == 2
    assert text in result.stderr


def test_a_broker_inside_one_process_can_not_be_reached(run: Run) -> None:
    result = run("-A", "shop", "-b", "memory://", "call", "shop.add", "-a", "[1, 2]")
    assert result.exit_code == 1
    assert "lives inside one process" in result.stderr


# -- purge ---------------------------------------------------------------------------------------------------------


def _send(app: Celeriac, count: int = 1, queue: str = "celery") -> None:
    for number in range(count):
        app.send_task("shop.add", (number, 1), queue=queue)


def test_purge_asks_and_counts(run: Run, app: Celeriac) -> None:
    _send(app, 3)
    result = run("-A", "shop", "purge", typed="y\n")
    assert result.exit_code == 0
    assert "1 queue: celery" in result.output
    assert "Purged 3 messages from 1 queue." in result.output
    assert _depth(app) == 0


def test_purge_takes_no_for_an_answer(run: Run, app: Celeriac) -> None:
    _send(app)
    assert run("-A", "shop", "purge", typed="n\n").exit_code == 1
    assert _depth(app) == 1


def test_purge_of_named_queues(run: Run, app: Celeriac) -> None:
    for queue in ("a", "b", "c"):
        _send(app, queue=queue)
    result = run("-A", "shop", "purge", "-f", "-Q", "a,b,c", "-X", "c")
    assert result.output == "Purged 2 messages from 2 queues.\n"
    assert [_depth(app, queue) for queue in "abc"] == [0, 0, 1]


def test_purge_of_the_queues_in_the_settings(run: Run, app: Celeriac, project: Path) -> None:
    (project / "conf.py").write_text("task_queues = ['a', 'b']\n")
    _send(app, queue="b")
    assert run("-A", "shop", "--config", "conf", "purge", "-f").output == "Purged 1 message from 2 queues.\n"


def test_purge_of_no_queue(run: Run) -> None:
    result = run("-A", "shop", "purge", "-f", "-X", "celery")
    assert result.exit_code == 2
    assert "no queue is left" in result.stderr


# -- result --------------------------------------------------------------------------------------------------------


def _store(app: Celeriac, status: str, result: Any, traceback: str | None = None) -> None:
    meta = encode_meta(
        task_id="id-1", status=status, result=result, traceback=traceback, children=None, date_done=app.now()
    )
    app.backend.store([ResultRecord("id-1", status, meta)])


def test_result_prints_the_value(run: Run, app: Celeriac) -> None:
    _store(app, "SUCCESS", {"x": [1, "two"]})
    result = run("-A", "shop", "result", "id-1")
    assert (result.exit_code, result.output) == (0, "{'x': [1, 'two']}\n")


def test_result_prints_text_as_it_is(run: Run, app: Celeriac) -> None:
    _store(app, "SUCCESS", "plain text")
    assert run("-A", "shop", "result", "id-1").output == "plain text\n"


def test_result_of_a_failure(run: Run, app: Celeriac) -> None:
    _store(app, "FAILURE", ValueError("boom"), "Traceback: at line 5")
    result = run("-A", "shop", "result", "id-1")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "FAILURE: ValueError: boom" in result.stderr
    shown = run("-A", "shop", "result", "id-1", "--traceback")
    assert (shown.exit_code, shown.stdout) == (1, "Traceback: at line 5\n")


def test_result_of_a_failure_without_a_traceback(run: Run, app: Celeriac) -> None:
    _store(app, "FAILURE", ValueError("boom"))
    shown = run("-A", "shop", "result", "id-1", "--traceback")
    assert (shown.exit_code, shown.stdout) == (1, "")
    assert "FAILURE: ValueError: boom" in shown.stderr


def test_result_of_a_success_has_no_traceback_to_show(run: Run, app: Celeriac) -> None:
    _store(app, "SUCCESS", 5)
    shown = run("-A", "shop", "result", "id-1", "--traceback")
    assert (shown.exit_code, shown.stdout) == (0, "5\n")


def test_result_that_does_not_come(run: Run) -> None:
    result = run("-A", "shop", "result", "id-2", "--timeout", "0.01")
    assert result.exit_code == 1
    assert "no result of id-2 after 0.01 s" in result.stderr


def test_result_of_a_task_that_runs(run: Run, app: Celeriac) -> None:
    _store(app, "STARTED", {"pid": 1})
    result = run("-A", "shop", "result", "id-1", "--timeout", "0.01")
    assert result.exit_code == 1
    assert "id-1 is STARTED" in result.stderr


def test_a_tree_shows_all_that_a_task_sent(run: Run, app: Celeriac) -> None:
    group = app.GroupResult("g", [app.AsyncResult("1"), app.AsyncResult("2")])
    root = app.AsyncResult("root")
    metas = {
        "root": encode_meta(task_id="root", status="SUCCESS", result=1, children=[group.as_tuple()]),
        "1": encode_meta(
            task_id="1",
            status="SUCCESS",
            result=1,
            children=[app.AsyncResult("3").as_tuple(), root.as_tuple()],
            extended={"name": "shop.add"},
        ),
        "2": encode_meta(task_id="2", status="FAILURE", result=ValueError("boom")),
    }
    states = {"2": "FAILURE"}
    app.backend.store([ResultRecord(one, states.get(one, "SUCCESS"), meta) for one, meta in metas.items()])
    result = run("-A", "shop", "result", "root", "--tree")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "root SUCCESS",
        "  group g: 1 of 2 succeeded",
        "    shop.add[1] SUCCESS",
        "      3 PENDING",
        "      root SUCCESS",
        "    2 FAILURE",
    ]


# -- dead letters --------------------------------------------------------------------------------------------------


def test_dead_letters_list(run: Run, app: Celeriac) -> None:
    assert run("-A", "shop", "dead-letters", "list").output == "No dead letters.\n"
    assert run("-A", "shop", "-q", "dead-letters", "list").output == ""
    _send(app, 2)
    _bury(app)
    header, *rows = run("-A", "shop", "dead-letters", "list").output.splitlines()
    assert header.split("\t") == ["tag", "queue", "task", "id", "died", "losses", "reason"]
    assert len(rows) == 2
    assert rows[0].split("\t")[1:3] == ["celery", "shop.add"]
    assert rows[0].endswith("\t0\tits body can not be read")
    assert len(run("-A", "shop", "dead-letters", "list", "-n", "1").output.splitlines()) == 2
    assert run("-A", "shop", "dead-letters", "list", "-Q", "other").output == "No dead letters.\n"


def test_dead_letters_as_json(run: Run, app: Celeriac) -> None:
    _send(app)
    _bury(app)
    (line,) = run("-A", "shop", "dead-letters", "list", "--json").output.splitlines()
    letter = json.loads(line)
    assert letter["task"] == "shop.add"
    assert letter["reason"] == "its body can not be read"
    assert letter["history"] == []
    assert letter["at"].endswith("+00:00")


def _tags(run: Run) -> list[str]:
    lines = run("-A", "shop", "dead-letters", "list").output.splitlines()[1:]
    return [line.split("\t")[0] for line in lines]


def test_dead_letters_are_sent_again(run: Run, app: Celeriac) -> None:
    _send(app, 3)
    _bury(app)
    first, *_ = _tags(run)
    assert run("-A", "shop", "dead-letters", "requeue", first).output == "Requeued 1 message.\n"
    assert _depth(app) == 1
    assert run("-A", "shop", "dead-letters", "requeue", "--all").output == "Requeued 2 messages.\n"
    assert _depth(app) == 3
    assert run("-A", "shop", "dead-letters", "requeue", "--all").output == "Requeued 0 messages.\n"


def test_dead_letters_of_one_queue_are_sent_again(run: Run, app: Celeriac) -> None:
    for queue in ("a", "b"):
        _send(app, queue=queue)
        _bury(app, queue)
    assert run("-A", "shop", "dead-letters", "requeue", "--all", "-Q", "a").output == "Requeued 1 message.\n"
    assert [_depth(app, "a"), _depth(app, "b")] == [1, 0]


def test_a_tag_that_is_none(run: Run) -> None:
    result = run("-A", "shop", "dead-letters", "requeue", "4711")
    assert result.exit_code == 1
    assert "the tag 4711 is not among the dead letters" in result.stderr
    assert "2 of 2 tags are not" in run("-A", "shop", "dead-letters", "requeue", "4711", "4712").stderr


@pytest.mark.parametrize("words", [(), ("1", "--all")])
def test_requeue_needs_tags_or_all(run: Run, words: tuple[str, ...]) -> None:
    result = run("-A", "shop", "dead-letters", "requeue", *words)
    assert result.exit_code == 2
    assert "--all" in result.stderr


def test_dead_letters_are_deleted(run: Run, app: Celeriac) -> None:
    _send(app)
    _bury(app)
    assert run("-A", "shop", "dead-letters", "purge", typed="n\n").exit_code == 1
    assert len(_tags(run)) == 1
    assert "of the queue x" in run("-A", "shop", "dead-letters", "purge", "-Q", "x", typed="y\n").output
    assert run("-A", "shop", "dead-letters", "purge", "-f").output == "Deleted 1 dead letter.\n"
    assert _tags(run) == []
