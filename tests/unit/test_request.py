"""The request and the context variable that holds it."""

from __future__ import annotations

import asyncio
import threading

import pytest

from celeriac import Celeriac, Request, get_current_task
from celeriac.request import current_request


def test_custom_headers_are_attributes_and_items() -> None:
    request = Request(headers={"tenant": "acme"})
    assert vars(type(request))["__getattr__"](request, "tenant") == "acme"
    assert request.get("tenant") == "acme"
    assert request.get("retries") == 0
    assert request.get("nothing", 1) == 1
    with pytest.raises(AttributeError, match="nothing"):
        _ = request.nothing  # type: ignore[attr-defined]


def test_update_sets_fields_and_makes_headers_of_the_rest() -> None:
    request = Request(headers={"a": 1})
    request.update(retries=2, b=3)
    assert request.retries == 2
    assert request.headers == {"a": 1, "b": 3}


def test_limits_and_group_by_their_other_names() -> None:
    request = Request(timelimit=[10, 5], group="g")
    assert (request.time_limit, request.soft_time_limit, request.taskset) == (10, 5, "g")
    assert (Request().time_limit, Request().soft_time_limit) == (None, None)


def test_as_execution_options_leaves_out_what_was_not_said() -> None:
    request = Request(
        id="1", root_id="0", retries=2, timelimit=[9, None], delivery_info={"routing_key": "q", "priority": 3}
    )
    assert request.as_execution_options() == {
        "task_id": "1",
        "root_id": "0",
        "retries": 2,
        "time_limit": 9,
        "queue": "q",
        "priority": 3,
    }


def test_children_are_not_shared() -> None:
    first, second = Request(), Request()
    assert first.children is not second.children


def test_outside_a_run_the_request_is_empty(app: Celeriac) -> None:
    @app.task(bind=True)
    def ask(self: object) -> None: ...

    assert ask.request.called_directly
    assert ask.request.id is None
    assert get_current_task() is None


def test_push_request_covers_and_pop_request_uncovers(app: Celeriac) -> None:
    @app.task
    def ask() -> None: ...

    ask.push_request(id="1")
    ask.push_request(id="2", retries=3)
    seen = [(ask.request.id, ask.request.retries, get_current_task() is ask)]
    ask.pop_request()
    seen.append((ask.request.id, ask.request.retries, get_current_task() is ask))
    ask.pop_request()
    seen.append((ask.request.id, ask.request.retries, get_current_task() is ask))
    assert seen == [("2", 3, True), ("1", 0, True), (None, 0, False)]
    assert current_request.get() is None


def test_each_coroutine_and_thread_has_its_own(app: Celeriac) -> None:
    @app.task
    def ask() -> None: ...

    async def hold(name: str, others: asyncio.Barrier) -> str | None:
        ask.push_request(id=name)
        await others.wait()
        return ask.request.id

    async def main() -> tuple[str | None, str | None]:
        barrier = asyncio.Barrier(2)
        first, second = await asyncio.gather(hold("a", barrier), hold("b", barrier))
        return first, second

    assert asyncio.run(main()) == ("a", "b")
    seen: list[str | None] = []
    ask.push_request(id="mine")
    thread = threading.Thread(target=lambda: seen.append(ask.request.id))
    thread.start()
    thread.join()
    ask.pop_request()
    assert seen == [None]
