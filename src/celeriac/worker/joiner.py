"""Claims complete chords and has their bodies made.

Owns when to look and how many to claim. A chord that was claimed by a worker which is gone by now is claimed again when
the claim has run out.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from celeriac.backends.base import ChordStore
from celeriac.chords import ClaimedChord
from celeriac.exceptions import CeleriacError, NotSupported, OperationalError
from celeriac.joins import JOIN_CHORD, join_message
from celeriac.message import Delivery, PackedMessage
from celeriac.outcome import Discarded, Early, Unrunnable
from celeriac.worker.admission import Admission
from celeriac.worker.dispatcher import Dispatcher
from celeriac.worker.executors.executor import Assignment
from celeriac.worker.outages import Trouble

if TYPE_CHECKING:
    from celeriac.app import Celeriac

logger = logging.getLogger("celeriac.worker")

#: Chords in one trip.
_MOST_AT_ONCE: Final = 100


def is_join(delivery: Delivery) -> bool:
    """It is the making of a chord's body, which lies in no queue."""
    return bool(delivery.head.task == JOIN_CHORD)


class Joiner:
    """Makes the bodies of chords whose headers are complete. A duty, and looks at once when it is told to.

    Args:
        app: whose chords they are.
        queues: those that this worker takes from: chords completed by their tasks are its own to join.
        admission: makes assignments.
        dispatcher: runs them.
        seconds: how long a claim lasts.
        trouble: told when the store can not be reached.
    """

    def __init__(
        self,
        app: Celeriac,
        queues: Sequence[str],
        admission: Admission,
        dispatcher: Dispatcher,
        seconds: float,
        trouble: Trouble,
    ) -> None:
        self._app = app
        self._queues = queues
        self._admission = admission
        self._dispatcher = dispatcher
        self._seconds = seconds
        self._trouble = trouble
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def look(self) -> None:
        """A chord may be complete."""
        self._wanted.set()

    async def tick(self) -> None:
        """Look for those that others have left behind."""
        self.look()

    async def _run(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                await self._join_all()
            except OperationalError as error:
                self._trouble.begins("joining chords", error)  # the next tick tries again
            except Exception:  # a worker that never joins again would be worse than one that says so
                logger.exception("Joining chords failed")
            else:
                self._trouble.ends("joining chords")

    async def _join_all(self) -> None:
        store = self._store()
        if store is None:
            return
        while claimed := await store.claim_chords(self._queues, _MOST_AT_ONCE, self._seconds):
            self._dispatcher.submit([one for chord in claimed if (one := self._assignment(chord)) is not None])

    def _store(self) -> ChordStore | None:
        try:
            return self._app.chord_store
        except NotSupported:
            return None

    def _assignment(self, chord: ClaimedChord) -> Assignment | None:
        limit = self._app.conf.task_max_deliveries
        refusal = chord.reason
        if refusal is None and chord.claims > limit:
            refusal = f"the body of chord {chord.group_id} could not be made: its worker was lost {limit} times"
        try:
            message = join_message(self._app, chord, refusal)
        except CeleriacError:
            logger.exception("Can not join chord %s", chord.group_id)
            return None
        delivery = Delivery(f"{chord.group_id}:{chord.claim}", 0, PackedMessage.pack(message), chord.queue)
        admitted = self._admission.admit(delivery, self._app.clock.time())
        return None if isinstance(admitted, Discarded | Early | Unrunnable) else admitted
