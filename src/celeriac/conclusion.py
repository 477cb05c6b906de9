"""What a run comes to: from a returned value or an exception to an outcome.

Owns handlers, signals, log lines, the encoding of the result and what follows from it, in Celery's order. Knows
nothing of how the task was called.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from celeriac import run_log, signals, states
from celeriac.consequences import NOTHING, Consequences, of_failure, of_success, replacing, together
from celeriac.einfo import ExceptionInfo, begin_traceback_in_task
from celeriac.exceptions import EncodeError, Ignore, Reject, Replace, Retry, TimeLimitExceeded
from celeriac.follow_ups import Errbacks, call_errbacks
from celeriac.message import MIN_PRIORITY, Message
from celeriac.outcome import Failed, Ignored, Outcome, Rejected, Replaced, ResultRecord, Retried, Succeeded, TimedOut
from celeriac.protocol import Changes, Invocation, retry_message, safe_repr
from celeriac.publications import due_moment, expiry
from celeriac.records import reply_queue, result_record, result_ttl
from celeriac.request import Request
from celeriac.result_meta import failure_record
from celeriac.retries import RetryPlan, check_retries_left, exception_after_autoretry, plan_of_raised
from celeriac.routing import destination_of_retry, placed

if TYPE_CHECKING:
    from celeriac.app import Celeriac
    from celeriac.task import Task


class Conclusion:
    """The end of one run.

    Attributes:
        request: the run's request.
        state: the state that the run came to.
        retval: what the task returned, or the exception it came to.
        einfo: the exception with its traceback, if there was one.
        errbacks: coroutines that are still to be awaited.
    """

    __slots__ = ("_app", "_began", "_invocation", "_is_eager", "_message", "_queue", "_task", "einfo", "errbacks",
                 "request", "retval", "state")  # fmt: skip

    def __init__(
        self,
        app: Celeriac,
        task: Task[Any, Any],
        request: Request,
        invocation: Invocation,
        message: Message,
        queue: str,
        is_eager: bool,
    ) -> None:
        self._app = app
        self._task = task
        self._invocation = invocation
        self._message = message
        self._queue = queue
        self._is_eager = is_eager
        self._began = 0.0
        self.request = request
        self.state: str = states.PENDING
        self.retval: Any = None
        self.einfo: ExceptionInfo | None = None
        self.errbacks: Sequence[Coroutine[Any, Any, object]] = ()

    def begin(self) -> None:
        """The run begins: tell who wants to know. What `before_start` raises counts as raised by the task."""
        self._began = time.perf_counter()
        task, request = self._task, self.request
        if signals.task_prerun.receivers:
            signals.task_prerun.send(
                sender=task, task_id=request.id, task=task, args=request.args, kwargs=request.kwargs
            )
        if "before_start" in task.handlers:
            task.before_start(self._id, request.args, request.kwargs)

    def after_return(self, retval: Any) -> Outcome:
        """The task has returned."""
        try:
            if self.request.pending_retry is not None:  # by retry(throw=False)
                return self._sort(self.request.pending_retry.retry)
            return self._succeed(retval)
        except EncodeError as exc:  # its text says it all: there is no frame of the task's in its traceback
            return self.after_exception(exc.with_traceback(None))
        except Exception as exc:  # noqa: BLE001 - a time limit came just now, or an error of ours
            return self.after_exception(exc)

    def after_exception(self, exc: BaseException) -> Outcome:
        """The task has raised. Never raises an `Exception` itself, so that every run has an outcome."""
        try:
            return self._sort(exception_after_autoretry(self._task, exc))
        except Exception as error:  # noqa: BLE001 - it is logged and becomes the outcome
            return self._fail_inside(error)

    def forget_exception(self) -> None:
        """Break the cycle exception, traceback, frames, this object, which would keep the task's local variables alive.

        An eager run's caller wants the exception.
        """
        if self.einfo is not None and not self._is_eager:
            self.retval = self.einfo = self.request.pending_retry = None

    @property
    def _id(self) -> str:
        return self._invocation.id

    # -- the ways to end -----------------------------------------------------------------------------------------------

    def _sort(self, exc: BaseException) -> Outcome:
        if isinstance(exc, Replace):
            try:
                return self._replace(exc)
            except Exception as error:  # noqa: BLE001 - what shall replace the task can not be sent
                return self._fail(error)
        if isinstance(exc, Ignore):
            return self._ignore(exc)
        if isinstance(exc, Reject):
            return self._reject(exc)
        if isinstance(exc, Retry):
            try:
                return self._retry(exc)
            except Exception as error:  # noqa: BLE001 - no retries left, or the new arguments can not be encoded
                return self._fail(error)
        return self._fail(exc)

    def _succeed(self, retval: Any) -> Outcome:
        request, task = self.request, self._task
        if task.models is not None:
            retval = task.models.dump_result(retval)
        follows = NOTHING
        if request.callbacks or request.sent_chain or request.sent_chord is not None or request.caused:
            follows = together([*request.caused, of_success(self._app, request, retval, self._queue)])
        record = None
        if self._is_eager or not request.ignore_result:
            record = result_record(self._app, request, states.SUCCESS, retval)
        runtime = time.perf_counter() - self._began
        self.state, self.retval = states.SUCCESS, retval
        if task.handlers:
            self._handle("on_success", task.on_success, retval, self._id, request.args, request.kwargs)
        if signals.task_success.receivers:
            signals.task_success.send(sender=task, result=retval, runtime=runtime)
        run_log.succeeded(task, request, runtime, retval)
        self._end()
        return Succeeded(record, follows.publications, runtime, follows.flow)

    def _fail(self, exc: BaseException) -> Outcome:
        request, task = self.request, self._task
        einfo = self._note_exception(states.FAILURE, exc)
        record = None
        if self._is_eager or not request.ignore_result or task.store_errors_even_if_ignored:
            record = result_record(self._app, request, states.FAILURE, exc, einfo.traceback)
        errbacks = Errbacks()
        if self._invocation.errbacks:
            errbacks = call_errbacks(self._app, request, self._invocation.errbacks, einfo)
            self.errbacks = errbacks.coroutines
        follows = together([errbacks.consequences, self._broken(exc)])
        runtime = time.perf_counter() - self._began
        self._handle("on_failure", task.on_failure, exc, self._id, request.args, request.kwargs, einfo)
        if signals.task_failure.receivers:
            self._send_failure_signal(exc, einfo)
        run_log.failed(task, request, exc)
        self._end()
        error = safe_repr(exc)
        if isinstance(exc, TimeLimitExceeded):
            return TimedOut(error, record, follows.publications, follows.flow)
        return Failed(error, record, follows.publications, runtime, follows.flow)

    def _broken(self, exc: BaseException) -> Consequences:
        """What the failure means for the workflow around the task."""
        request = self.request
        if not request.sent_chain and request.sent_chord is None:
            return NOTHING
        return Consequences(flow=of_failure(self._app, request, exc, states.FAILURE, self._queue))

    def _replace(self, exc: Replace) -> Outcome:
        follows = together([*self.request.caused, replacing(self._app, self.request, exc.signature)])
        self._note_exception(states.IGNORED, exc, internal=True)
        run_log.replaced(self._task, self.request, exc)
        self._end()
        return Replaced(follows.publications, follows.flow)

    def _retry(self, retry: Retry) -> Outcome:
        request, task = self.request, self._task
        plan: RetryPlan | None = request.pending_retry
        if plan is None or plan.retry is not retry:  # raised by hand: as if by retry() with the same arguments
            check_retries_left(task, request, retry.exc)
            plan = plan_of_raised(task, retry)
        eta = due_moment(self._app, plan.countdown, plan.eta)
        message = self._retry_message(plan, eta)
        einfo = self._note_exception(states.RETRY, retry)
        record = None
        if not request.ignore_result:
            record = result_record(self._app, request, states.RETRY, retry.exc, einfo.traceback)
        self._handle("on_retry", task.on_retry, retry.exc, self._id, request.args, request.kwargs, einfo)
        if signals.task_retry.receivers:
            signals.task_retry.send(sender=task, request=request, reason=retry, einfo=einfo)
        run_log.retried(task, request, retry)
        self._end()
        return self._retried(plan, message, eta.timestamp() if eta is not None else None, str(retry), record)

    def _retried(
        self, plan: RetryPlan, message: Message, not_before: float | None, error: str, record: ResultRecord | None
    ) -> Retried:
        """The retry where its options want it. If that is where the message is, the stored record can stay there."""
        here = self.request.delivery_info or {}
        priority, queue = plan.options.get("priority"), None
        way = destination_of_retry(self._app, here, plan.options)
        if way is not None and way.exchange is not None:
            level = here.get("priority", MIN_PRIORITY) if priority is None else priority
            elsewhere = placed(self._app, [way.publication(message, level, not_before)])
            return Retried(message, not_before, error, record, elsewhere=tuple(elsewhere))
        if way is not None and (here.get("exchange"), here.get("routing_key")) != ("", way.queue.name):
            queue = way.queue.name
        if priority == here.get("priority"):
            priority = None
        return Retried(message, not_before, error, record, queue, priority)

    def _retry_message(self, plan: RetryPlan, eta: datetime | None) -> Message:
        conf, options = self._app.conf, plan.options
        args, kwargs = plan.args, plan.kwargs
        if self._task.models is not None and (args is not None or kwargs is not None):
            given = self._invocation
            args, kwargs = self._task.models.dump(
                given.args if args is None else args, given.kwargs if kwargs is None else kwargs
            )
        changes = Changes(
            args=args,
            kwargs=kwargs,
            expires=expiry(self._app, options.get("expires")),
            time_limit=options.get("time_limit"),
            soft_time_limit=options.get("soft_time_limit"),
            priority=options.get("priority"),
            headers=options.get("headers"),
            serializer=options.get("serializer"),
            compression=options.get("compression"),
        )
        return retry_message(
            self._message,
            self._invocation,
            changes,
            retries=self.request.retries + 1,
            now=self._app.now(),
            size_limit=conf.task_message_size_limit,
            eta=eta,
            repr_maxlevels=conf.task_repr_maxlevels,
        )

    def _ignore(self, exc: Ignore) -> Outcome:
        self._note_exception(states.IGNORED, exc, internal=True)
        run_log.ignored(self._task, self.request)
        self._end()
        broken = self._broken(exc)
        return Ignored(broken.publications, broken.flow)

    def _reject(self, exc: Reject) -> Outcome:
        self._note_exception(states.REJECTED, exc, internal=True)
        record = None
        if not exc.requeue and not self.request.ignore_result:
            record = result_record(self._app, self.request, states.FAILURE, exc)  # Celery stores this since 5.7
        run_log.rejected(self._task, self.request, exc)
        self._end()
        reason = str(exc.reason) if exc.reason else "the task raised Reject"
        broken = NOTHING if exc.requeue else self._broken(exc)
        return Rejected(reason, exc.requeue, record, broken.publications, broken.flow)

    def _fail_inside(self, error: Exception) -> Outcome:
        """Something went wrong that is not the task's doing, or that came of dealing with its failure."""
        task, request = self._task, self.request
        einfo = self._note_exception(states.FAILURE, error)
        run_log.internal_error(task, request, error)
        if signals.task_internal_error.receivers:
            signals.task_internal_error.send(
                sender=task,
                task_id=request.id,
                args=request.args,
                kwargs=request.kwargs,
                request=request,
                exception=error,
                traceback=einfo.tb,
                einfo=einfo,
            )
        try:
            broken = self._broken(error)
        except Exception as exc:  # noqa: BLE001 - logged; the run must have an outcome
            run_log.internal_error(task, request, exc)
            broken = NOTHING
        return Failed(safe_repr(error), self._bare_failure(error), broken.publications, 0.0, broken.flow)

    def _bare_failure(self, error: Exception) -> ResultRecord | None:
        """As little as can be stored, since what should have been stored could not be made."""
        if self.request.ignore_result:
            return None
        try:
            return failure_record(
                self._id,
                RuntimeError(safe_repr(error)),
                now=self._app.now(),
                ttl=result_ttl(self._app, states.FAILURE),
                serializer=self._app.conf.result_serializer,
                reply_to=reply_queue(self.request.reply_to),
            )
        except Exception as exc:  # noqa: BLE001 - logged; the run must have an outcome
            run_log.internal_error(self._task, self.request, exc)
            return None

    # -- what they share -----------------------------------------------------------------------------------------------

    def _note_exception(self, state: str, exc: BaseException, internal: bool = False) -> ExceptionInfo:
        begin_traceback_in_task(exc)
        self.state, self.retval = state, exc
        self.einfo = ExceptionInfo(exc, internal)
        return self.einfo

    def _handle(self, name: str, handler: Callable[..., object], *args: Any) -> None:
        """Call a handler of the task's. The run is over, so what it raises is logged and changes nothing."""
        if name not in self._task.handlers:
            return
        try:
            handler(*args)
        except Exception as exc:  # noqa: BLE001 - logged with its traceback
            run_log.handler_failed(self._task, self.request, name, exc)

    def _send_failure_signal(self, exc: BaseException, einfo: ExceptionInfo) -> None:
        request = self.request
        signals.task_failure.send(
            sender=self._task,
            task_id=request.id,
            exception=exc,
            args=request.args,
            kwargs=request.kwargs,
            traceback=einfo.tb,
            einfo=einfo,
        )

    def _end(self) -> None:
        request, task, state = self.request, self._task, self.state
        if task.handlers and state not in _NOT_RETURNED:
            self._handle(
                "after_return",
                task.after_return,
                state,
                self.retval,
                self._id,
                request.args,
                request.kwargs,
                self.einfo,
            )
        if signals.task_postrun.receivers:
            signals.task_postrun.send(
                sender=task,
                task_id=request.id,
                task=task,
                args=request.args,
                kwargs=request.kwargs,
                retval=self.retval,
                state=state,
            )


#: States in which the task has not come to its end; `after_return` is not called then.
_NOT_RETURNED = frozenset({states.IGNORED, states.RETRY, states.REJECTED})
