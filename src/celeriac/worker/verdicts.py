"""What becomes of deliveries: outcomes of executors, losses and time limits, each turned into one settlement.

The supervisor's half of the state machine: it makes the outcomes of attempts that can not speak for themselves, asks
`decide`, and hands the settlement to the settler.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from celeriac.exceptions import TimeLimitExceeded, WorkerLostError
from celeriac.message import Delivery, Publication
from celeriac.outcome import AckPolicy, Keep, Lost, Outcome, Requeue, Settlement, TimedOut, Unrunnable, decide
from celeriac.worker.admission import Admission
from celeriac.worker.executors.executor import Assignment, Executor
from celeriac.worker.executors.launcher import Launcher
from celeriac.worker.executors.pool import Pool
from celeriac.worker.failures import announce_failure, bare_failure, consequences, record_failure, record_started
from celeriac.worker.joiner import is_join
from celeriac.worker.settler import Settler
from celeriac.worker.time_limits import TimeLimits

if TYPE_CHECKING:
    from celeriac.app import Celeriac

logger = logging.getLogger("celeriac.worker")


class Joins(Protocol):
    """Who makes the bodies of chords."""

    def resubmit(self, assignments: Sequence[Assignment]) -> None:
        """No executor has room for these."""
        ...

    def ended(self, assignment: Assignment) -> None:
        """This one was made, or its executor has ended."""
        ...


class Verdicts:
    """Implements `dispatcher.Outcomes`.

    Args:
        app: whose tasks are run.
        owner: this worker's name in histories.
        hostname: its node name, for STARTED.
        admission: knows each task's policy.
        settler: writes what is decided.
        pools: for time limits.
        launcher: for time limits.
        joins: told what becomes of the bodies that are made here.
    """

    def __init__(
        self,
        app: Celeriac,
        owner: str,
        hostname: str,
        admission: Admission,
        settler: Settler,
        pools: dict[str, Pool],
        launcher: Launcher,
        joins: Joins,
    ) -> None:
        self._app = app
        self._owner = owner
        self._hostname = hostname
        self._admission = admission
        self._settler = settler
        self._joins = joins
        self._limits = TimeLimits(pools, launcher, app.conf.worker_hard_limit_grace, self)

    def on_started(self, executor: Executor, assignment: Assignment) -> None:
        self._limits.begin(executor, assignment)
        if assignment.track_started:
            record = record_started(self._app, assignment.delivery, executor.pid, self._hostname)
            self._settler.put(Settlement(assignment.delivery, Keep(), record, fenced=assignment.policy.acks_late))

    def on_finished(self, ended: Sequence[tuple[Assignment, Outcome]]) -> None:
        now = self._app.clock.time()
        settlements: list[Settlement] = []
        for assignment, outcome in ended:
            if assignment.job.announce:
                self._limits.end(assignment)
            settlements.append(decide(assignment.delivery, outcome, now, assignment.policy))
            self._note_join(assignment)
        self._settler.put_all(settlements)

    def on_lost(self, assignment: Assignment, reason: str) -> None:
        self._limits.end(assignment)
        self._note_join(assignment)
        self._settle_lost(assignment.delivery, Lost(reason, self._owner), assignment.policy)

    def on_unwanted(self, assignments: Sequence[Assignment]) -> None:
        joins = [assignment for assignment in assignments if is_join(assignment.delivery)]
        if joins:
            self._joins.resubmit(joins)
            assignments = [assignment for assignment in assignments if not is_join(assignment.delivery)]
        late = [assignment.delivery for assignment in assignments if assignment.policy.acks_late]
        if late:
            self._settler.release(late)
            self._admission.note_given_back(late)
        for assignment in assignments:
            if not assignment.policy.acks_late:  # it has left its queue: publish it again, as it was
                delivery = assignment.delivery
                again = Publication(delivery.message, delivery.queue, delivery.priority)
                self._settler.put(Settlement(delivery, Keep(), None, (again,), fenced=False))

    def _note_join(self, assignment: Assignment) -> None:
        if is_join(assignment.delivery):
            self._joins.ended(assignment)

    def on_untold(self, assignment: Assignment, error: Exception) -> None:
        self._note_join(assignment)
        delivery = assignment.delivery
        failure = bare_failure(self._app, delivery.packed, error)
        follows = consequences(self._app, delivery, error)
        reason = f"it can not be handed to an executor: {error!r}"
        outcome = Unrunnable(reason, failure, follows.publications, follows.flow)
        self._settler.put(decide(delivery, outcome, self._app.clock.time(), assignment.policy))

    def on_timed_out(self, assignment: Assignment, limit: float) -> None:
        """The hard time limit has passed; whatever the attempt still does is not recorded."""
        exception = TimeLimitExceeded(limit)
        delivery = assignment.delivery
        follows = consequences(self._app, delivery, exception)
        failure = record_failure(self._app, delivery, exception)
        outcome = TimedOut(repr(exception), failure, follows.publications, follows.flow)
        self._settler.put(decide(delivery, outcome, self._app.clock.time(), assignment.policy))

    def on_ended_by_force(self, assignment: Assignment, limit: float) -> None:
        """Nobody else can tell those who listen to `task_failure`."""
        announce_failure(self._app, assignment.delivery, TimeLimitExceeded(limit))

    def on_recovered(self, delivery: Delivery) -> None:
        """A dead worker held this; it is ours now (docs/adr/0002)."""
        policy = self._admission.policy_of(delivery)
        if not policy.acks_late:  # it is still in the store, so it had not been acknowledged, and not run
            self._settler.put(Settlement(delivery, Requeue()))
            return
        counted = not delivery.doubtful and (delivery.started or not delivery.history)
        self._settle_lost(
            delivery, Lost(f"its worker {delivery.lost_by} is gone", str(delivery.lost_by), counted), policy
        )

    def stop(self) -> None:
        """Stop all timers."""
        self._limits.stop()

    def _settle_lost(self, delivery: Delivery, lost: Lost, policy: AckPolicy) -> None:
        exception = WorkerLostError(f"Worker lost: {lost.reason}")
        reason = f"WorkerLostError: {lost.reason}"
        now = self._app.clock.time()
        settlement = decide(delivery, Lost(reason, lost.worker, lost.started), now, policy)
        if not isinstance(settlement.action, Requeue):  # the last loss: only then is the message looked into
            failure = record_failure(self._app, delivery, exception)
            follows = consequences(self._app, delivery, exception)
            final = Lost(reason, lost.worker, lost.started, failure, follows.publications, follows.flow)
            settlement = decide(delivery, final, now, policy)
        self._settler.put(settlement)
        if isinstance(settlement.action, Requeue):
            count = f"{len(delivery.history) + 1} of {policy.max_deliveries}" if lost.started else "not counted"
            level = logging.DEBUG if delivery.doubtful else logging.WARNING  # there may be a million of them
            logger.log(level, "Task %s was lost (%s) and runs again: %s", delivery.label, count, lost.reason)
        else:
            logger.error("Task %s was lost: %s", delivery.label, lost.reason)
            announce_failure(self._app, delivery, exception)
