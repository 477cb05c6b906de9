"""The registry of tasks."""

from __future__ import annotations

import warnings

import pytest

from celeriac import Celeriac, Task
from celeriac.exceptions import AlreadyRegistered, DuplicateTaskNameWarning, NotRegistered
from celeriac.registry import Registry


def one() -> None: ...


def two() -> None: ...


def test_a_mapping_of_names(app: Celeriac) -> None:
    task = app.task(name="proj.tasks.add")(one)
    assert app.tasks["proj.tasks.add"] is app.tasks.find("proj.tasks.add") is task
    assert app.tasks.get("nothing") is app.tasks.find("nothing") is None
    registry = Registry()
    registry.register(task)
    assert list(registry) == ["proj.tasks.add"]
    assert "proj.tasks.add" in registry
    assert len(registry) == 1
    assert repr(registry) == "<Registry: proj.tasks.add>"


def test_a_missing_name_is_told_with_the_nearest_ones_and_the_cure(app: Celeriac) -> None:
    app.task(name="proj.tasks.add")(one)
    with pytest.raises(NotRegistered) as caught:
        app.tasks["proj.task.add"]
    assert "'proj.task.add'" in str(caught.value)
    assert "Did you mean proj.tasks.add?" in str(caught.value)
    assert "include" in str(caught.value)


def test_a_name_from_another_module_is_a_near_one(app: Celeriac) -> None:
    app.task(name="a.very.different.package.add")(one)
    assert "Did you mean a.very.different.package.add?" in app.tasks.describe_missing("x.add")


def test_another_function_of_the_same_name_warns_and_wins(app: Celeriac) -> None:
    app.task(name="same")(one)
    with pytest.warns(DuplicateTaskNameWarning, match=r"same.*one.*two"):
        second = app.task(name="same")(two)
    assert app.tasks["same"] is second


def test_the_same_function_again_is_no_duplicate(app: Celeriac) -> None:
    app.task(name="same")(one)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = app.task(name="same")(one)
    assert app.tasks["same"] is again


def test_unregister(app: Celeriac) -> None:
    task = app.task(name="gone")(one)
    app.tasks.unregister(task)
    assert "gone" not in app.tasks
    with pytest.raises(NotRegistered):
        app.tasks.unregister("gone")


def test_a_task_needs_a_name() -> None:
    with pytest.raises(AlreadyRegistered, match="no name"):
        Registry().register(Task[[], None]())
