"""The supervisor's handle on one executor: its channel, what it holds, and how much more it may be given."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from celeriac.message import Delivery
from celeriac.outcome import AckPolicy, Outcome
from celeriac.worker.ipc import (
    FROM_EXECUTOR,
    AsyncChannel,
    Begins,
    Done,
    ExecutorSetup,
    FromExecutor,
    Interrupt,
    PackedJob,
    Ready,
    Retiring,
    Returned,
    Run,
    Started,
    Stop,
    TakeBack,
)

logger = logging.getLogger("celeriac.worker")

#: Jobs that an executor may hold beyond its slots.
MAX_AHEAD: Final = 1024
#: An executor holds ahead what it can run in this many seconds: enough to bridge a trip to the broker.
_AHEAD_SECONDS: Final = 0.02
#: Tasks shorter than this are worth one job ahead; longer ones none, the next free slot takes the job instead.
_SHORT_SECONDS: Final = 0.1
#: An executor whose running job takes longer than this gives back what waits behind it.
STALL_SECONDS: Final = 0.1


class Assignment(msgspec.Struct):
    """A delivery on its way through an executor.

    Attributes:
        delivery: what is to be attempted.
        kind: the kind of executor it needs.
        policy: when it counts as done.
        job: what the executor is told.
        track_started: write STARTED when the attempt begins.
        alone: nothing else may be in the executor meanwhile: it was lost before and may be what kills executors.
    """

    delivery: Delivery
    kind: str
    policy: AckPolicy
    job: PackedJob
    track_started: bool = False
    alone: bool = False


class ExecutorEvents(Protocol):
    """What an executor tells its pool."""

    def on_started(self, executor: Executor, assignment: Assignment) -> None: ...

    def on_done(self, executor: Executor, ended: list[tuple[Assignment, Outcome]]) -> None: ...

    def on_returned(self, executor: Executor, assignments: list[Assignment]) -> None: ...

    def on_capacity(self, executor: Executor) -> None: ...

    def on_lost(self, executor: Executor) -> None: ...


class Executor:
    """One executor, from launch to end.

    Args:
        setup: what it is.
        events: told of everything that happens to it.
        now: monotonic time.
    """

    def __init__(self, setup: ExecutorSetup, events: ExecutorEvents, now: Callable[[], float]) -> None:
        self.setup = setup
        self.pid: int | None = None
        #: By tag, in the order given; the first `slots` of them are running or about to.
        self.assigned: dict[int, Assignment] = {}
        #: Given up for dead by a hard time limit, but still running.
        self.overdue: set[int] = set()
        self.ready = False
        self.retiring = False
        self.ended = False
        self.killed = False
        self._stop_sent = False
        self._events = events
        self._now = now
        self._task_seconds: float | None = None
        self._last_progress = now()
        self._asked_back = False
        self._idle = True  # nothing begins without a `Begins`
        self._channel: AsyncChannel[FromExecutor] | None = None

    async def connect(self, sock: socket.socket) -> None:
        self._channel = await AsyncChannel.connect(sock, FROM_EXECUTOR, self._on_frames, self._on_lost)

    @property
    def name(self) -> str:
        return f"{self.setup.kind} executor {self.setup.index} (pid {self.pid})"

    @property
    def capacity(self) -> int:
        """How many more jobs it may be given."""
        if self.retiring or self.ended or not self.ready or self._channel is None or not self._channel.is_open:
            return 0
        if self._asked_back or self._is_alone():
            return 0
        return self.setup.slots + self._ahead() - len(self.assigned) - len(self.overdue)

    @property
    def hungry(self) -> bool:
        """It has a free slot, or holds less than half of what it may ahead: worth a trip to the broker."""
        capacity = self.capacity
        return capacity > 0 and (len(self.assigned) < self.setup.slots or capacity * 2 >= self._ahead())

    @property
    def running(self) -> list[Assignment]:
        """Those that have begun; with threads and coroutines also those that may have."""
        if self._idle and self.setup.kind == "process":
            return []
        return self._first(self.setup.slots - len(self.overdue))

    def assign(self, assignments: list[Assignment]) -> None:
        """Give it these.

        Raises:
            Exception: no frame can be made of them, as of a number beyond 64 bits. It has been given none of them then.
        """
        assert self._channel is not None
        self._channel.send(Run(tuple(assignment.job for assignment in assignments)))
        if not self.assigned:
            self._last_progress = self._now()
        for assignment in assignments:  # what is not sent must not be noted: nothing would ever end it
            self.assigned[assignment.job.tag] = assignment

    def interrupt(self, tag: int, *, hard: bool, limit: float) -> None:
        """Raise the time limit's exception in that attempt."""
        if self._channel is not None:
            self._channel.send(Interrupt(tag, hard, limit))

    def abandon(self, tag: int) -> Assignment | None:
        """Expect nothing more of that attempt; its slot stays taken until it ends."""
        assignment = self.assigned.pop(tag, None)
        if assignment is not None:
            self.overdue.add(tag)
        return assignment

    def take_back_if_stalled(self) -> None:
        """Ask for what waits behind a job that takes longer than expected."""
        waiting = len(self.assigned) - self.setup.slots
        if waiting > 0 and not self._asked_back and self._is_stalled():
            self.take_back()

    def _is_stalled(self) -> bool:
        """What runs takes longer than what ran before let expect."""
        return bool(self.assigned) and self._now() - self._last_progress > STALL_SECONDS

    def take_back(self) -> None:
        """Ask for all that has not begun."""
        if self._channel is not None and self.assigned:
            self._asked_back = True
            self._channel.send(TakeBack())

    def retire(self) -> None:
        """Take no more, give back what has not begun, end after what runs."""
        self.retiring = True
        if self._channel is not None and not self._stop_sent:
            self._stop_sent = True
            self._channel.send(Stop())

    def hang_up(self) -> None:
        """Close the channel: the executor ends itself."""
        if self._channel is not None:
            self._channel.close()

    def abort(self) -> None:
        """Its process has ended: take what it had still sent, and close."""
        if self._channel is not None:
            self._channel.abort()

    def read_rest(self) -> None:
        """Take what it has sent up to now."""
        if self._channel is not None:
            self._channel.read_rest()

    def _ahead(self) -> int:
        seconds = self._task_seconds
        if seconds is None or seconds > _SHORT_SECONDS or self._is_stalled():
            return 0  # also after a stall: what was taken back must not come again on the word of shorter tasks
        return max(1, min(MAX_AHEAD, int(_AHEAD_SECONDS * self.setup.slots / max(seconds, 1e-6))))

    def _is_alone(self) -> bool:
        for assignment in self.assigned.values():
            return assignment.alone  # one that is alone is the only one
        return False

    def _first(self, count: int) -> list[Assignment]:
        found: list[Assignment] = []
        for assignment in self.assigned.values():
            if len(found) == count:
                break
            found.append(assignment)
        return found

    def _on_frames(self, frames: list[FromExecutor]) -> bool:
        ended: list[tuple[Assignment, Outcome]] = []
        progress = False
        for frame in frames:
            match frame:
                case Done():
                    progress = True
                    self._on_done(frame, ended)
                case Returned(tags):
                    self._asked_back = False
                    self._idle = self._idle or len(tags) == len(self.assigned)
                    returned = [self.assigned.pop(tag) for tag in tags if tag in self.assigned]
                    self._events.on_returned(self, returned)
                case Begins():
                    self._idle = False
                case Started(tag):
                    if tag in self.assigned:
                        self._events.on_started(self, self.assigned[tag])
                case Ready(pid):
                    self.pid = pid
                    self.ready = True
                    self._events.on_capacity(self)
                case Retiring(reason):
                    logger.info("Replacing %s: %s", self.name, reason)
                    self.retire()
                    self._events.on_capacity(self)
        if progress:
            self._last_progress = self._now()
            self._events.on_done(self, ended)
        return len(self.assigned) > 1  # with no more than one at work its end is to be heard at once

    def _on_done(self, done: Done, ended: list[tuple[Assignment, Outcome]]) -> None:
        self._idle = done.idle
        seconds, mean = done.seconds, self._task_seconds
        # Slower tasks must shrink what is held at once; faster ones let it grow gently.
        self._task_seconds = seconds if mean is None else mean + (seconds - mean) * (0.5 if seconds > mean else 0.1)
        assignment = self.assigned.pop(done.job, None)
        if assignment is None:
            self.overdue.discard(done.job)
        else:
            ended.append((assignment, done.outcome))

    def _on_lost(self) -> None:
        if not self.ended:
            self.ended = True
            self._events.on_lost(self)


async def open_executor(
    setup: ExecutorSetup, sock: socket.socket, events: ExecutorEvents, now: Callable[[], float]
) -> Executor:
    """Connect to an executor that was just launched."""
    executor = Executor(setup, events, now)
    await executor.connect(sock)
    return executor
