"""Signatures: calls as data."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
from datetime import timedelta
from typing import Any

import pytest

from celeriac import Celeriac, Signature, Task, signature
from celeriac.exceptions import NotRegistered, NotSupported
from hand_worker import HandWorker


@pytest.fixture
def add(app: Celeriac) -> Task[[int, int], int]:
    @app.task(name="add", queue="of the task")
    def add(x: int, y: int) -> int:
        return x + y

    return add


def test_it_is_celerys_dictionary(add: Task[[int, int], int]) -> None:
    made = add.signature((1, 2), {}, immutable=True, countdown=3)
    assert json.loads(json.dumps(made)) == {
        "task": "add",
        "args": [1, 2],
        "kwargs": {},
        "options": {"countdown": 3},
        "subtask_type": None,
        "immutable": True,
    }
    assert made == add.si(1, 2).set(countdown=3)


def test_options_are_given_as_celery_has_them(app: Celeriac, add: Task[[int, int], int]) -> None:
    options = {"queue": "q", "countdown": 3}
    made = add.signature((1, 2), queue="q", countdown=3)
    assert add.signature((1, 2), options=options) == made
    assert add.signature((1, 2), {}, {"queue": "other"}, queue="q", countdown=3) == made
    assert app.signature("add", (1, 2), options=options) == made
    assert app.signature("add", (1, 2), {}, options) == made
    assert app.signature(add, (1, 2), options=options) == made
    assert signature("add", (1, 2), options=options) == made
    assert signature(add, (1, 2), {}, options) == made
    with pytest.raises(TypeError, match="no call option"):
        app.signature("add", options={"tenant": 1})


def test_calling_puts_arguments_in_front(add: Task[[int, int], int], worker: HandWorker) -> None:
    assert add.s(2)(40) == 42
    assert add.s()(2, y=3) == 5
    assert add.si(1, 2)(9, 9) == 3
    add.s(2).delay(40)
    asyncio.run(add.s(2).adelay(y=40))
    add.s(1, 2).set(queue="set").apply_async(queue="call")
    assert [d.message.headers["argsrepr"] for d in worker.waiting("of the task")] == ["(40, 2)", "(2,)"]
    assert len(worker.waiting("call")) == 1


def test_a_task_that_is_not_known_here_can_be_sent_but_not_called(app: Celeriac, worker: HandWorker) -> None:
    made = app.signature("elsewhere.log", ("text",))
    result = made.delay()
    asyncio.run(made.aapply_async())
    assert worker.waiting()[0].message.headers["id"] == result.id
    with pytest.raises(NotRegistered, match=r"elsewhere\.log"):
        made()


def test_apply_runs_in_place(add: Task[[int, int], int]) -> None:
    assert add.s(2).apply((40,)).get() == 42


def test_freeze_fixes_the_id(add: Task[[int, int], int], worker: HandWorker) -> None:
    made = add.s(1, 2)
    frozen = made.freeze()
    assert made.id == frozen.id == made.freeze().id
    assert made.delay() == frozen
    assert add.s(1, 2).freeze("mine").id == "mine"


def test_clone_and_replace_leave_the_first_alone(add: Task[[int, int], int]) -> None:
    made = add.s(1).set(countdown=1)
    twin = made.clone((5,), {"y": 2}, priority=3)
    assert (twin.args, twin.kwargs, twin.options) == ((5, 1), {"y": 2}, {"countdown": 1, "priority": 3})
    assert (made.args, made.kwargs, made.options) == ((1,), {}, {"countdown": 1})
    other = made.replace((9,), {"y": 0}, {"queue": "q"})
    assert (other.args, other.kwargs, other.options) == ((9,), {"y": 0}, {"queue": "q"})
    assert made.replace() == made
    for copied in (copy.copy(made), copy.deepcopy(made), pickle.loads(pickle.dumps(made)), signature(made)):
        assert copied == made
        assert copied is not made
        assert isinstance(copied, Signature)
        copied.options["x"] = 1
    assert made.options == {"countdown": 1}


def test_links_are_collected_once(add: Task[[int, int], int]) -> None:
    made = add.s(1, 2)
    log = add.s(3)
    assert made.link(log) is log
    made.link(log)
    assert made.on_error(add.s()) is made
    made.link_error(add.s(1))
    assert made.options["link"] == [log]
    assert made.options["link_error"] == [add.s(), add.s(1)]


def test_set(add: Task[[int, int], int]) -> None:
    made = add.s(1).set(immutable=True, queue="q")
    assert made.immutable
    assert made.options == {"queue": "q"}
    made.set_immutable(False)
    assert not made.immutable


def test_from_dictionaries(app: Celeriac) -> None:
    made = signature({"task": "t", "args": [1]}, app=app)
    assert (made.task, made.name, made.args, made.kwargs, made.options) == ("t", "t", (1,), {}, {})
    assert made.app is app
    assert repr(signature("t", (1,), {"x": "y"}, {"queue": "q"}, priority=2)) == "t(1, x='y')"
    assert signature("t", options={"queue": "q"}, priority=2).options == {"queue": "q", "priority": 2}
    assert app.signature("t", immutable=True).immutable
    with pytest.raises(NotSupported, match="a quartet is no type"):
        Signature.from_dict({"task": "celery.quartet", "subtask_type": "quartet"})
    with pytest.raises(NotSupported, match="without a task"):
        Signature.from_dict({"args": []})


def test_the_current_app_sends_what_belongs_to_none(app: Celeriac, worker: HandWorker) -> None:
    signature("t").delay()
    assert len(worker.waiting()) == 1


def test_the_type_is_the_task(add: Task[[int, int], int]) -> None:
    made: Signature[Any] = add.s()
    assert made.type is add
    assert made.reprcall(1, y=2) == "add(1, y=2)"


def test_a_pipe_takes_dictionaries_of_signatures_too(add: Task[[int, int], int]) -> None:
    first: Any = add.s(1, 2)
    made = first | {"task": "add", "args": [3]}
    assert repr(made) == "add(1, 2) | add(3)"
    assert repr({"task": "add"} | first) == "add() | add(1, 2)"
    first |= add.s(3)
    assert repr(first) == repr(made)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"coutndown": 3}, TypeError, "did you mean 'countdown'"),
        ({"countdown": "3"}, TypeError, "'countdown' of task add"),
        ({"priority": 33}, ValueError, "from 0 to 9"),
        ({"link": "add"}, TypeError, r"task\.s"),
    ],
)
def test_options_of_signatures_are_checked_where_they_are_given(
    add: Task[[int, int], int], options: dict[str, Any], error: type[Exception], text: str
) -> None:
    for give in (
        lambda: add.signature((1, 2), **options),
        lambda: signature("add", options=options),
        lambda: signature("add", **options),
        lambda: add.s(1, 2).set(**options),
        lambda: add.s(1, 2).clone(**options),
        lambda: add.s(1, 2).replace(options=options),
        lambda: add.s(1, 2).apply_async(**options),
    ):
        with pytest.raises(error, match=text):
            give()


def test_a_timedelta_in_a_signature_becomes_a_number_so_that_it_can_be_sent(
    add: Task[[int, int], int], worker: HandWorker
) -> None:
    made = add.s(1).set(countdown=timedelta(minutes=1))
    assert made.options == {"countdown": 60}
    add.apply_async((1, 2), link=made)
    assert b'"countdown": 60' in worker.waiting("of the task")[0].message.body


@pytest.mark.parametrize("link", ["add", 3, {"args": ()}])
def test_only_signatures_are_linked(add: Task[[int, int], int], link: Any) -> None:
    with pytest.raises(TypeError, match=r"task\.s"):
        add.s(1, 2).link(link)
    with pytest.raises(TypeError, match=r"task\.s"):
        add.s(1, 2).on_error(link)


def test_what_is_no_signature(app: Celeriac, add: Task[[int, int], int]) -> None:
    wrong: Any = 3
    with pytest.raises(TypeError, match="not of 3"):
        signature(wrong)
    with pytest.raises(TypeError, match="the args of task add must be a list or tuple, not 'ab'"):
        add.signature("ab")
    with pytest.raises(TypeError, match="the kwargs of task add must be a mapping"):
        add.signature((), wrong)
    with pytest.raises(TypeError, match=r"publish_many takes signatures, such as task\.s"):
        app.publish_many([wrong])
    with pytest.raises(TypeError, match=r"publish_many takes signatures, such as task\.s"):
        app.publish_many([add])  # type: ignore[arg-type]
