"""A bounded pool of connections for threads, of whatever kind.

Owns who may use a connection when, how many there are, and what becomes of them after a fork or a signal. Knows nothing
of what is said over them.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from celeriac.exceptions import OperationalError
from celeriac.storage.forks import renew_in_children

L = TypeVar("L")

#: Seconds between looks of one who waits for a connection: nobody tells of one that was lost.
_LOOK_SECONDS: Final = 0.5


class _Ticket:
    """A place of one who is opening a connection."""


class Pool(Generic[L]):
    """Connections, each for one borrower at a time.

    Safe to use from any thread and after a fork (a child opens connections of its own).

    Args:
        address: whose they are, for errors.
        connect: makes a new one.
        is_good: says of an idle one, before it is lent again, whether it still works. Must not raise for one that does
            not, and must not wait.
        close: ends one for good. Must not raise.
        limit: most connections at once; None for no limit.
        patience: seconds to wait for one when there are as many; None for as long as it takes.
        leave: lets go of one in a forked child, without harm to the parent's; None: nothing needs to be done.

    Example:
        link = pool.borrow()
        try:
            ...
        except BaseException:
            pool.discard(link)
            raise
        pool.give_back(link)
    """

    def __init__(
        self,
        address: str,
        connect: Callable[[], L],
        is_good: Callable[[L], bool],
        close: Callable[[L], object],
        *,
        limit: int | None,
        patience: float | None,
        leave: Callable[[L], object] | None = None,
    ) -> None:
        self._address = address
        self._connect, self._is_good, self._close, self._leave = connect, is_good, close, leave
        self._limit, self._patience = limit, patience
        self._renew()
        renew_in_children(self)

    def after_fork_in_child(self) -> None:
        """The connections are the parent's."""
        if self._leave is not None:
            for link in self.links():
                self._leave(link)
        self._renew()

    def borrow(self) -> L:
        """A connection that works, as far as can be seen without asking its server.

        Raises:
            OperationalError: none can be had, or not in time.
        """
        while True:
            link = self._take_idle()
            if link is None:
                ticket = self._place_to_open()
                if ticket is not None:
                    return self._open(ticket)
                continue  # one was given back
            if self._is_good(link):
                return link
            self.discard(link)

    def give_back(self, link: L) -> None:
        """Return one that is ready for others."""
        self._idle.append(link)
        if self._waiters:
            with self._lock:
                self._changed.notify()

    def discard(self, link: L) -> None:
        """Close one that is of no use any more, instead of giving it back."""
        self._close(link)
        self.detach(link)

    def detach(self, link: L) -> None:
        """Let the borrower keep one: it is not counted any more, and neither closed nor left by the pool."""
        self._free(link)

    def links(self) -> list[L]:
        """All connections that are there, also those that are lent."""
        return [holder for holder in self._holders() if not isinstance(holder, _Ticket)]

    def close(self) -> None:
        """Close the connections that nobody is using. The next borrower opens another."""
        while (link := self._take_idle()) is not None:
            self.discard(link)

    def _renew(self) -> None:
        self._idle: deque[L] = deque()
        # A signal's exception can come between any two lines, also within a callback of a weak reference. Whoever is
        # lost by it has no place any more as soon as nobody knows it: that is looked up, and counted by nobody.
        self._places: dict[int, weakref.ref[L | _Ticket]] = {}
        self._waiters = 0
        # Asked for itself in `with`: Condition's own way in is Python code, in which an exception leaves it locked.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)

    def _take_idle(self) -> L | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _open(self, ticket: _Ticket) -> L:
        try:
            link = self._connect()
            self._hold(link)
            return link
        finally:
            self._free(ticket)

    def _hold(self, holder: L | _Ticket) -> None:
        with self._lock:
            self._places[id(holder)] = weakref.ref(holder)

    def _free(self, holder: L | _Ticket) -> None:
        with self._lock:
            self._places.pop(id(holder), None)
            self._changed.notify()

    def _holders(self) -> list[L | _Ticket]:
        """All who have a place and are still there; the others have none any more."""
        with self._lock:
            found = {place: holder() for place, holder in self._places.items()}
            for place in [place for place, holder in found.items() if holder is None]:
                del self._places[place]
        return [holder for holder in found.values() if holder is not None]

    def _has_room(self, limit: int | None) -> bool:
        return limit is None or len(self._holders()) < limit

    def _place_to_open(self) -> _Ticket | None:
        """A place for one more connection; or wait while there may be no more, and return None when one is idle."""
        limit, patience = self._limit, self._patience
        with self._lock:
            if self._has_room(limit):
                ticket = _Ticket()
                self._hold(ticket)
                return ticket
            self._waiters += 1  # before the look: whoever gives one back looks here after that
            deadline = None if patience is None else time.monotonic() + patience
            try:
                while not (is_free := bool(self._idle) or self._has_room(limit)):
                    left = _LOOK_SECONDS if deadline is None else min(_LOOK_SECONDS, deadline - time.monotonic())
                    if left <= 0:
                        break
                    self._changed.wait(left)
            finally:
                self._waiters -= 1
        if not is_free:
            raise OperationalError(
                f"no free connection to {self._address} within {patience} s: all {limit} are in use; "
                "raise broker_pool_limit or broker_pool_acquire_timeout"
            )
        return None
