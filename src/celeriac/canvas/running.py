"""Workflows that run in place: what comes after what, values handed on, and what a failure does to the rest.

Owns the order. The parts are run by their own `apply` or `aapply`, so each function here yields what is to be run next
and is sent its result. Knows signatures by their methods only.
"""

from __future__ import annotations

import logging
from collections.abc import Coroutine, Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, cast

from celeriac import states
from celeriac.canvas.freezing import new_id
from celeriac.canvas.results import origin_of
from celeriac.eager_result import EagerResult
from celeriac.exceptions import ChordError
from celeriac.group_result import GroupResult
from celeriac.loops import run_to_end
from celeriac.request import Request
from celeriac.result import AnyResult, AsyncResult

if TYPE_CHECKING:
    from celeriac.app import Celeriac
    from celeriac.canvas.signature import Signature

logger = logging.getLogger("celeriac.task")

#: Options of a chain that are its last task's.
_OF_LAST: Final = frozenset({"task_id", "group_id", "group_index", "chord", "chain"})
_CALLBACKS: Final = frozenset({"link", "link_error"})
#: Options of a chord that its header has not, and those that its body has not.
_NOT_OF_HEADER: Final = _OF_LAST | _CALLBACKS
_NOT_OF_BODY: Final = frozenset({"countdown", "eta", "parent_id"}) | _CALLBACKS


class Step(NamedTuple):
    """What is to be run next."""

    signature: Signature[Any]
    args: Sequence[Any]
    kwargs: Mapping[str, Any] | None
    options: Mapping[str, Any]


#: A workflow on its way.
Run: TypeAlias = Generator[Step, AnyResult, AnyResult]


def run(steps: Run) -> AnyResult:
    """Run a workflow here and now."""
    step, result = _advance(steps, None)
    while step is not None:
        step, result = _advance(steps, step.signature.apply(step.args, step.kwargs, **step.options))
    assert result is not None
    return result


async def arun(steps: Run) -> AnyResult:
    """Run a workflow in this loop."""
    step, result = _advance(steps, None)
    while step is not None:
        step, result = _advance(steps, await step.signature.aapply(step.args, step.kwargs, **step.options))
    assert result is not None
    return result


def _advance(steps: Run, done: AnyResult | None) -> tuple[Step | None, AnyResult | None]:
    """What is to be run next, or the result of the whole."""
    try:
        return (next(steps) if done is None else steps.send(done)), None
    except StopIteration as stop:
        return None, stop.value


def run_chain(
    app: Celeriac,
    steps: Sequence[Signature[Any]],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    options: Mapping[str, Any],
) -> Run:
    """Each step gets the result of the one before it."""
    if not steps:
        raise ValueError("an empty chain has no result: give chain() at least one signature")
    before: AnyResult | None = None
    for index, step in enumerate(steps):
        is_last = index == len(steps) - 1
        chosen = _options_of_step(step, options, is_first=index == 0, is_last=is_last)
        linked = _linked(step, options, is_last=is_last)
        if before is None:
            result = yield Step(linked, args, kwargs, chosen)
        else:
            failed = next(_failures(before), None)
            if failed is not None and failed.state not in states.PROPAGATE_STATES:
                return before  # ignored or rejected: nothing is said of what would have come next
            error = _error_for_next(before, failed)
            if error is None:
                result = yield Step(linked, (_value_of(before),), None, chosen)
            else:
                result = _failed(app, linked, error, is_body=isinstance(before, GroupResult))
            origin_of(result).parent = before
        before = result
    assert before is not None
    return before


def _options_of_step(
    step: Signature[Any], options: Mapping[str, Any], *, is_first: bool, is_last: bool
) -> dict[str, Any]:
    """Which options of a chain a step is given; links and errbacks are dealt with elsewhere."""
    chosen = {name: options[name] for name in ("throw",) if name in options}
    if is_first:
        chosen |= {name: value for name, value in options.items() if name not in _OF_LAST and name not in _CALLBACKS}
    if is_last:  # an id that it has stays
        chosen |= {name: value for name, value in options.items() if name in _OF_LAST and name not in step.options}
    return chosen


def _linked(step: Signature[Any], options: Mapping[str, Any], *, is_last: bool) -> Signature[Any]:
    """The step with the chain's errbacks, the last one with its callbacks."""
    links, errbacks = _listed(options, "link") if is_last else [], _listed(options, "link_error")
    if links and step.subtask_type == "group":
        raise TypeError("a group has no single end to link to: use a chord, chord(group, callback)")
    if links or errbacks:
        step = step.clone()
        for callback in links:
            step.link(callback)
        for errback in errbacks:
            step.link_error(errback)
    return step


