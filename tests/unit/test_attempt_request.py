"""What a task knows of its own run."""

from __future__ import annotations

from typing import Any

import pytest

from celeriac import Celeriac, Task, get_current_task
from celeriac.attempt import Attempt, Job, Site
from hand_worker import SITE, HandWorker, make_message, run, stored


def test_the_request_tells_all_about_the_call(app: Celeriac) -> None:
    seen: list[Any] = []

    @app.task(name="t", bind=True)
    def task(self: Task[..., Any], x: int) -> None:
        seen.append((self.request, get_current_task()))

    message = make_message(
        app, task, 1, task_id="1", headers={"tenant": "acme"}, time_limit=9, retries=2, reply_to="me", shadow="s"
    )
    Attempt(app, Job(1, message, "q", losses=1, priority=4), Site("w1@host", 1, logfile="log", loglevel=20)).run()
    request, current = seen[0]
    assert current is task
    assert request.id == request.root_id == request.correlation_id == "1"
    assert (request.task, request.args, request.kwargs) == ("t", [1], {})
    assert (request.retries, request.timelimit, request.hostname) == (2, [9, None], "w1@host")
    assert (request.logfile, request.loglevel, request.reply_to, request.shadow) == ("log", 20, "me", "s")
    assert request.delivery_info == {"exchange": "", "routing_key": "q", "priority": 4, "redelivered": True}
    assert request.headers == {"tenant": "acme"}
    assert request.tenant == "acme"
    assert not request.called_directly
    assert task.request.called_directly  # it is over


def test_a_message_that_a_celery_worker_has_put_back_is_redelivered(app: Celeriac) -> None:
    @app.task(name="t", bind=True)
    def task(self: Task[..., Any]) -> Any:
        return [self.request.delivery_info, self.request.headers]

    message = make_message(app, task)
    message.headers["redelivered"] = True
    message.properties["delivery_info"] = {"exchange": "", "routing_key": "celery", "redelivered": True}
    outcome = Attempt(app, Job(1, message, "celery"), SITE).run()
    info, headers = stored(outcome)["result"]
    assert info["redelivered"] is True
    assert headers is None


@pytest.mark.parametrize(
    ("sent", "known"),
    [
        ({"exchange": "feeds", "routing_key": "feed.eu"}, ("feeds", "feed.eu")),
        ({"exchange": "", "routing_key": "other"}, ("", "q")),
        ({"exchange": "feeds"}, ("", "q")),
        ("nonsense", ("", "q")),
        (None, ("", "q")),
    ],
)
def test_the_exchange_that_a_message_was_sent_to_is_known(app: Celeriac, sent: Any, known: tuple[str, str]) -> None:
    @app.task(name="t", bind=True)
    def task(self: Task[..., Any]) -> Any:
        return self.request.delivery_info

    message = make_message(app, task)
    message.properties["delivery_info"] = sent
    info = stored(Attempt(app, Job(1, message, "q"), SITE).run())["result"]
    assert (info["exchange"], info["routing_key"]) == known


def test_a_task_that_calls_itself_gets_a_request_of_its_own(app: Celeriac) -> None:
    seen: list[Any] = []

    @app.task(bind=True)
    def task(self: Task[[int], None], depth: int) -> None:
        seen.append((self.request.id, self.request.called_directly))
        if depth:
            self(depth - 1)
            seen.append(self.request.id)

    @app.task(bind=True)
    async def coroutine(self: Any, depth: int) -> None:
        seen.append((self.request.id, self.request.called_directly))
        if depth:
            await self(depth - 1)
            seen.append(self.request.id)

    for one in (task, coroutine):
        seen.clear()
        run(app, one, 1, task_id="1")
        assert seen == [("1", False), (None, True), "1"]


def test_an_overridden_call_runs_in_the_worker(app: Celeriac) -> None:
    class Traced(Task[..., Any]):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return ("around", self.request.id, super().__call__(*args, **kwargs))

    @app.task(base=Traced, bind=True)
    def task(self: Task[..., Any]) -> Any:
        return self.request.called_directly

    assert stored(run(app, task, task_id="1"))["result"] == ["around", "1", False]


def test_children_and_ancestry(app: Celeriac, worker: HandWorker) -> None:
    @app.task(name="child")
    def child() -> None: ...

    @app.task
    def parent() -> None:
        child.apply_async(task_id="c1")
        child.apply_async(task_id="c2", add_to_parent=False)
        app.send_task("child", task_id="c3")

    @app.task(trail=False)
    def silent() -> None:
        child.delay()

    meta = stored(run(app, parent, task_id="p", root_id="r"))
    assert meta["children"] == [[["c1", None], None], [["c3", None], None]]
    assert {d.message.headers["root_id"] for d in worker.waiting()} == {"r"}
    assert {d.message.headers["parent_id"] for d in worker.waiting()} == {"p"}
    assert stored(run(app, silent))["children"] == []


def test_parent_priority_is_inherited_if_wanted(app: Celeriac, worker: HandWorker) -> None:
    app.conf.task_inherit_parent_priority = True

    @app.task
    def parent() -> None:
        app.send_task("child")

    Attempt(app, Job(1, make_message(app, parent), "celery", priority=6), SITE).run()
    assert worker.waiting()[0].priority == 6
