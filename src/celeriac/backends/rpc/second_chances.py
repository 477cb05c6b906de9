"""Results whose queue was not there. After an outage workers and clients come back in any order: a worker that is the
first would send results to nobody, so it keeps them for some seconds and tries again.

Most of them belong to programs that have ended, and are dropped after that. Their number is bounded.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Final

from celeriac.exceptions import CeleriacError
from celeriac.storage.rabbitmq.parcels import Parcel

logger = logging.getLogger("celeriac.backend")

#: How often to try again.
_TRIES: Final = 6
#: Results that are kept at one time.
_MOST: Final = 1000


class SecondChances:
    """Keeps what came back, and publishes it again. Thread-safe.

    Args:
        publish: as `Links.publish`.
        grace: seconds after which it is dropped; 0: at once.
    """

    def __init__(self, publish: Callable[[Sequence[Parcel]], list[Parcel]], grace: float) -> None:
        self._publish = publish
        self._interval = grace / _TRIES
        self._lock = threading.Lock()
        self._kept: list[tuple[Parcel, int]] = []
        self._timer: threading.Timer | None = None

    def add(self, parcels: Sequence[Parcel]) -> None:
        """Try these again later."""
        self._keep([(parcel, _TRIES if self._interval else 0) for parcel in parcels])

    def stop(self) -> None:
        """Drop what is kept."""
        with self._lock:
            timer, self._timer = self._timer, None
            kept, self._kept = self._kept, []
        if timer is not None:
            timer.cancel()
        drop([parcel for parcel, _ in kept])

    def after_fork_in_child(self) -> None:
        """What is kept is the parent's, and so is the thread."""
        self._lock = threading.Lock()
        self._kept = []
        self._timer = None

    def _keep(self, chances: list[tuple[Parcel, int]]) -> None:
        with self._lock:
            fit = [chance for chance in chances if chance[1] > 0][: _MOST - len(self._kept)]
            self._kept += fit
            if fit and self._timer is None:
                self._timer = threading.Timer(self._interval, self._try)
                self._timer.name, self._timer.daemon = "celeriac-results-again", True
                self._timer.start()
        kept = {id(parcel) for parcel, _ in fit}
        drop([parcel for parcel, _ in chances if id(parcel) not in kept])

    def _try(self) -> None:
        with self._lock:
            if self._timer is not threading.current_thread():
                return  # it was stopped in this moment
            kept, self._kept, self._timer = self._kept, [], None
        try:
            missed = self._publish([parcel for parcel, _ in kept])
        except CeleriacError as error:  # away again, or one of them can not be sent: the others have tries left
            logger.debug("Results could not be sent again: %s", error)
            missed = [parcel for parcel, _ in kept]
        unsent = {id(parcel) for parcel in missed}
        self._keep([(parcel, tries - 1) for parcel, tries in kept if id(parcel) in unsent])


def drop(parcels: Sequence[Parcel]) -> None:
    """Say of each that it is dropped."""
    for parcel in parcels:
        task_id = parcel.content.properties["correlation_id"]
        logger.debug("The result of %s is dropped: nobody has its queue %s", task_id, parcel.routing_key)
