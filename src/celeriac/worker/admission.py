"""What happens to a delivery between the broker and the executors: run it, discard it, or acknowledge it first.

The supervisor decodes headers only. Whatever needs the body (or is wrong with it) is the executor's business.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from celeriac import signals, states
from celeriac.exceptions import CeleriacError, TaskRevokedError
from celeriac.message import PARKED_HEADER, Delivery, Head
from celeriac.outcome import AckPolicy, Discarded, Early, Unrunnable
from celeriac.protocol import header_eta, header_expires, read_invocation
from celeriac.worker.executors.executor import Assignment
from celeriac.worker.failures import consequences, record_failure, request_of, safe_content, wants_result
from celeriac.worker.ipc import PackedJob
from celeriac.worker.options import WorkerOptions

if TYPE_CHECKING:
    from celeriac.app import Celeriac
    from celeriac.task import Task

logger = logging.getLogger("celeriac.worker")


class _Plan(msgspec.Struct, frozen=True):
    """What is the same for all messages of one task."""

    kind: str
    policy: AckPolicy
    time_limit: float | None
    soft_time_limit: float | None
    track_started: bool


class Admission:
    """Turns deliveries into assignments.

    Args:
        app: whose tasks are run.
        options: the worker's.
        default_kind: kind of executor for tasks that name none.
    """

    def __init__(self, app: Celeriac, options: WorkerOptions, default_kind: str) -> None:
        self._app = app
        self._options = options
        self._default_kind = default_kind
        self._default_policy = AckPolicy(max_deliveries=app.conf.task_max_deliveries)
        self._plans: dict[str, _Plan] = {}
        self._given_back: frozenset[int | str] = frozenset()
        self._tags = itertools.count(1)

    def admit(self, delivery: Delivery, now: float) -> Assignment | Discarded | Early | Unrunnable:
        """Return what to run, or why it needs no run, or not yet.

        Args:
            delivery: what the broker gave.
            now: Unix time.
        """
        if delivery.is_damaged:
            return Unrunnable("DecodeError: its stored headers are damaged")
        head = self._head(delivery)
        if head.expires is not None and _has_expired(head, now):
            return self._discard(delivery)
        if head.eta is not None and head.eta != head.parked:
            due = header_eta({"eta": head.eta})
            if due is not None and due > now:
                return _put_aside(delivery, due)
        name = self._task_name(delivery)
        plan = self._plans.get(name) or self._plan(name)
        if logger.isEnabledFor(logging.INFO) and delivery.tag not in self._given_back:
            logger.info("Task %s[%s] received", name, head.id)
        if signals.task_received.receivers:
            hostname = self._options.hostname
            signals.task_received.send(sender=hostname, request=request_of(delivery, hostname))
        return self._assignment(delivery, plan)

    def note_given_back(self, deliveries: Sequence[Delivery]) -> None:
        """These may come back at once, when no other worker wants them; that is not worth a line."""
        self._given_back = frozenset(delivery.tag for delivery in deliveries)

    def kind_of(self, task: Task[..., Any]) -> str:
        """The kind of executor that runs `task` in this worker."""
        if self._options.pool == "solo":
            return "process"
        return task.executor_kind(self._app) or self._default_kind

    def policy_of(self, delivery: Delivery) -> AckPolicy:
        """When the task of this delivery counts as done."""
        name = self._task_name(delivery)
        return (self._plans.get(name) or self._plan(name)).policy

    def _discard(self, delivery: Delivery) -> Discarded:
        logger.info("Discarding expired task: %s", delivery.label)
        if signals.task_revoked.receivers:
            signals.task_revoked.send(
                sender=self._app.tasks.find(str(delivery.head.task)),
                request=request_of(delivery, self._options.hostname),
                terminated=False,
                signum=None,
                expired=True,
            )
        error = TaskRevokedError("expired")
        record = record_failure(self._app, delivery, error, states.REVOKED)
        # By Celery's rule that is no failure that errbacks are called for.
        follows = consequences(self._app, delivery, error, states.REVOKED, calls_errbacks=False)
        return Discarded("expired", record, follows.publications, follows.flow)

    def _assignment(self, delivery: Delivery, plan: _Plan) -> Assignment:
        hard, soft = _limits(delivery.head)
        hard = plan.time_limit if hard is None else hard
        soft = plan.soft_time_limit if soft is None else soft
        losses = len(delivery.history)
        job = PackedJob(
            tag=next(self._tags),
            packed=delivery.packed,
            queue=delivery.queue,
            losses=losses,
            time_limit=hard,
            soft_time_limit=soft,
            announce=plan.track_started or hard is not None or soft is not None,
            priority=delivery.priority,
        )
        last_chance = losses >= plan.policy.max_deliveries - 1
        alone = losses > 0 and (plan.kind == "process" or last_chance)
        tracked = plan.track_started and wants_result(self._app, delivery, error=False)
        return Assignment(delivery, plan.kind, plan.policy, job, tracked, alone)

    def _plan(self, name: str) -> _Plan:
        task = self._app.tasks.find(name)
        options = self._options
        if task is None:  # the executor says what is wrong with it; not kept, names come from outside
            return _Plan(self._default_kind, self._default_policy, options.time_limit, options.soft_time_limit, False)
        plan = self._plans[name] = _Plan(
            kind=self.kind_of(task),
            policy=self._policy(task),
            time_limit=options.time_limit if task.time_limit is None else task.time_limit,
            soft_time_limit=options.soft_time_limit if task.soft_time_limit is None else task.soft_time_limit,
            track_started=bool(task.track_started),
        )
        return plan

    def _policy(self, task: Task[..., Any]) -> AckPolicy:
        both = task.acks_on_failure_or_timeout
        return AckPolicy(
            acks_late=bool(task.acks_late),
            acks_on_failure=bool(both if task.acks_on_failure is None else task.acks_on_failure),
            acks_on_timeout=bool(both if task.acks_on_timeout is None else task.acks_on_timeout),
            reject_on_worker_lost=task.reject_on_worker_lost is not False,
            max_deliveries=self._app.conf.task_max_deliveries,
        )

    def _task_name(self, delivery: Delivery) -> str:
        name = self._head(delivery).task
        return name if isinstance(name, str) else ""

    def _head(self, delivery: Delivery) -> Head:
        """What the message says of its task. Protocol 1 says it in the body, which is read if that runs no code."""
        if isinstance(delivery.head.task, str):
            return delivery.head
        try:
            message = delivery.message
            invocation = read_invocation(
                message,
                accept=safe_content(self._app),
                inflated_size_limit=self._app.conf.task_message_inflated_size_limit,
            )
        except CeleriacError:
            return delivery.head  # the executor's attempt fails in the same way and says why
        delivery.note_head(Head.of({**message.headers, **invocation.headers}))
        return delivery.head


def _has_expired(head: Head, now: float) -> bool:
    expires = header_expires({"expires": head.expires})
    return expires is not None and expires <= now  # None: not a date, as the attempt will say


def _put_aside(delivery: Delivery, due: float) -> Early:
    """Celery's producers put future work into the queue, and its workers keep it; here the broker does."""
    message = delivery.message
    message.headers = {**message.headers, PARKED_HEADER: delivery.head.eta}
    return Early(message, due)


def _limits(head: Head) -> tuple[float | None, float | None]:
    match head.timelimit:
        case [hard, soft]:
            return _positive(hard), _positive(soft)
        case _:
            return None, None


def _positive(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and value > 0 else None
