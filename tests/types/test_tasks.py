"""What type checkers know of tasks. `assert_type` is checked by mypy and pyright; running it shows that it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, assert_type

from celeriac import AsyncResult, Celeriac, CoroutineTask, EagerResult, Signature, Task, shared_task

app = Celeriac("types", broker="memory://types")


@app.task
def add(x: int, y: int = 0) -> int:
    return x + y


@app.task
async def fetch(url: str) -> int:
    await asyncio.sleep(0)
    return len(url)


@app.task(bind=True, max_retries=5)
def bound(self: Task[..., Any], text: str) -> str:
    return text + self.name


@app.task(bind=True)
async def bound_coroutine(self: Task[..., Any], text: str) -> list[str]:
    await asyncio.sleep(0)
    return [text, self.name]


@app.task(queue="other", executor="thread")
def with_options(*, key: str) -> bytes:
    return key.encode()


@shared_task
def shared(x: int) -> str:
    return str(x)


@shared_task(bind=True, ignore_result=True)
def shared_bound(self: Task[..., Any], x: int) -> None: ...


@shared_task(name="types.shared.coroutine")
async def shared_coroutine(x: int) -> float:
    await asyncio.sleep(0)
    return float(x)


class Scale(Task[[float], float]):
    factor = 2.0

    def run(self, value: float) -> float:
        return self.factor * value


class Wait(CoroutineTask[[float], str]):
    async def run(self, seconds: float) -> str:
        await asyncio.sleep(0)
        return str(seconds)


scale = app.register_task(Scale())
wait = app.register_task(Wait)


def test_kinds_of_tasks() -> None:
    assert_type(bound(text="a"), str)
    assert_type(with_options(key="k"), bytes)
    assert_type(scale, Scale)
    assert_type(wait, Wait)
    assert_type(scale(2.0), float)
    assert_type(shared(1), str)
    assert_type(shared_bound(1), None)


def test_calls() -> None:
    assert_type(add(1, y=2), int)
    assert_type(add.delay(1, y=2), AsyncResult[int])
    assert_type(add.apply_async((1, 2), countdown=3, queue="q", priority=3), AsyncResult[int])
    assert_type(add.apply((1,)), EagerResult[int])
    assert_type(add.delay_many([(1,), (2, 3)]), list[AsyncResult[int]])
    assert_type(bound.delay("a"), AsyncResult[str])
    assert_type(with_options.delay(key="k"), AsyncResult[bytes])
    assert_type(shared.delay(1), AsyncResult[str])
    assert_type(shared_bound.delay(1), AsyncResult[None])
    assert_type(shared_coroutine.delay(1), AsyncResult[float])
    assert_type(scale.delay(2.0), AsyncResult[float])
    assert_type(wait.delay(2.0), AsyncResult[str])


def test_the_result_of_a_coroutine_is_what_awaiting_it_gives() -> None:
    task: CoroutineTask[[str], int] = fetch
    assert task is fetch
    assert_type(fetch.delay("url"), AsyncResult[int])
    assert_type(fetch.apply(("url",)).get(), int)
    assert_type(bound_coroutine.delay("a"), AsyncResult[list[str]])

    async def main() -> None:
        assert_type(await assert_type(fetch("url"), Coroutine[Any, Any, int]), int)
        assert_type(await wait(1.0), str)
        assert_type(await bound_coroutine("a"), list[str])
        assert_type(await add.adelay(1), AsyncResult[int])
        assert_type(await fetch.aapply_async(("url",)), AsyncResult[int])
        assert_type(await add.adelay_many([(1,)]), list[AsyncResult[int]])
        assert_type(await (await fetch.aapply(("url",))).aget(), int)

    asyncio.run(main())


def test_signatures() -> None:
    assert_type(add.s(1), Signature[int])
    assert_type(add.si(1, 2), Signature[int])
    assert_type(fetch.s("url").delay(), AsyncResult[int])
    assert_type(add.s(1)(2), int)
    assert_type(add.s(1, 2).set(queue="q"), Signature[int])
    assert_type(add.s(1, 2).freeze(), AsyncResult[int])
    assert_type(app.publish_many(add.s(number) for number in range(2)), list[AsyncResult[int]])
    assert_type(app.send_task("elsewhere"), AsyncResult[Any])


def test_a_function_may_take_any_task_with_its_result() -> None:
    def send(task: Task[[int], str]) -> AsyncResult[str]:
        return task.delay(1)

    assert_type(send(shared), AsyncResult[str])


def returns_a_decorator() -> None:
    """Decorated methods and lambdas keep their types."""
    assert_type(app.task(lambda: 5), Task[[], int])
