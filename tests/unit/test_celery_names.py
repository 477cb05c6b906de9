"""What a program that comes from Celery finds under Celery's names, and what it is told about the others."""

from __future__ import annotations

from typing import Any

import pytest

import celeriac
from celeriac import AsyncResult, Celeriac, Task, current_app, current_task, signature, subtask
from celeriac.celery_names import tell_what_is_missing
from celeriac.exceptions import MissingAttribute, NotSupported
from celeriac.testing import VirtualClock


@pytest.mark.parametrize(
    ("name", "cure"),
    [
        ("Celery", "Celeriac"),
    ],
)
def test_a_name_of_celerys_that_is_not_here_was_a_bare_import_error(name: str, cure: str) -> None:
    with pytest.raises(ImportError, match=cure) as caught:
        exec(f"from celeriac import {name}", {})
    assert name in str(caught.value)


def test_a_name_that_nobody_has_is_an_ordinary_error() -> None:
    assert not hasattr(celeriac, "nonsense")
    with pytest.raises(ImportError, match="cannot import name 'nonsense'"):
        exec("from celeriac import nonsense", {})


def test_subtask_is_signature() -> None:
    assert subtask is signature


def test_current_app_and_task_are_functions_and_say_so(app: Celeriac) -> None:
    app.set_current()
    assert current_app() is app
    with pytest.raises(AttributeError, match=r"write current_app\(\)\.conf"):
        current_app.conf  # type: ignore[attr-defined]  # noqa: B018
    assert current_task() is None
    assert app.current_task is None

    @app.task
    def who() -> list[str]:
        task = current_task()
        assert task is not None
        assert task is app.current_task
        return [task.name]

    assert who.apply().get() == [who.name]
    assert repr(current_task) == "<function current_task>"


@pytest.mark.parametrize("name", ["control", "add_periodic_task", "connection", "amqp"])
def test_an_app_tells_what_it_has_instead(app: Celeriac, name: str) -> None:
    check_missing(app, name)


@pytest.mark.parametrize("name", ["send_event", "add_trail"])
def test_a_task_tells_what_it_has_instead(app: Celeriac, name: str) -> None:
    check_missing(app.task(print), name)


@pytest.mark.parametrize("name", ["revoke", "revoke_by_stamped_headers"])
def test_a_result_tells_what_it_has_instead(app: Celeriac, name: str) -> None:
    check_missing(app.AsyncResult("1"), name)


def check_missing(thing: object, name: str) -> None:
    with pytest.raises(NotSupported, match=name):
        getattr(thing, name)
    with pytest.raises(MissingAttribute):
        getattr(type(thing), name)
    assert not hasattr(thing, name), "it must look missing to who asks"
    assert getattr(thing, name, 5) == 5


def test_a_subclass_can_have_what_is_missing() -> None:
    class Sending(Task[[], None]):
        def send_event(self) -> int:
            return 5

    assert Sending().send_event() == 5


def test_a_true_error_inside_a_property_is_not_hidden() -> None:
    class Broken(AsyncResult[Any]):
        @property
        def state(self) -> str:
            raise AttributeError("the true error")

    tell_what_is_missing(AsyncResult)  # once more does no harm
    with pytest.raises(AttributeError, match="the true error"):
        Broken("1", app=Celeriac("x", broker="memory://", set_as_current=False)).state  # noqa: B018


def test_celerys_idiom_of_a_base_class_bound_to_the_app(app: Celeriac, clock: VirtualClock) -> None:
    class Base(app.Task):  # type: ignore[name-defined,misc]  # pyright: ignore[reportAttributeAccessIssue, reportUntypedBaseClass]
        abstract = True

        def twice(self, text: str) -> str:
            return text + text

    assert app.Task is app.Task  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    assert issubclass(Base, Task)
    assert Base().app is app

    @app.task(base=Base, bind=True)  # type: ignore[untyped-decorator]
    def shout(self: Any, text: str) -> str:
        said: str = self.twice(text)
        return said

    class Whisper(Base):
        def run(self, text: str) -> str:
            return text.lower()

    other = Celeriac("other", broker="memory://", clock=clock)
    whisper = app.register_task(Whisper())
    assert shout.apply(("a",)).get() == "aa"
    assert whisper.apply(("A",)).get() == "a"
    assert whisper.app is app is not other


def test_results_of_several_tasks_tell_what_they_have_instead(app: Celeriac) -> None:
    check_missing(app.ResultSet([]), "revoke")
