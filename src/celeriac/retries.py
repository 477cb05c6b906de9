"""Retries: what `task.retry()` and `autoretry_for` ask for.

Owns the rules (how often, when, what may be different). A retry is no new message that is sent from here: it is a
change of the stored one, which the run's conclusion makes of the `RetryPlan`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from celeriac.call_options import MAX_RETRIES, checked_options, checked_retry_options
from celeriac.exceptions import Ignore, MaxRetriesExceededError, Reject, Retry
from celeriac.option_rules import checked_value
from celeriac.protocol import safe_repr

if TYPE_CHECKING:
    from celeriac.request import Request
    from celeriac.task import Task

_STEERING: Final = (Ignore, Reject, Retry)


class RetryPlan(NamedTuple):
    """A retry that was asked for.

    Attributes:
        retry: what is raised for it.
        args: other positional arguments, if any.
        kwargs: other keyword arguments, if any.
        eta: when, if a moment was named.
        countdown: else the seconds from now.
        options: see `celeriac.call_options.RETRY_OPTIONS`.
    """

    retry: Retry
    args: Sequence[Any] | None = None
    kwargs: Mapping[str, Any] | None = None
    eta: datetime | None = None
    countdown: float | None = None
    options: Mapping[str, Any] = {}


def retry_task(
    task: Task[Any, Any],
    args: Sequence[Any] | None,
    kwargs: Mapping[str, Any] | None,
    exc: BaseException | None,
    throw: bool,
    eta: datetime | None,
    countdown: float | None,
    max_retries: int | None,
    options: Mapping[str, Any],
) -> Retry:
    """See `Task.retry`."""
    request = task.request
    if request.called_directly:
        raise exc or Retry(f"task {task.name} was called as a function: it can only be retried by a worker")
    due = checked_options({"eta": eta, "countdown": countdown}, task.name)
    eta, countdown = due["eta"], due["countdown"]
    max_retries = checked_value(MAX_RETRIES, max_retries, f"max_retries of retry() of task {task.name}")
    options = checked_retry_options(options, task.name)
    if eta is None and countdown is None:
        countdown = task.default_retry_delay
    check_retries_left(task, request, exc, max_retries)
    retry = Retry(exc=exc, when=countdown if eta is None else eta, is_eager=request.is_eager)
    request.pending_retry = RetryPlan(retry, args, kwargs, eta, countdown, options)
    if not throw:
        return retry
    try:
        raise retry
    finally:
        del retry  # its traceback leads to this frame, which must not lead back to it


def plan_of_raised(task: Task[Any, Any], retry: Retry) -> RetryPlan:
    """What a `Retry` asks for that the task has raised itself: the same arguments, `when` it says, or at once.

    Raises:
        TypeError, ValueError: `when` is neither seconds nor a datetime.
    """
    when = retry.when
    if isinstance(when, datetime):
        return RetryPlan(retry, eta=when)
    return RetryPlan(retry, countdown=checked_options({"countdown": when}, task.name)["countdown"])


def check_retries_left(
    task: Task[Any, Any], request: Request, exc: BaseException | None, max_retries: int | None = None
) -> None:
    """Raise `exc`, or `MaxRetriesExceededError`, if the task was retried as often as it may."""
    limit = task.max_retries if max_retries is None else max_retries
    if limit is None or request.retries < limit:
        return
    if exc is not None:
        raise exc
    raise MaxRetriesExceededError(
        f"Can't retry {task.name}[{request.id}] args:{safe_repr(request.args)} kwargs:{safe_repr(request.kwargs)}: "
        f"it was retried {request.retries} times (max_retries)",
        task_args=request.args,
        task_kwargs=request.kwargs,
    )


def exception_after_autoretry(task: Task[Any, Any], exc: BaseException) -> BaseException:
    """What an exception of the task's comes to: a `Retry` if `autoretry_for` covers it and there are retries left."""
    if not task.autoretry_for or not isinstance(exc, tuple(task.autoretry_for)):
        return exc
    if isinstance(exc, (*_STEERING, *task.dont_autoretry_for)):
        return exc
    options = dict(task.retry_kwargs)
    if task.retry_backoff and options.get("eta") is None:
        options["countdown"] = backoff(
            float(task.retry_backoff), task.request.retries, task.retry_backoff_max, task.retry_jitter
        )
    try:
        return task.retry(**{"exc": exc, **options})
    except Exception as raised:  # noqa: BLE001 - whatever retry() raises is what the run comes to
        return raised


def backoff(first: float, retries: int, longest: float, jitter: bool) -> float:
    """Seconds to wait before a retry: `first`, doubled with each retry, at most `longest`.

    Args:
        first: seconds before the first retry.
        retries: how often it was retried.
        longest: seconds.
        jitter: choose at random between zero and that.

    Example:
        >>> [backoff(1, retries, longest=10, jitter=False) for retries in range(5)]
        [1, 2, 4, 8, 10]
    """
    delay: float = min(longest, first * 2 ** min(retries, 64))
    if jitter:
        import random  # noqa: PLC0415 - start-up time: it takes 3 ms to import and few tasks need it

        return random.uniform(0, delay)  # noqa: S311 - spreads load, guards nothing
    return delay
