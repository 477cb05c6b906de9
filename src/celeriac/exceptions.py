"""Every exception that users meet, by Celery's names where Celery has one.

A message says what is wrong, with which value, and what to do about it.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from datetime import datetime
from typing import Any

__all__ = [
    "AlreadyRegistered",
    "BackendError",
    "CeleriacError",
    "ChordError",
    "ContentDisallowed",
    "DecodeError",
    "DuplicateTaskNameWarning",
    "EncodeError",
    "Ignore",
    "ImproperlyConfigured",
    "IncompleteStream",
    "InvalidTaskError",
    "MaxRetriesExceededError",
    "MessageTooLarge",
    "MissingAttribute",
    "NotRegistered",
    "NotSupported",
    "OperationalError",
    "QueueNotFound",
    "Reject",
    "RemoteError",
    "Retry",
    "SoftTimeLimitExceeded",
    "StoreRefused",
    "TaskError",
    "TaskPredicate",
    "TaskRevokedError",
    "TimeLimitExceeded",
    "TimeoutError",
    "WorkerLostError",
]


class CeleriacError(Exception):
    """Base of all errors of this package."""


class ImproperlyConfigured(CeleriacError):
    """A setting, URL or app name is wrong."""


class NotSupported(CeleriacError):
    """The broker or backend in use can not do this."""


class QueueNotFound(CeleriacError, KeyError):
    """No queue of this name is in `task_queues`, and none is made; or no queue takes a message that must be taken."""

    def __str__(self) -> str:  # KeyError would show the repr
        return str(self.args[0]) if self.args else ""


class MissingAttribute(NotSupported, AttributeError):
    """Celery has an attribute of this name; this version has not."""


class OperationalError(CeleriacError):
    """The broker or the result store can not be reached or does not work at the moment. Later it may."""


class StoreRefused(CeleriacError):
    """The broker or the result store will never take this very thing: it is too large, or not of a form it can keep."""


class BackendError(CeleriacError):
    """What the result store holds can not be read."""


class EncodeError(CeleriacError):
    """A value can not be serialised."""


class DecodeError(CeleriacError):
    """A body can not be deserialised."""


class ContentDisallowed(CeleriacError):
    """The content type is not among `accept_content`."""


class MessageTooLarge(CeleriacError):
    """A message is over the size limit."""


class TaskError(CeleriacError):
    """Base of errors about tasks."""


class NotRegistered(TaskError, KeyError):
    """No task of this name is registered."""

    def __str__(self) -> str:  # KeyError would show the repr
        return str(self.args[0]) if self.args else ""


class AlreadyRegistered(TaskError):
    """The task can not be registered, since it has no name. (One whose name is taken replaces the other.)"""


class InvalidTaskError(TaskError):
    """A message is not a task message, or its fields can not be right."""


class TimeoutError(TaskError, builtins.TimeoutError):  # noqa: A001 - Celery's name, and it is the builtin one too
    """The result did not come in time."""


class MaxRetriesExceededError(TaskError):
    """The task was retried as often as it may."""

    def __init__(self, *args: Any, task_args: Any = (), task_kwargs: Any = None) -> None:
        super().__init__(*args)
        self.task_args = task_args
        self.task_kwargs = task_kwargs if task_kwargs is not None else {}


class TaskRevokedError(TaskError):
    """The task was revoked or has expired; nobody ran it."""


class ChordError(TaskError):
    """A task of a chord's header failed."""


class IncompleteStream(TaskError):
    """What came of a task is not known yet, since it is not done."""


class RemoteError(TaskError):
    """Stands for an exception whose class this process does not know; subclasses bear its name.

    The class of a stored exception is looked up among modules that are imported already; none is ever imported for it.
    """


class SoftTimeLimitExceeded(Exception):
    """The soft time limit has passed; raised inside the task, which may clean up and return."""

    def __str__(self) -> str:
        return f"SoftTimeLimitExceeded{self.args!r}"


class TimeLimitExceeded(Exception):
    """The hard time limit has passed and the attempt was ended."""

    def __str__(self) -> str:
        return f"TimeLimitExceeded{self.args!r}"


class WorkerLostError(Exception):
    """The process that ran the task is gone."""


class TaskPredicate(CeleriacError):
    """Base of what a task raises to steer what becomes of it, rather than to fail."""


class Retry(TaskPredicate):
    """The task shall run again.

    Attributes:
        message: what to log.
        exc: the exception that caused the retry.
        when: seconds from now, or a datetime; None: at once.
        is_eager: raised by an eager run.
        sig: the signature to run, in an eager run.
    """

    def __init__(
        self,
        message: str | None = None,
        exc: BaseException | str | None = None,
        when: float | datetime | None = None,
        is_eager: bool = False,
        sig: Any = None,
    ) -> None:
        self.message = message
        self.exc = exc if isinstance(exc, BaseException) else None
        self.excs = exc if isinstance(exc, str) else (repr(exc) if exc is not None else None)
        self.when = when
        self.is_eager = is_eager
        self.sig = sig
        super().__init__(message, exc, when)

    def humanize(self) -> str:
        """`in 3s`, `at 2026-01-01 00:00:00`, or `now`."""
        if self.when is None:
            return "now"
        return f"in {self.when}s" if isinstance(self.when, int | float) else f"at {self.when}"

    def __str__(self) -> str:
        if self.message:
            return self.message
        return f"Retry {self.humanize()}: {self.excs}" if self.excs else f"Retry {self.humanize()}"


class Ignore(TaskPredicate):
    """Stop here and write no state."""


class Replace(Ignore):
    """Another signature takes the place of the running task: raised by `Task.replace`.

    Attributes:
        signature: what takes its place.
    """

    def __init__(self, signature: Mapping[str, Any]) -> None:
        super().__init__("Replaced by new task")
        self.signature = signature


class Reject(TaskPredicate):
    """Hand the message back: to its queue with `requeue=True`, else to the dead letters.

    Attributes:
        reason: an exception or text, kept with the dead letter.
        requeue: put it back into its queue.
    """

    def __init__(self, reason: Any = None, requeue: bool = False) -> None:
        self.reason = reason
        self.requeue = requeue
        super().__init__(reason, requeue)

    def __repr__(self) -> str:
        return f"reject requeue={self.requeue}: {self.reason}"


class DuplicateTaskNameWarning(UserWarning):
    """Two different functions were registered under one name; the later one wins."""
