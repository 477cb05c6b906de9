"""The attempt: one run of a task, from a message to an outcome.

Owns decoding, the request and the call, the same for functions and coroutines; what the run comes to is
`celeriac.conclusion`'s part. It writes nothing: what a run causes is in its `Outcome`. Knows nothing of
workers, processes or brokers.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextvars import Token
from typing import TYPE_CHECKING, Any, Final

import msgspec

from celeriac import states, unrunnable
from celeriac.conclusion import Conclusion
from celeriac.consequences import NOTHING, Consequences, of_failure, of_unreadable, together
from celeriac.exceptions import ContentDisallowed, DecodeError, InvalidTaskError, MessageTooLarge
from celeriac.follow_ups import await_errbacks, send_errbacks
from celeriac.loops import is_cancellation_of_caller, run_in_new_loop
from celeriac.message import Message
from celeriac.outcome import Discarded, Early, Outcome
from celeriac.protocol import Invocation, read_invocation
from celeriac.request import Request, current_request

if TYPE_CHECKING:
    from celeriac.app import Celeriac
    from celeriac.task import Task


logger = logging.getLogger("celeriac.task")


class Job(msgspec.Struct, array_like=True):
    """What an executor is given to run.

    Attributes:
        tag: the supervisor's handle.
        message: what was sent.
        queue: where it was taken from.
        losses: how often it was lost before.
        time_limit: hard time limit of this run in seconds.
        soft_time_limit: soft time limit of this run in seconds.
        announce: report the start.
        priority: the level it was stored at.
    """

    tag: int
    message: Message
    queue: str
    losses: int = 0
    time_limit: float | None = None
    soft_time_limit: float | None = None
    announce: bool = False
    priority: int = 0


class Site(msgspec.Struct, frozen=True):
    """Where attempts run.

    Attributes:
        hostname: the worker's node name.
        pid: of the process that runs them.
        is_eager: no worker: `Task.apply`.
        logfile: the worker's log file.
        loglevel: the worker's log level.
    """

    hostname: str
    pid: int
    is_eager: bool = False
    logfile: str | None = None
    loglevel: int = 30


_REFUSED: Final = (InvalidTaskError, ContentDisallowed, DecodeError, MessageTooLarge)


def is_own_task(name: object) -> bool:
    """It is one of this package's own, which only our workers run. What others send as a name may be anything."""
    return isinstance(name, str) and name.startswith("celeriac.")


