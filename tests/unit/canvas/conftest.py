"""Tasks that workflows are made of."""

from __future__ import annotations

from typing import Any

import pytest

from canvas_tasks import Tasks
from celeriac import Celeriac


@pytest.fixture
def tasks(app: Celeriac) -> Tasks:
    seen: list[tuple[str, Any]] = []

    @app.task(name="sums.add")
    def add(x: int, y: int) -> int:
        seen.append(("add", (x, y)))
        return x + y

    @app.task(name="sums.total")
    def total(numbers: list[int]) -> int:
        seen.append(("total", numbers))
        return sum(numbers)

    @app.task(name="sums.echo")
    def echo(*args: Any) -> Any:
        seen.append(("echo", args))
        return list(args)

    @app.task(name="sums.boom")
    def boom(*args: Any) -> Any:
        seen.append(("boom", args))
        raise ValueError("boom")

    @app.task(name="sums.later")
    async def later(x: int, y: int) -> int:
        seen.append(("later", (x, y)))
        return x + y

    return Tasks(add, total, echo, boom, later, seen)
