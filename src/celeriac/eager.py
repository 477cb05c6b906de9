"""Running a task in place, by the very code that workers use: a message is built, serialised, read, run, encoded.

Owns what a worker and a broker would do around it: retries at once, links, the result.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from celeriac import states
from celeriac.calling import publish
from celeriac.eager_result import EagerResult
from celeriac.loops import call_in_new_thread, loop_is_running
from celeriac.message import Publication
from celeriac.outcome import Failed, Flow, Outcome, ResultRecord, Retried, Succeeded, TimedOut
from celeriac.protocol.origin import host_name
from celeriac.publications import Call, make_publication
from celeriac.result_meta import decode_meta

if TYPE_CHECKING:
    from celeriac.app import Celeriac
    from celeriac.attempt import Attempt
    from celeriac.task import Task

#: A run: yields attempts, is sent what they came to.
_Run: TypeAlias = "Generator[Attempt, Outcome, EagerResult[Any]]"


def run(
    task: Task[Any, Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    options: Mapping[str, Any],
    throw: bool | None = None,
) -> EagerResult[Any]:
    """See `Task.apply`."""
    steps = _run_call(task, args, kwargs, options)
    attempt = next(steps)
    while True:
        try:
            attempt = steps.send(_run_attempt(attempt))
        except StopIteration as stop:
            return _concluded(task.app, stop.value, throw)


async def arun(
    task: Task[Any, Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    options: Mapping[str, Any],
    throw: bool | None = None,
) -> EagerResult[Any]:
    """See `Task.aapply`."""
    steps = _run_call(task, args, kwargs, options)
    attempt = next(steps)
    while True:
        try:
            attempt = steps.send(await attempt.arun())
        except StopIteration as stop:
            return _concluded(task.app, stop.value, throw)


def _concluded(app: Celeriac, result: EagerResult[Any], throw: bool | None) -> EagerResult[Any]:
    propagates = app.conf.task_eager_propagates if throw is None else throw
    if propagates and result.state in states.PROPAGATE_STATES:
        result.get()
    return result


def _run_call(task: Task[Any, Any], args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]) -> _Run:
    publication = make_publication(task.app, Call(task.name, args, kwargs, options, task))
    return (yield from _run_publication(task.app, publication, store=task.store_eager_result))


def _run_publication(app: Celeriac, publication: Publication, *, store: bool) -> _Run:
    from celeriac.attempt import Attempt, Job, Site  # noqa: PLC0415 - start-up time: few programs run tasks in place

    site = Site(hostname=host_name(), pid=os.getpid(), is_eager=True)
    message = publication.message
    while True:
        attempt = Attempt(app, Job(0, message, publication.queue, priority=publication.priority), site)
        outcome = yield attempt
        if not isinstance(outcome, Retried):
            break
        message = outcome.message
    if isinstance(outcome, Succeeded | Failed | TimedOut):
        record = outcome.result
        ignored = attempt.conclusion is None or attempt.conclusion.request.ignore_result
        if store and record is not None and not ignored:
            app.backend.store([record])
        yield from _follow_up(app, outcome.follow_ups, outcome.flow)
    return _result(app, attempt, outcome)


def _follow_up(
    app: Celeriac, publications: Sequence[Publication], flow: Flow | None
) -> Generator[Attempt, Outcome, None]:
    """Links run in place, too, if everything does; else they are sent."""
    if not app.conf.task_always_eager:
        if publications:
            publish(app, publications, flow.starts if flow is not None else ())
        return
    for publication in publications:
        task = app.tasks.find(publication.message.headers["task"])
        yield from _run_publication(app, publication, store=task is not None and task.store_eager_result)


def _result(app: Celeriac, attempt: Attempt, outcome: Outcome) -> EagerResult[Any]:
    if attempt.conclusion is None:
        error = attempt.refusal.error if attempt.refusal is not None else None
        return EagerResult(attempt.task_id, error, states.FAILURE, name=attempt.name, app=app)
    conclusion = attempt.conclusion
    value = conclusion.retval
    if isinstance(outcome, Succeeded) and outcome.result is not None:
        value = _as_stored(app, outcome.result)
    return EagerResult(
        attempt.task_id,
        value,
        conclusion.state,
        conclusion.einfo.traceback if conclusion.einfo is not None else None,
        attempt.name,
        app,
        conclusion.request.children,
    )


def _as_stored(app: Celeriac, record: ResultRecord) -> Any:
    """The value as a caller elsewhere would get it: a tuple is a list, for one."""
    serializer = app.conf.result_serializer
    return decode_meta(record.meta, serializer=serializer, accept=(serializer,))["result"]


def _run_attempt(attempt: Attempt) -> Outcome:
    """Run it in this thread, unless it is a coroutine and a loop runs here already, which can not be nested."""
    if attempt.is_coroutine and loop_is_running():
        return call_in_new_thread(attempt.run)
    return attempt.run()