class Attempt:
    """One run of one message.

    Args:
        app: whose task it is.
        job: what to run.
        site: where.

    Attributes:
        name: the task's name as far as it is known.
        task_id: the task's id as far as it is known.
        task: the task, after `prepare`, if there is one.
        refusal: why it can not be run, after `prepare`, if it can not.
        conclusion: what the run comes to, after `prepare`, if it can be run.
    """

    __slots__ = ("_prepared", "app", "conclusion", "job", "name", "refusal", "site", "task",
                 "task_id")  # fmt: skip

    def __init__(self, app: Celeriac, job: Job, site: Site) -> None:
        headers = job.message.headers
        self.app = app
        self.job = job
        self.site = site
        self.name: str = headers.get("task") or ""
        self.task_id: str = headers.get("id") or ""
        self.task: Task[Any, Any] | None = None
        self.refusal: unrunnable.Refusal | None = None
        self.conclusion: Conclusion | None = None
        self._prepared = False

    @property
    def is_coroutine(self) -> bool:
        """The task can be run, and is an `async def`: use `arun`."""
        return self.prepare() is None and self.task is not None and self.task.is_coroutine

    def prepare(self) -> Outcome | None:
        """Decode the message, find the task, make the request.

        Returns:
            What became of it if it can not be run; None if it can.
        """
        if not self._prepared:
            self._prepared = True
            self.refusal = self._prepare()
        return self.refusal.outcome if self.refusal is not None else None

    def _prepare(self) -> unrunnable.Refusal | None:
        app, job = self.app, self.job
        conf = app.conf
        try:
            invocation = read_invocation(
                job.message,
                # Tasks of our own are sent by workers, in JSON, whatever the program accepts from others.
                accept=(*conf.accept_content, "json") if is_own_task(self.name) else conf.accept_content,
                inflated_size_limit=conf.task_message_inflated_size_limit,
            )
        except _REFUSED as exc:
            unread = unrunnable.undecodable(app, job.message, exc)
            flow = of_unreadable(job.message.headers, exc, job.queue)
            return unread._replace(outcome=msgspec.structs.replace(unread.outcome, flow=flow))
        self.name, self.task_id = invocation.task, invocation.id
        task = app.tasks.find(invocation.task)
        if task is None:
            return self._concluded(unrunnable.unknown(app, job.message, invocation), invocation)
        if invocation.chain or invocation.chord or invocation.callbacks or invocation.errbacks:
            refusal = unrunnable.malformed(app, job.message, invocation, is_eager=self.site.is_eager)
            if refusal is not None:
                return self._concluded(refusal, invocation)
        if invocation.protocol == 1 and not self.site.is_eager:
            refusal = unrunnable.untimely(app, job.message, invocation)
            if refusal is not None:
                return self._concluded(refusal, invocation)
        self.task = task
        request = make_request(app, task, invocation, job, self.site)
        self.conclusion = Conclusion(app, task, request, invocation, job.message, job.queue, self.site.is_eager)
        return None

    def _concluded(self, refusal: unrunnable.Refusal, invocation: Invocation) -> unrunnable.Refusal:
        """The refusal with what it means for the workflow around the task."""
        outcome = refusal.outcome
        if isinstance(outcome, Early):
            return refusal
        discarded = isinstance(outcome, Discarded)  # expired: by Celery's rule no reason to call errbacks
        try:
            follows = failure_of_invocation(
                self.app,
                self.job.message,
                invocation,
                refusal.error,
                states.REVOKED if discarded else states.FAILURE,
                self.job.queue,
                calls_errbacks=not discarded,
            )
        except Exception:
            # What follows it is no workflow, which is why it was refused, or can not be encoded.
            logger.exception("Task %s[%s]: nobody can be told that it did not run", self.name, self.task_id)
            return refusal
        return refusal._replace(
            outcome=msgspec.structs.replace(outcome, follow_ups=follows.publications, flow=follows.flow)
        )

    def run(self) -> Outcome:
        """Run the task in this thread. A coroutine task gets a loop of its own."""
        refusal = self.prepare()
        if refusal is not None:
            return refusal
        task, conclusion, token = self._enter()
        try:
            try:
                retval = self._call(task, conclusion)
                if task.is_coroutine:
                    retval = run_in_new_loop(retval)
            except BaseException as exc:  # noqa: BLE001 - SystemExit of a task is that task's failure, too
                outcome = conclusion.after_exception(exc)
            else:
                outcome = conclusion.after_return(retval)
            if conclusion.errbacks:
                run_in_new_loop(await_errbacks(conclusion.request, conclusion.errbacks))
            return outcome
        finally:
            _leave(conclusion, token)

    async def arun(self) -> Outcome:
        """Run the task in this event loop.

        Raises:
            CancelledError: whoever awaits this was cancelled; the run has no outcome then.
        """
        refusal = self.prepare()
        if refusal is not None:
            return refusal
        task, conclusion, token = self._enter()
        try:
            try:
                retval = self._call(task, conclusion)
                if task.is_coroutine:
                    retval = await retval
            except BaseException as exc:
                if is_cancellation_of_caller(exc):
                    raise
                outcome = conclusion.after_exception(exc)
            else:
                outcome = conclusion.after_return(retval)
            if conclusion.errbacks:
                await await_errbacks(conclusion.request, conclusion.errbacks)
            return outcome
        finally:
            _leave(conclusion, token)

    def _enter(self) -> tuple[Task[Any, Any], Conclusion, Token[Request | None]]:
        assert self.task is not None
        assert self.conclusion is not None
        return self.task, self.conclusion, current_request.set(self.conclusion.request)

    @staticmethod
    def _call(task: Task[Any, Any], conclusion: Conclusion) -> Any:
        """Begin the run and call the task: gives what it returns, of an `async def` the coroutine."""
        conclusion.begin()
        request, call = conclusion.request, task.entry_point
        args: Sequence[Any] = request.args or ()
        kwargs: dict[str, Any] = request.kwargs or {}
        if task.models is not None:
            args, kwargs = task.models.load(args, kwargs)
        request.entered = call is not task
        return call(*args, **kwargs)


def _leave(conclusion: Conclusion, token: Token[Request | None]) -> None:
    current_request.reset(token)
    conclusion.forget_exception()


