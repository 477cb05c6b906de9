"""Tasks and results that are pickled or copied, as `multiprocessing` and `dataclasses.asdict` do."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from celeriac import Celeriac, EagerResult, shared_task
from celeriac.exceptions import NotRegistered


def there_and_back(thing: Any) -> Any:
    return pickle.loads(pickle.dumps(thing))


def test_a_task_could_not_be_pickled(app: Celeriac) -> None:
    app.set_current()

    @app.task
    def add(x: int, y: int) -> int:
        return x + y

    assert there_and_back(add) is add
    assert copy.deepcopy([add]) == [add]
    assert copy.copy(add) is add


def test_of_two_apps_of_one_name_the_current_one_is_asked(app: Celeriac) -> None:
    twin = Celeriac(app.main, broker="memory://")
    app.set_current()
    mine, other = app.task(name="same")(print), twin.task(name="same")(print)
    assert there_and_back(mine) is mine
    twin.set_current()
    assert there_and_back(mine) is other


def test_a_shared_task_is_pickled_as_the_shared_one() -> None:
    @shared_task(name="pickled.shared")
    def add(x: int, y: int) -> int:
        return x + y

    assert there_and_back(add) is add


def test_a_pickled_task_that_is_not_there(app: Celeriac) -> None:
    dumped = pickle.dumps(app.task(name="gone")(print))
    app.tasks.unregister("gone")
    with pytest.raises(NotRegistered, match="'gone' of app 'tests'"):
        pickle.loads(dumped)


def test_a_result_could_not_be_pickled(app: Celeriac) -> None:
    app.set_current()
    result = app.task(name="t", ignore_result=True)(print).delay()
    result.parent = app.AsyncResult("before")
    again = there_and_back(result)
    assert again == result
    assert again.app is app
    assert (again.ignored, again.parent) == (True, result.parent)
    twin = copy.deepcopy(result)
    assert twin is not result
    assert (twin.id, twin.app, twin.ignored) == (result.id, app, True)


def test_an_eager_result_keeps_its_value(app: Celeriac) -> None:
    app.set_current()

    @app.task
    def fail() -> None:
        raise ValueError("boom")

    for result in (fail.apply(), there_and_back(fail.apply()), copy.copy(fail.apply()), copy.deepcopy(fail.apply())):
        assert isinstance(result, EagerResult)
        assert result.state == "FAILURE"
        with pytest.raises(ValueError, match="boom"):
            result.get()
