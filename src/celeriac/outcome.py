"""How an attempt ended (outcome), what must be written for it (settlement), and the one function between the two.

`decide` is the whole state machine of a delivery. It is pure: no clock, no I/O, no encoding. Executors make outcomes,
the supervisor makes those of attempts that can not speak for themselves any more, brokers write settlements.
"""

from __future__ import annotations

from typing import Final

import msgspec

from celeriac.chords import ChordBreak, ChordEnd, ChordGrowth, ChordShare, ChordStart
from celeriac.message import Delivery, Loss, Message, Publication


class ResultRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A result, encoded once where the attempt ran and never decoded on the way to the backend.

    Attributes:
        task_id: whose result it is.
        status: one of `celeriac.states` or a custom state.
        meta: Celery's result meta (`{"status": ..., "result": ..., ...}`), encoded by `result_serializer`.
        ttl: seconds after which it may be swept, or None to keep it.
        reply_to: the queue that the sender of the task named for its result. Backends that store results ignore it.
    """

    task_id: str
    status: str
    meta: bytes
    ttl: float | None = None
    reply_to: str | None = None


class Flow(msgspec.Struct, frozen=True):
    """What an outcome means for the workflow that its task is part of, beside messages to publish.

    Attributes:
        results: of other tasks: those that will never run because this one failed.
        starts: chords whose headers are among the follow-ups.
        grown: members that are added to chords, which are among the follow-ups.
        shares: what members of chords have come to.
        ends: chords that are done with.
        broken: chords that wait for this task in vain. Done before the rest, by whoever settles.
    """

    results: tuple[ResultRecord, ...] = ()
    starts: tuple[ChordStart, ...] = ()
    grown: tuple[ChordGrowth, ...] = ()
    shares: tuple[ChordShare, ...] = ()
    ends: tuple[ChordEnd, ...] = ()
    broken: tuple[ChordBreak, ...] = ()


class Succeeded(msgspec.Struct, frozen=True, tag="succeeded"):
    """The task returned. `follow_ups` are the messages its success causes: links, and what is next in its chain."""

    result: ResultRecord | None = None
    follow_ups: tuple[Publication, ...] = ()
    runtime: float = 0.0
    flow: Flow | None = None


class Replaced(msgspec.Struct, frozen=True, tag="replaced"):
    """The task has put others in its place (`Task.replace`): acknowledge, and send them under its id."""

    follow_ups: tuple[Publication, ...]
    flow: Flow | None = None


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The task raised. `error` is one line for logs and dead letters; `follow_ups` are its errbacks."""

    error: str
    result: ResultRecord | None = None
    follow_ups: tuple[Publication, ...] = ()
    runtime: float = 0.0
    flow: Flow | None = None


class TimedOut(msgspec.Struct, frozen=True, tag="timed_out"):
    """The hard time limit ended the attempt."""

    error: str
    result: ResultRecord | None = None
    follow_ups: tuple[Publication, ...] = ()
    flow: Flow | None = None


class Retried(msgspec.Struct, frozen=True, tag="retried"):
    """The task asked to be run again: `message` replaces the stored one and is due at `not_before` (Unix time).

    Attributes:
        message: the same task, one retry older.
        not_before: Unix time before which it is not due, or None for at once.
        error: one line for logs.
        result: the state RETRY, if it is stored.
        queue: another queue to go to, if any.
        priority: another priority, if any.
        elsewhere: instead of these two and of the stored message: what is sent to an exchange, complete.
    """

    message: Message
    not_before: float | None
    error: str
    result: ResultRecord | None = None
    queue: str | None = None
    priority: int | None = None
    elsewhere: tuple[Publication, ...] = ()


class Ignored(msgspec.Struct, frozen=True, tag="ignored"):
    """The task raised `Ignore`: acknowledge, write no result. A workflow that waits for it learns that it has ended."""

    follow_ups: tuple[Publication, ...] = ()
    flow: Flow | None = None


class Rejected(msgspec.Struct, frozen=True, tag="rejected"):
    """The task raised `Reject`: back to its queue, or to the dead letters."""

    reason: str
    requeue: bool
    result: ResultRecord | None = None
    follow_ups: tuple[Publication, ...] = ()
    flow: Flow | None = None


class Discarded(msgspec.Struct, frozen=True, tag="discarded"):
    """The message needs no run: it has expired or was revoked."""

    reason: str
    result: ResultRecord | None = None
    follow_ups: tuple[Publication, ...] = ()
    flow: Flow | None = None


