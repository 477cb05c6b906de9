"""How deeply workflows can be nested: a bound that holds for all of them, told before anything is sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from canvas_tasks import Tasks
from celeriac import Celeriac, Signature, chain, chord, group
from celeriac.attempt import Attempt, Job
from celeriac.canvas.steps import MAX_DEPTH
from celeriac.message import Message
from celeriac.outcome import Failed, Unrunnable
from hand_worker import SITE, HandWorker, stored

TOO_DEEP = rf"at most {MAX_DEPTH} chains, groups and chords .* raise self\.replace"


def _in_headers(tasks: Tasks, depth: int) -> Signature[Any]:
    workflow: Signature[Any] = tasks.echo.si("first")
    for _ in range(depth):
        workflow = chord([workflow, tasks.echo.si()], tasks.echo.s())
    return workflow


def _in_bodies(tasks: Tasks, depth: int) -> Signature[Any]:
    workflow: Signature[Any] = tasks.echo.si("last")
    for _ in range(depth):
        workflow = chord([tasks.echo.si(), tasks.echo.si()], workflow)
    return workflow


def _in_chains(tasks: Tasks, depth: int) -> Signature[Any]:
    workflow: Signature[Any] = tasks.echo.si("first")
    for number in range(depth):
        workflow = chain(tasks.echo.si(), workflow) if number % 2 else group([workflow, tasks.echo.si()])
    return workflow


@pytest.mark.parametrize("nested", [_in_headers, _in_bodies, _in_chains])
def test_as_deep_as_can_be(tasks: Tasks, worker: HandWorker, nested: Callable[[Tasks, int], Signature[Any]]) -> None:
    result = nested(tasks, MAX_DEPTH).apply_async()
    worker.finish()
    assert result.successful()


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 400])
@pytest.mark.parametrize("nested", [_in_headers, _in_bodies])
@pytest.mark.parametrize("in_a_group", [False, True])
def test_deeper_is_refused_before_anything_is_sent(
    tasks: Tasks, worker: HandWorker, nested: Callable[[Tasks, int], Signature[Any]], depth: int, in_a_group: bool
) -> None:
    workflow = nested(tasks, depth - in_a_group)
    with pytest.raises(ValueError, match=TOO_DEEP):
        (group([workflow]) if in_a_group else workflow).apply_async()
    assert worker.waiting() == []


def test_what_is_too_deep_to_be_made(tasks: Tasks) -> None:
    def nested(depth: int) -> Signature[Any]:
        workflow: Signature[Any] = tasks.echo.si()
        for _ in range(depth):
            workflow = chain(tasks.echo.si(), group([workflow, tasks.echo.si()]), tasks.echo.s())
        return workflow

    with pytest.raises(ValueError, match=TOO_DEEP):
        nested(1000)


def test_groups_in_a_long_chain_are_not_within_each_other(tasks: Tasks, worker: HandWorker) -> None:
    steps: list[Signature[Any]] = []
    for _ in range(60):
        steps += [group([tasks.echo.si(), tasks.echo.si()]), tasks.echo.si()]
    result = chain(*steps).apply_async()
    worker.finish()
    assert result.successful()


def test_chains_in_chains_are_one_chain(tasks: Tasks, worker: HandWorker) -> None:
    workflow: Signature[Any] = tasks.echo.si()
    for _ in range(3 * MAX_DEPTH):
        workflow = chain(tasks.echo.si(), workflow)
    result = workflow.apply_async()
    worker.finish()
    assert result.successful()


@pytest.mark.parametrize("place", ["callbacks", "chain"])
def test_a_message_with_more_is_refused_and_said_so(app: Celeriac, tasks: Tasks, place: str) -> None:
    following: dict[str, Any] = {"task": "sums.echo"}
    for _ in range(MAX_DEPTH + 1):
        header = {"task": "celery.group", "kwargs": {"tasks": [following, following]}}
        following = {"task": "celery.chord", "kwargs": {"header": header, "body": {"task": "sums.echo"}}}
        following["kwargs"]["header"]["kwargs"]["tasks"][1] = {"task": "sums.echo"}
    body = json.dumps([[1, 2], {}, {place: [following]}]).encode()
    properties = {"content_type": "application/json", "content_encoding": "utf-8"}
    message = Message({"task": "sums.add", "id": "x"}, properties, body)
    outcome = Attempt(app, Job(1, message, "celery"), SITE).run()
    assert isinstance(outcome, Unrunnable)
    assert "nested too deeply" in outcome.reason
    assert tasks.seen == []
    assert "nested too deeply" in str(stored(outcome)["result"])


def test_a_replacement_that_is_too_deep_fails_its_task(app: Celeriac, tasks: Tasks) -> None:
    @app.task(name="replaces", bind=True)
    def replaces(self: Any) -> Any:
        return self.replace(_in_headers(tasks, MAX_DEPTH + 1))

    worker = HandWorker(app)
    result = replaces.delay()
    (outcome,) = worker.run()
    assert isinstance(outcome, Failed)
    with pytest.raises(ValueError, match=TOO_DEEP):
        result.get(timeout=1)
