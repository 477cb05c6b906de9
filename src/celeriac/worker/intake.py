"""The way of a delivery from the broker to the executors: admit, acknowledge early or mark where needed, dispatch."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from celeriac.clock import Clock
from celeriac.message import Delivery
from celeriac.outcome import Acknowledge, Discarded, Early, Settlement, Unrunnable, decide
from celeriac.worker.admission import Admission
from celeriac.worker.dispatcher import Dispatcher
from celeriac.worker.executors.executor import Assignment
from celeriac.worker.settler import Settler

logger = logging.getLogger("celeriac.worker")


class Intake:
    """Takes what the consumer brings.

    Args:
        clock: for expiry.
        admission: decides what is run at all.
        settler: writes what must be written before a run.
        dispatcher: runs the rest.
    """

    def __init__(self, clock: Clock, admission: Admission, settler: Settler, dispatcher: Dispatcher) -> None:
        self._clock = clock
        self._admission = admission
        self._settler = settler
        self._dispatcher = dispatcher

    async def take(self, deliveries: Sequence[Delivery]) -> None:
        """Have these run.

        Raises:
            Exception: something is wrong in the worker. What was to run is given back.
        """
        now = self._clock.time()
        admitted: list[Assignment] = []
        for delivery in deliveries:
            verdict = self._judge(delivery, now)
            if isinstance(verdict, Discarded | Early | Unrunnable):
                self._settler.put(decide(delivery, verdict, now))
            else:
                admitted.append(verdict)
        try:
            ready = await self._mark_suspects(await self._acknowledge_early(admitted))
        except Exception:
            # Held here, they would run nowhere. What was acknowledged by now is lost, but never runs twice.
            self.give_back([assignment.delivery for assignment in admitted])
            raise
        self._dispatcher.submit(ready)

    def give_back(self, deliveries: Sequence[Delivery]) -> None:
        """Have these given back, untouched."""
        if deliveries:
            self._settler.release(deliveries)

    def _judge(self, delivery: Delivery, now: float) -> Assignment | Discarded | Early | Unrunnable:
        try:
            return self._admission.admit(delivery, now)
        except Exception as error:
            # Headers come from outside: whatever is wrong with these must not stop the worker, nor harm the others.
            logger.exception("Can not make sense of a message's headers")
            return Unrunnable(f"its headers make no sense: {error!r}")

    async def _acknowledge_early(self, assignments: list[Assignment]) -> list[Assignment]:
        """With `acks_late=False` a task is acknowledged before it runs: it may be lost, but never runs twice."""
        early = [assignment for assignment in assignments if not assignment.policy.acks_late]
        if not early:
            return assignments
        acknowledgements = [Settlement(one.delivery, Acknowledge(), before_run=True) for one in early]
        lost = await self._settler.settle_now(acknowledgements)
        return _without(assignments, [settlement.delivery for settlement in lost])

    async def _mark_suspects(self, assignments: list[Assignment]) -> list[Assignment]:
        """Messages that were lost before are marked, so that only those that ran are counted the next time."""
        suspects = [one.delivery for one in assignments if one.delivery.history and one.policy.acks_late]
        if not suspects:
            return assignments
        try:
            gone = await self._settler.mark_started(suspects)
        except Exception:  # noqa: BLE001 - one that can not be marked must not stop the others
            gone = [one for suspect in suspects for one in await self._mark_suspect(suspect)]
        return _without(assignments, gone)

    async def _mark_suspect(self, suspect: Delivery) -> list[Delivery]:
        """Mark one. Unmarked it must not run: what kills its worker would do so for ever, uncounted."""
        try:
            return await self._settler.mark_started([suspect])
        except Exception as error:  # noqa: BLE001 - said in the dead letter
            reason = f"it can not be marked as started: {error!r}"
            self._settler.put(decide(suspect, Unrunnable(reason), self._clock.time()))
            return [suspect]


def _without(assignments: list[Assignment], gone: Sequence[Delivery]) -> list[Assignment]:
    tags = {delivery.tag for delivery in gone}
    return [assignment for assignment in assignments if assignment.delivery.tag not in tags] if tags else assignments