def failure_of(
    app: Celeriac, message: Message, exc: BaseException, status: str, queue: str, *, calls_errbacks: bool
) -> Consequences:
    """What the failure of a run means that can not speak for itself any more: lost, ended by force, never begun.

    Args:
        app: whose task it is.
        message: what was to be run.
        exc: what it failed with.
        status: FAILURE or REVOKED.
        queue: where the message was taken from.
        calls_errbacks: errbacks are called for this kind of failure.

    Raises:
        InvalidTaskError, ContentDisallowed, DecodeError, MessageTooLarge: the message can not be read.
    """
    conf = app.conf
    invocation = read_invocation(
        message, accept=conf.accept_content, inflated_size_limit=conf.task_message_inflated_size_limit
    )
    return failure_of_invocation(app, message, invocation, exc, status, queue, calls_errbacks=calls_errbacks)


def failure_of_invocation(
    app: Celeriac,
    message: Message,
    invocation: Invocation,
    exc: BaseException,
    status: str,
    queue: str,
    *,
    calls_errbacks: bool,
) -> Consequences:
    """`failure_of` where the message has been read."""
    if not (invocation.errbacks or invocation.chain or invocation.chord):
        return NOTHING
    headers = invocation.headers
    request = Request(
        id=invocation.id,
        task=invocation.task,
        root_id=headers["root_id"],
        group=headers["group"],
        group_index=headers["group_index"],
        sent_chain=invocation.chain,
        sent_chord=invocation.chord,
        reply_to=(message.properties or {}).get("reply_to"),
    )
    token = current_request.set(request)
    try:
        errbacks = invocation.errbacks if calls_errbacks else None
        return together(
            [
                send_errbacks(app, request, errbacks or (), exc),
                Consequences(flow=of_failure(app, request, exc, status, queue)),
            ]
        )
    finally:
        current_request.reset(token)


def make_request(app: Celeriac, task: Task[Any, Any], invocation: Invocation, job: Job, site: Site) -> Request:
    """What the task is told about this run."""
    headers, properties = invocation.headers, job.message.properties or {}
    return Request(
        id=invocation.id,
        task=task.name,
        args=invocation.args,
        kwargs=invocation.kwargs,
        argsrepr=headers["argsrepr"],
        kwargsrepr=headers["kwargsrepr"],
        root_id=headers["root_id"],
        parent_id=headers["parent_id"],
        group=headers["group"],
        group_index=headers["group_index"],
        retries=invocation.retries,
        is_eager=site.is_eager,
        eta=headers["eta"],
        expires=headers["expires"],
        callbacks=invocation.callbacks,
        errbacks=invocation.errbacks,
        sent_chain=invocation.chain,
        sent_chord=invocation.chord,
        delivery_info=_delivery_info(job, site),
        reply_to=properties.get("reply_to"),
        correlation_id=properties.get("correlation_id"),
        origin=headers["origin"],
        hostname=site.hostname,
        logfile=site.logfile,
        loglevel=site.loglevel,
        lang=headers["lang"],
        shadow=headers["shadow"],
        headers=invocation.custom or None,
        properties=properties,
        timelimit=headers["timelimit"],
        called_directly=False,
        ignore_result=_ignores_result(app, task, headers["ignore_result"]),
        replaced_task_nesting=headers["replaced_task_nesting"],
        stamped_headers=headers["stamped_headers"],
        stamps=headers["stamps"],
        running=task,
    )


def _delivery_info(job: Job, site: Site) -> dict[str, Any]:
    sent = (job.message.properties or {}).get("delivery_info")
    # Sent to an exchange by another program, or by way of a broker that has some; else it was sent to its queue.
    exchange, key = (sent.get("exchange"), sent.get("routing_key")) if isinstance(sent, dict) else ("", "")
    known = isinstance(exchange, str) and exchange != "" and isinstance(key, str)
    info = {
        "exchange": exchange if known else "",
        "routing_key": key if known else job.queue,
        "priority": job.priority,
        "redelivered": job.losses > 0 or _was_restored(job.message),
    }
    return {**info, "is_eager": True} if site.is_eager else info


def _was_restored(message: Message) -> bool:
    """A Celery worker had taken it and could not run it: it or another one has put it back."""
    sent = (message.properties or {}).get("delivery_info")
    return isinstance(sent, dict) and sent.get("redelivered") is True


def _ignores_result(app: Celeriac, task: Task[Any, Any], said: bool | None) -> bool:
    """What the message says, else the task; and where no results are kept, all are ignored."""
    return bool(task.ignore_result if said is None else said) or not app.stores_results