class Early(msgspec.Struct, frozen=True, tag="early"):
    """The message came before its time: Celery's producers leave it to workers to wait.

    Attributes:
        message: what replaces the stored one, marked as put aside.
        not_before: Unix time of its `eta`.
    """

    message: Message
    not_before: float


class Unrunnable(msgspec.Struct, frozen=True, tag="unrunnable"):
    """The message can not be run by this worker: unknown task, undecodable body, content type not accepted, ..."""

    reason: str
    result: ResultRecord | None = None
    follow_ups: tuple[Publication, ...] = ()
    flow: Flow | None = None


class Lost(msgspec.Struct, frozen=True, tag="lost"):
    """The attempt's process is gone, or its worker's lease ran out.

    Attributes:
        reason: for the history.
        worker: the lease owner that held it.
        started: the attempt had begun, or may have; only then is it counted.
        failure: the FAILURE to store should this loss be the last one that is allowed.
        follow_ups: the errbacks of that failure.
        flow: what that failure means for its workflow.
    """

    reason: str
    worker: str
    started: bool = True
    failure: ResultRecord | None = None
    follow_ups: tuple[Publication, ...] = ()
    flow: Flow | None = None


#: What an executor can report of an attempt.
Outcome = (
    Succeeded | Replaced | Failed | TimedOut | Retried | Ignored | Rejected | Discarded | Early | Unrunnable | Lost
)


class Acknowledge(msgspec.Struct, frozen=True, tag="acknowledge"):
    """The message is done with: remove it."""


class Requeue(msgspec.Struct, frozen=True, tag="requeue"):
    """Give the record back to its queue.

    Attributes:
        message: replaces the stored message when given (a retry).
        not_before: Unix time at which it is due again, or None for at once.
        loss: appended to the history when given; without it the delivery is not counted. What was lost goes to the
            front: it has waited before.
    """

    message: Message | None = None
    not_before: float | None = None
    loss: Loss | None = None


class Bury(msgspec.Struct, frozen=True, tag="bury"):
    """Move the message to the dead letters."""

    reason: str
    loss: Loss | None = None


class Keep(msgspec.Struct, frozen=True, tag="keep"):
    """The delivery stays as it is (still leased, or acknowledged before its run): only the result is written."""


Action = Acknowledge | Requeue | Bury | Keep


class Settlement(msgspec.Struct, frozen=True):
    """All that the broker must write for one outcome, in one step.

    Attributes:
        delivery: what it settles. A settlement whose delivery has another owner or token by now writes nothing.
        action: what becomes of the stored message.
        result: the result to store, if any.
        follow_ups: messages to publish.
        fenced: False for a delivery that was acknowledged before its run (`acks_late=False`): there is no lease
            left to check, so result and follow-ups are written as they are, and `Bury` writes `delivery.message`
            to the dead letters. Only `Keep` and `Bury` are ever unfenced.
        flow: what it means for a workflow, written in the same step. A settlement that ends a chord under a claim
            that is not the present one writes nothing.
        before_run: it acknowledges what is still to run, and if it is refused nothing runs. So it must never be
            written later, as an outcome may be.
    """

    delivery: Delivery
    action: Action
    result: ResultRecord | None = None
    follow_ups: tuple[Publication, ...] = ()
    fenced: bool = True
    before_run: bool = False
    flow: Flow | None = None


class AckPolicy(msgspec.Struct, frozen=True):
    """When a task's message counts as done. Names and meanings are Celery's settings and task attributes.

    Attributes:
        acks_late: acknowledge after the run; if False the message was acknowledged before it.
        acks_on_failure: a task that raised is done with; if False it goes to the dead letters.
        acks_on_timeout: the same for the hard time limit.
        reject_on_worker_lost: run a lost attempt again; if False a loss is a failure at once.
        max_deliveries: losses after which the message goes to the dead letters.
    """

    acks_late: bool = True
    acks_on_failure: bool = True
    acks_on_timeout: bool = True
    reject_on_worker_lost: bool = True
    max_deliveries: int = 5


DEFAULT_ACK_POLICY: Final = AckPolicy()
_ACKNOWLEDGE: Final = Acknowledge()
_KEEP: Final = Keep()