def run_group(
    app: Celeriac,
    members: Sequence[Signature[Any]],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    options: Mapping[str, Any],
) -> Run:
    """One member after the other; all of them, whatever they come to."""
    group_id = options.get("task_id") or new_id()
    common = {name: value for name, value in options.items() if name != "task_id" and name not in _CALLBACKS}
    results: list[AnyResult] = []
    for index, member in enumerate(members):
        place = {"group_id": group_id, "group_index": index}
        results.append((yield Step(member, args, kwargs, {**common, **place})))
    return GroupResult(group_id, cast("Any", results), app=app)


def run_chord(
    app: Celeriac,
    header: Signature[Any],
    body: Signature[Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    options: Mapping[str, Any],
) -> Run:
    """The header, then the body with its results."""
    body = _linked(body, options, is_last=True)
    of_header = {name: value for name, value in options.items() if name not in _NOT_OF_HEADER}
    of_body = {name: value for name, value in options.items() if name not in _NOT_OF_BODY}
    if body.id is not None:
        of_body.pop("task_id", None)
    done = yield Step(header, args, kwargs, of_header)
    failed = next(_failures(done), None)
    error = _error_for_next(done, failed)
    if error is None:
        result = yield Step(body, (_value_of(done),), None, of_body)
    else:
        result = _failed(app, body, error, is_body=True)
    origin_of(result).parent = done
    return result


# -- results -----------------------------------------------------------------------------------------------------------


def _value_of(result: AnyResult) -> Any:
    return [_value_of(part) for part in _parts(result)] if isinstance(result, GroupResult) else result.result


def _parts(result: GroupResult) -> Sequence[AnyResult]:
    return cast("Sequence[AnyResult]", result.results)


def _failures(result: AnyResult) -> Iterator[AsyncResult[Any]]:
    """The tasks in it that have not succeeded."""
    if isinstance(result, GroupResult):
        for part in _parts(result):
            yield from _failures(part)
    elif result.state != states.SUCCESS:
        yield result


def _error_for_next(result: AnyResult, failed: AsyncResult[Any] | None) -> BaseException | None:
    """What the next step fails with: the error itself, or, after a group, that a member had it."""
    if failed is None:
        return None
    error = failed.result
    if isinstance(result, GroupResult) or not isinstance(error, BaseException):
        return ChordError(f"Dependency {failed.id} raised {error!r}")
    return error


def _failed(app: Celeriac, step: Signature[Any], error: BaseException, *, is_body: bool) -> AnyResult:
    """The result of a step that is not run. Only the body of a chord tells its errbacks."""
    if step.subtask_type == "group":
        flat: list[Signature[Any]] = cast("Any", step).flattened()
        members = [_failed(app, member, error, is_body=is_body) for member in flat]
        return GroupResult(step.id or new_id(), cast("Any", members), app=app)
    if step.subtask_type == "chord":
        return _failed(app, step.kwargs["body"], error, is_body=is_body)
    if step.subtask_type == "chain":
        first, *later = cast("Any", step).linked_steps()
        first = _linked(first, step.options, is_last=False)
        result = _failed(app, first, error, is_body=is_body)
        for task in later:
            before, result = result, _failed(app, task, error, is_body=False)
            origin_of(result).parent = before
        return result
    task_id = step.id or new_id()
    if is_body:
        _call_errbacks(app, step, task_id, error)
    return EagerResult(task_id, error, states.FAILURE, name=step.task, app=app)


def _call_errbacks(app: Celeriac, step: Signature[Any], task_id: str, error: BaseException) -> None:
    """Errbacks of a body that can not run, by Celery's rule: those that take it are called with the exception."""
    request = Request(id=task_id, task=step.task, kwargs=step.kwargs, is_eager=True, called_directly=False)
    for data in _listed(step.options, "link_error"):
        errback = type(step).from_dict(data, app)
        task = app.tasks.find(errback.task)
        try:
            if task is not None and task.is_errback_with_exception(errback):
                called: object = errback(request, error, None)
                if isinstance(called, Coroutine):
                    run_to_end(called)
            elif app.conf.task_always_eager:
                errback.apply((task_id,))
            else:
                errback.apply_async((task_id,))
        except Exception:
            logger.exception("Errback %s of task %s[%s] raised", errback.task, step.task, task_id)


def _listed(options: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    given = options.get(name)
    if given is None:
        return []
    return [given] if isinstance(given, Mapping) else list(given)
