"""Calls that type checkers must refuse.

Each line would be an unused `type: ignore`, which mypy reports, if it were accepted. What is wrong here is also
refused where it runs.
"""

from __future__ import annotations

import pytest

from celeriac import AsyncResult, Celeriac, Task

app = Celeriac("mistakes", broker="memory://mistakes")


@app.task
def add(x: int, y: int = 0) -> int:
    return x + y


@app.task(bind=True)
def bound(self: Task[..., object], text: str) -> str:
    return text


@app.task
async def fetch(url: str) -> int:
    return len(url)


def test_arguments() -> None:
    with pytest.raises(TypeError):
        add.delay()  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        add.delay(1, 2, 3)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        add.delay(1, z=2)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        bound.delay()  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        fetch.delay()  # type: ignore[call-arg]
    signature = add.si(1, z=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        signature.delay()


def test_values_are_not_looked_at_when_it_runs() -> None:
    add.delay("1")  # type: ignore[arg-type]
    bound.delay(5)  # type: ignore[arg-type]
    fetch.delay(b"url")  # type: ignore[arg-type]


def test_results() -> None:
    wrong: AsyncResult[str] = add.delay(1)  # type: ignore[assignment]
    awaited: AsyncResult[str] = fetch.delay("url")  # type: ignore[assignment]
    assert wrong.id != awaited.id


def test_options() -> None:
    with pytest.raises(TypeError):
        add.apply_async((1,), coutndown=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="priority"):
        add.apply_async((1,), priority="high")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        app.task(max_retry=3)(lambda: None)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="executor"):
        app.task(executor="gpu")(lambda: None)  # type: ignore[call-overload]