def decide(delivery: Delivery, outcome: Outcome, now: float, policy: AckPolicy = DEFAULT_ACK_POLICY) -> Settlement:
    """Return what must be written for `outcome`.

    Args:
        delivery: what was attempted.
        outcome: how it ended.
        now: Unix time, for the history.
        policy: the task's acknowledgement policy.

    Example:
        >>> from celeriac.message import PackedMessage
        >>> message = PackedMessage.pack(Message({"task": "t", "id": "1"}, {}, b"[[], {}, {}]"))
        >>> decide(Delivery(1, 1, message, "celery"), Ignored(), now=0.0).action
        Acknowledge()
    """
    if not policy.acks_late:
        return _decide_acknowledged(delivery, outcome)
    match outcome:
        case Succeeded() | Discarded():
            return Settlement(delivery, _ACKNOWLEDGE, outcome.result, outcome.follow_ups, flow=outcome.flow)
        case Failed():
            action = _ACKNOWLEDGE if policy.acks_on_failure else Bury(outcome.error)
            return Settlement(delivery, action, outcome.result, outcome.follow_ups, flow=outcome.flow)
        case TimedOut():
            action = _ACKNOWLEDGE if policy.acks_on_timeout else Bury(outcome.error)
            return Settlement(delivery, action, outcome.result, outcome.follow_ups, flow=outcome.flow)
        case Retried():
            return _decide_retried(delivery, outcome)
        case Ignored() | Replaced():
            return Settlement(delivery, _ACKNOWLEDGE, None, outcome.follow_ups, flow=outcome.flow)
        case Early():
            return Settlement(delivery, Requeue(outcome.message, outcome.not_before))
        case Rejected(requeue=True):
            return Settlement(delivery, Requeue())
        case Rejected() | Unrunnable():
            return Settlement(delivery, Bury(outcome.reason), outcome.result, outcome.follow_ups, flow=outcome.flow)
        case Lost():
            return _decide_lost(delivery, outcome, now, policy)


def _decide_retried(delivery: Delivery, outcome: Retried) -> Settlement:
    if outcome.queue is None and outcome.priority is None and not outcome.elsewhere:
        return Settlement(delivery, Requeue(outcome.message, outcome.not_before), outcome.result)
    return Settlement(delivery, _ACKNOWLEDGE, outcome.result, _moved(delivery, outcome))


def _moved(delivery: Delivery, outcome: Retried) -> tuple[Publication, ...]:
    """A retry as a message of its own: to another queue or level, or because the stored one is gone already."""
    if outcome.elsewhere:
        return outcome.elsewhere
    queue = outcome.queue if outcome.queue is not None else delivery.queue
    priority = outcome.priority if outcome.priority is not None else delivery.priority
    return (Publication(outcome.message, queue, priority, outcome.not_before),)


def _decide_lost(delivery: Delivery, outcome: Lost, now: float, policy: AckPolicy) -> Settlement:
    if not outcome.started:
        return Settlement(delivery, Requeue())
    loss = Loss(at=now, worker=outcome.worker, reason=outcome.reason)
    if not policy.reject_on_worker_lost:
        return Settlement(delivery, _ACKNOWLEDGE, outcome.failure, outcome.follow_ups, flow=outcome.flow)
    if len(delivery.history) + 1 >= policy.max_deliveries:
        reason = f"lost {len(delivery.history) + 1} times, the last time: {outcome.reason}"
        return Settlement(delivery, Bury(reason, loss), outcome.failure, outcome.follow_ups, flow=outcome.flow)
    return Settlement(delivery, Requeue(loss=loss))


def _decide_acknowledged(delivery: Delivery, outcome: Outcome) -> Settlement:
    """The message was removed before the run: what is left is the result, the follow-ups and perhaps a new message."""
    match outcome:
        case Retried():
            return Settlement(delivery, _KEEP, outcome.result, _moved(delivery, outcome), fenced=False)
        case Rejected(requeue=True):
            again = Publication(delivery.message, delivery.queue, delivery.priority)
            return Settlement(delivery, _KEEP, None, (again,), fenced=False)
        case Early():
            later = Publication(outcome.message, delivery.queue, delivery.priority, outcome.not_before)
            return Settlement(delivery, _KEEP, None, (later,), fenced=False)
        case Succeeded() | Failed() | TimedOut() | Discarded():
            return Settlement(delivery, _KEEP, outcome.result, outcome.follow_ups, fenced=False, flow=outcome.flow)
        case Lost():
            return Settlement(delivery, _KEEP, outcome.failure, outcome.follow_ups, fenced=False, flow=outcome.flow)
        case Ignored() | Replaced():
            return Settlement(delivery, _KEEP, None, outcome.follow_ups, fenced=False, flow=outcome.flow)
        case Rejected() | Unrunnable():
            action = Bury(outcome.reason)
            return Settlement(delivery, action, outcome.result, outcome.follow_ups, fenced=False, flow=outcome.flow)
