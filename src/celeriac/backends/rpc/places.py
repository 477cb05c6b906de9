"""Where results go that have come to this process, and who waits for them.

Owns what is kept and for how long. Knows nothing of connections and of how results are written.
"""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final

from celeriac.exceptions import BackendError
from celeriac.outcome import ResultRecord
from celeriac.states import READY_STATES, SUCCESS

#: Results of tasks that nobody holds on to any more; a hundred of them may be a megabyte or ten kilobytes.
DEFAULT_LIMIT: Final = 10_000


class Place:
    """The place of one task's result.

    Attributes:
        record: the last state that has come, if any.
        error: why what has come can not be read. Whoever asks gets it.
        expected_in: the number of the reply queue's life in which the task was sent; 0 if this process sent none.
    """

    __slots__ = ("__weakref__", "error", "expected_in", "record", "wakers")

    def __init__(self) -> None:
        self.record: ResultRecord | None = None
        self.error: str | None = None
        self.expected_in = 0
        self.wakers: list[Callable[[], None]] = []

    def read(self) -> ResultRecord | None:
        """What has come.

        Raises:
            BackendError: it can not be read.
        """
        if self.error is not None:
            raise BackendError(self.error)
        return self.record

    def read_ready(self) -> ResultRecord | None:
        """What has come, if the task is done with; raises as `read`."""
        record = self.read()
        return record if record is not None and record.status in READY_STATES else None

    @property
    def is_final(self) -> bool:
        """Nothing that may come changes it."""
        return self.record is not None and self.record.status == SUCCESS


class Places:
    """The places of all results that are expected, awaited or have come. Thread-safe.

    A place is kept for as long as somebody holds it: an `AsyncResult`, or who waits. Of what came for nobody, the last
    `limit` results are kept.

    Args:
        limit: how many; None for all.
    """

    def __init__(self, limit: int | None = DEFAULT_LIMIT) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._known: weakref.WeakValueDictionary[str, Place] = weakref.WeakValueDictionary()
        self._latest: OrderedDict[str, Place] = OrderedDict()
        self._waiting: set[Place] = set()

    def find(self, task_id: str) -> Place | None:
        """The place of this task, if there is one."""
        with self._lock:
            return self._known.get(task_id)

    def read_many(self, task_ids: Iterable[str]) -> list[ResultRecord]:
        """What has come of these tasks; raises as `Place.read`."""
        with self._lock:
            places = [self._known.get(task_id) for task_id in dict.fromkeys(task_ids)]
        records = [place.read() for place in places if place is not None]
        return [record for record in records if record is not None]

    def claim(self, task_ids: Iterable[str], expected_in: int = 0) -> dict[str, Place]:
        """The places of these tasks, new ones where there are none. They last for as long as they are held.

        Args:
            task_ids: whose.
            expected_in: the number to note if none is noted yet.
        """
        with self._lock:
            places = {}
            for task_id in task_ids:
                place = self._known.get(task_id)
                if place is None:
                    place = self._known[task_id] = Place()
                place.expected_in = place.expected_in or expected_in
                places[task_id] = place
            return places

    def put(self, task_id: str, found: ResultRecord | str) -> None:
        """Note what has come: a state, or why it can not be read. Wakes who waits if there is nothing to wait for."""
        with self._lock:
            place = self._known.get(task_id)
            if place is None:
                place = self._known[task_id] = Place()
            if not place.is_final:
                _fill(place, found)
            self._keep(task_id, place)
            ends = place.error is not None or (place.record is not None and place.record.status in READY_STATES)
            wakers, place.wakers = (place.wakers, []) if ends else ([], place.wakers)
            if ends:
                self._waiting.discard(place)
        for wake in wakers:
            wake()

    def add_waker(self, place: Place, wake: Callable[[], None]) -> None:
        """Call `wake`, from another thread, when the result of `place` is ready or the wait is over for all."""
        with self._lock:
            place.wakers.append(wake)
            self._waiting.add(place)

    def remove_waker(self, place: Place, wake: Callable[[], None]) -> None:
        """End `add_waker`; it may have been called."""
        with self._lock:
            if wake in place.wakers:
                place.wakers.remove(wake)
            if not place.wakers:
                self._waiting.discard(place)

    def wake_all(self) -> None:
        """Wake everybody who waits: nothing will come for now."""
        with self._lock:
            wakers = [wake for place in self._waiting for wake in place.wakers]
            for place in self._waiting:
                place.wakers = []
            self._waiting.clear()
        for wake in wakers:
            wake()

    def count_waiting(self) -> int:
        """Results that somebody waits for."""
        with self._lock:
            return len(self._waiting)

    def forget(self, task_id: str) -> None:
        """Drop what has come."""
        with self._lock:
            self._latest.pop(task_id, None)
            place = self._known.get(task_id)
            if place is not None:
                place.record = place.error = None

    def after_fork_in_child(self) -> None:
        """What had come may be asked for; what is expected and whoever waits is the parent's."""
        self._lock = threading.Lock()
        for place in list(self._known.values()):
            place.wakers, place.expected_in = [], 0
        self._waiting = set()

    def _keep(self, task_id: str, place: Place) -> None:
        self._latest[task_id] = place
        self._latest.move_to_end(task_id)
        if self._limit is not None and len(self._latest) > self._limit:
            self._latest.popitem(last=False)


def _fill(place: Place, found: ResultRecord | str) -> None:
    if isinstance(found, str):
        place.record, place.error = None, found
    else:
        place.record, place.error = found, None
