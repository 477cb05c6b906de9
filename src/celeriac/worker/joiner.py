"""Claims complete chords and has their bodies made.

Owns when to look and how many to claim. A chord that was claimed by a worker which is gone by now is claimed again when
the claim has run out.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from celeriac.chords import ClaimedChord
from celeriac.exceptions import CeleriacError, OperationalError
from celeriac.joins import JOIN_CHORD, join_message
from celeriac.message import Delivery, PackedMessage
from celeriac.outcome import AckPolicy, Discarded, Early, Unrunnable
from celeriac.worker.admission import Admission
from celeriac.worker.executors.executor import Assignment
from celeriac.worker.outages import Trouble

if TYPE_CHECKING:
    from celeriac.app import Celeriac

logger = logging.getLogger("celeriac.worker")

#: Chords in one trip.
_MOST_AT_ONCE: Final = 100
#: Seconds between looks whether an executor has room.
_ROOM_SECONDS: Final = 0.01
#: Parts of the worker that must work for a body to be sent.
_WRITING: Final = ("settling", "taking tasks")
_NAME: Final = "joining chords"
_POLICY: Final = AckPolicy(acks_late=False)


def is_join(delivery: Delivery) -> bool:
    """It is the making of a chord's body, which lies in no queue."""
    return bool(delivery.head.task == JOIN_CHORD)


class Joiner:
    """Makes the bodies of chords whose headers are complete. A duty, and looks at once when it is told to.

    Args:
        app: whose chords they are.
        queues: those that this worker takes from: chords completed by their tasks are its own to join.
        admission: makes assignments.
        submit: has them run.
        has_room: says whether they would be run soon.
        keep_room: has a place left free for them, or no more.
        seconds: how long a claim lasts.
        trouble: told when the store can not be reached.
    """

    def __init__(
        self,
        app: Celeriac,
        queues: Sequence[str],
        admission: Admission,
        submit: Callable[[Sequence[Assignment]], None],
        has_room: Callable[[], bool],
        keep_room: Callable[[bool], None],
        seconds: float,
        trouble: Trouble,
    ) -> None:
        self._app = app
        self._queues = queues
        self._admission = admission
        self._submit = submit
        self._has_room = has_room
        self._keep_room = keep_room
        self._seconds = seconds
        self._trouble = trouble
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        #: Joins that have been claimed here and have not been made.
        self._pending: set[int | str] = set()
        self._stopped = False

    def start(self) -> None:
        """Begin to look, if chords can be joined at all."""
        if not self._app.joins_chords:
            return
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        self._stopped = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def look(self) -> None:
        """A chord may be complete."""
        self._wanted.set()

    async def tick(self) -> None:
        """Look for those that others have left behind."""
        self.look()

    def resubmit(self, assignments: Sequence[Assignment]) -> None:
        """No executor has had room for these: they wait on. They lie in no queue that they could go back to."""
        if not self._stopped:
            self._submit(assignments)

    def ended(self, assignment: Assignment) -> None:
        """This one was made, or its executor has ended."""
        self._pending.discard(assignment.delivery.tag)
        self.look()

    async def _run(self) -> None:
        while True:
            await self._wanted.wait()
            await self._wait_for_room()
            self._wanted.clear()
            try:
                await self._join_all()  # the place that was kept is still free
            except OperationalError as error:
                self._trouble.begins(_NAME, error)  # the next tick tries again
            except Exception:  # a worker that never joins again would be worse than one that says so
                logger.exception("Joining chords failed")
            else:
                self._trouble.ends(_NAME)
            finally:
                self._keep_room(False)

    async def _wait_for_room(self) -> None:
        """Until what is claimed would be run soon, and could be written.

        Each claim counts, since one that kills its worker must not be made for ever: a worker that is busy, or can not
        write, leaves chords to others, and what it has claimed before comes first.
        """
        try:
            # Nobody tells of all of these; and who waits here has nothing else to do.
            while self._pending or self._trouble.has(*_WRITING) or not self._has_room():
                self._keep_room(not self._pending)
                await asyncio.sleep(_ROOM_SECONDS)
        except BaseException:
            self._keep_room(False)
            raise

    async def _join_all(self) -> None:
        store = self._app.chord_store
        claimed = await store.claim_chords(self._queues, _MOST_AT_ONCE, self._seconds)
        assignments = [one for chord in claimed if (one := self._assignment(chord)) is not None]
        self._pending.update(one.delivery.tag for one in assignments)
        self._submit(assignments)
        if claimed:
            self.look()  # there may be more

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
        tag, packed = f"{chord.group_id}:{chord.claim}", PackedMessage.pack(message)
        delivery = Delivery(tag, 0, packed, chord.queue, chord.priority)
        admitted = self._admission.admit(delivery, self._app.clock.time())
        if isinstance(admitted, Discarded | Early | Unrunnable):
            return None
        # Whatever the program says of all its tasks: there is no message to acknowledge, and no task code to limit.
        admitted.policy, admitted.track_started = _POLICY, False
        admitted.job = msgspec.structs.replace(admitted.job, time_limit=None, soft_time_limit=None, announce=False)
        return admitted
