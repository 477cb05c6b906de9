"""Celeriac's app of workflows, as the environment describes it: its tasks, and what a publisher sends."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.chaos.apps.celeriac_app import app
from benchmarks.chaos.journal import note
from benchmarks.chaos.tasks import task_id
from benchmarks.chaos.workflows.shapes import (
    KINDS,
    Chain,
    Chord,
    Group,
    Step,
    Tree,
    Value,
    kind_of,
    number_of,
    value,
    values,
)
from celeriac import Signature, Task, chain, chord, group

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["app", "build", "errback", "send", "step"]

_WORKER: Final = int(os.environ.get("CHAOS_WORKER", "0"))


class PlannedError(Exception):
    """The failure of a task that is meant to fail."""


def _note(task: Task[..., object], event: str, number: int) -> None:
    again = bool((task.request.delivery_info or {}).get("redelivered"))
    note(Path(os.environ["CHAOS_FOLDER"]) / "journal", event, number, _WORKER, again=again)


@app.task(name="chaos.step", bind=True)
def step(
    self: Task[..., object],
    *got: Value,
    number: int,
    seconds: float,
    wants: list[Value],
    fails: bool = False,
    adds: int | None = None,
) -> int:
    """Take so many seconds; the number.

    Raises:
        PlannedError: it was to fail.
        ValueError: what it got from those before it is not what it wants.
    """
    _note(self, "S", number)
    time.sleep(seconds)
    _note(self, "E", number)
    if fails:
        raise PlannedError(f"{number} fails")
    if list(got) != wants:
        raise ValueError(f"{number} got {got}, not {wants}")
    if adds is not None:
        self.add_to_chord(step.s(number=adds, seconds=seconds, wants=[]).set(task_id=task_id(adds)))
    return number


@app.task(name="chaos.errback", bind=True)
def errback(self: Task[..., object], failed: str, *, number: int, wants: str) -> None:
    """Note that it was called.

    Raises:
        ValueError: for another task than `wants`.
    """
    _note(self, "S", number)
    _note(self, "E", number)
    if failed != wants:
        raise ValueError(f"{number} was called for {failed}, not for {wants}")


class _Builder:
    """Builds workflow number `workflow`, whose tasks take `seconds` each."""

    def __init__(self, workflow: int, seconds: float) -> None:
        self._workflow = workflow
        self._seconds = seconds

    def build(self, tree: Tree, before: list[Value]) -> Signature[Any]:
        """`before` is what the first tasks get from those before them: one thing or nothing."""
        match tree:
            case Step():
                return self._step(tree, before)
            case Chain(parts):
                return chain(*self._parts(parts, before))
            case Group(members):
                return group([self.build(member, before) for member in members])
            case Chord(header, body):
                return chord([self.build(member, before) for member in header], self._step(body, [values(header)]))

    def _parts(self, parts: tuple[Tree, ...], before: list[Value]) -> Iterator[Signature[Any]]:
        for part in parts:
            yield self.build(part, before)
            before = [value(part)]

    def _step(self, one: Step, before: list[Value]) -> Signature[Any]:
        number = number_of(self._workflow, one.number)
        wants = [self._numbered(each) for each in before]
        signature = step.s(number=number, seconds=self._seconds, wants=wants, fails=one.fails)
        if one.adds is not None:
            signature.kwargs["adds"] = number_of(self._workflow, one.adds)
        signature.set(task_id=task_id(number))
        if one.errback is not None:
            signature.link_error(errback.s(number=number_of(self._workflow, one.errback), wants=task_id(number)))
        return signature

    def _numbered(self, of: Value) -> Value:
        return [self._numbered(each) for each in of] if isinstance(of, list) else number_of(self._workflow, of)


def build(workflow: int, seconds: float) -> Signature[Any]:
    """The workflow of this number."""
    return _Builder(workflow, seconds).build(KINDS[kind_of(workflow)], [])


def send(first: int, count: int, seconds: float) -> None:
    """Publish workflows numbered from `first`."""
    for workflow in range(first, first + count):
        build(workflow, seconds).apply_async()
