"""Tasks with pydantic=True."""

from __future__ import annotations

import sys
from datetime import date
from typing import Any

import pytest
from pydantic import BaseModel, Field, ValidationError

from celeriac import Celeriac
from celeriac.exceptions import ImproperlyConfigured
from hand_worker import HandWorker


class Item(BaseModel):
    name: str
    day: date = date(2026, 1, 2)


class Secret(BaseModel):
    name: str
    key: str = Field(default="", exclude=True)


def test_models_travel_as_json(app: Celeriac, worker: HandWorker) -> None:
    seen: list[Any] = []

    @app.task(pydantic=True)
    def task(item: Item, more: list[Item], one: Item | None, by_name: dict[str, Item], number: int) -> Item:
        seen.append((item, more, one, by_name, number))
        return item

    item = Item(name="a")
    result = task.delay(item, [item], one=None, by_name={"x": item}, number=5)
    assert worker.waiting()[0].message.body.startswith(b'[[{"name": "a", "day": "2026-01-02"}, [{')
    worker.run()
    assert seen == [(item, [item], None, {"x": item}, 5)]
    assert result.get(timeout=0) == {"name": "a", "day": "2026-01-02"}  # type: ignore[comparison-overlap]


def test_dictionaries_do_as_well(app: Celeriac) -> None:
    @app.task(pydantic=True, bind=True)
    def task(self: Any, item: Item) -> str:
        return item.name

    assert task.apply(({"name": "b"},)).get() == "b"


def test_what_does_not_fit_is_the_tasks_failure(app: Celeriac) -> None:
    @app.task(pydantic=True)
    def task(item: Item) -> None: ...

    assert isinstance(task.apply(({"nome": "b"},)).result, ValidationError)


def test_what_would_be_lost_is_an_error_at_the_call(app: Celeriac, worker: HandWorker) -> None:
    @app.task(pydantic=True)
    def task(secret: Secret) -> None: ...

    with pytest.raises(TypeError, match="secret"):
        task.delay(Secret(name="a", key="k"))
    task.delay(Secret(name="a"))
    assert len(worker.waiting()) == 1


def test_strict_context_and_dump_options(app: Celeriac) -> None:
    from pydantic import ValidationInfo, field_validator

    class Checked(BaseModel):
        number: int

        @field_validator("number")
        @classmethod
        def add_offset(cls, value: int, info: ValidationInfo) -> int:
            return value + (info.context or {}).get("offset", 0)  # type: ignore[no-any-return]

    def function(item: Checked) -> Checked:
        return item

    function.__annotations__ = {"item": Checked, "return": Checked}
    lax = app.task(name="lax", pydantic=True, pydantic_context={"offset": 1})(function)
    assert lax.apply(({"number": "5"},)).get() == {"number": 6}  # type: ignore[comparison-overlap]
    strict = app.task(name="strict", pydantic=True, pydantic_strict=True)(function)
    assert strict.apply(({"number": "5"},)).failed()
    dumped = app.task(name="dumped", pydantic=True, pydantic_dump_kwargs={"exclude": {"number"}})(function)
    assert dumped.apply(({"number": 5},)).get() == {}  # type: ignore[comparison-overlap]


def test_retry_with_another_model(app: Celeriac) -> None:
    @app.task(pydantic=True, bind=True)
    def task(self: Any, item: Item) -> str:
        if self.request.retries == 0:
            raise self.retry((Item(name="again"),))
        return item.name

    assert task.apply(({"name": "first"},)).get() == "again"


def test_called_as_a_function_models_stay_models(app: Celeriac) -> None:
    @app.task(pydantic=True)
    def task(item: Item) -> Item:
        return item

    item = Item(name="a")
    assert task(item) is item


def test_without_pydantic(app: Celeriac, monkeypatch: pytest.MonkeyPatch) -> None:
    @app.task(pydantic=True)
    def task(item: Item) -> None: ...

    monkeypatch.setitem(sys.modules, "pydantic", None)
    with pytest.raises(ImproperlyConfigured, match=r"pip install celeriac\[pydantic\]"):
        task.delay(Item(name="a"))


def test_annotations_that_can_not_be_resolved(app: Celeriac) -> None:
    def function(item: Item) -> None: ...

    function.__annotations__["item"] = "NoSuchName"
    task = app.task(pydantic=True)(function)
    with pytest.raises(ImproperlyConfigured, match="NoSuchName"):
        task.delay(Item(name="a"))


def test_a_validation_error_arrived_without_its_text(app: Celeriac, worker: HandWorker) -> None:
    @app.task(pydantic=True)
    def order(count: int, item: Item) -> None: ...

    result = app.send_task(order.name, (1, {"nonsense": 1}))
    worker.run()
    error = result.get(timeout=0, propagate=False)
    assert type(error).__name__ == "ValidationError"
    assert "validation error" in str(error)
    assert result.traceback is not None
    assert f"argument 'item' of task {order.name}" in result.traceback
