"""What a process knows of a server that takes no messages: RabbitMQ's alarms for memory and disk space.

RabbitMQ tells a connection so only once something was published over it, and stops reading from it then. What lies in
the socket is read when the alarm is over, even if nobody waits for it any more. So a connection that was told is kept:
over it comes word of the end, and until then nobody writes. Owns those connections, and who waits for them. Knows
nothing of how connections are made and lent.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NoReturn

from amqp.exceptions import AMQPError

from celeriac.exceptions import OperationalError
from celeriac.storage.forks import renew_in_children
from celeriac.storage.rabbitmq.parcels import Parcel
from celeriac.storage.rabbitmq.publishing import no_messages, waited

if TYPE_CHECKING:
    from celeriac.storage.rabbitmq.dialling import Connection
    from celeriac.storage.rabbitmq.link import Link

#: Seconds between looks of those who wait: only one of them can be the first to hear.
_LOOK_SECONDS: Final = 0.05


class _Kept:
    """A connection over which the server has said that it takes no messages.

    Attributes:
        parcels: those of a failed call that were all written to it, if the same ones can be recognised.
        is_answered: the server has answered for them after all.
        end: reading of the monotonic clock after which nobody is expected to ask for them; None as long as it is
            blocked.
    """

    def __init__(self, link: Link, parcels: Sequence[Parcel]) -> None:
        self.link = link
        is_known = link.publisher.is_written and not link.publisher.is_in_order and all(map(Parcel.has_id, parcels))
        self.parcels = tuple(parcels) if is_known else ()
        self.is_answered = False
        self.end: float | None = None

    def hear(self, patience: float) -> bool:
        """Without waiting, hear what the server has to say. Whether it is still worth keeping."""
        try:
            self.is_answered = self.link.publisher.catch_up()
        except (AMQPError, OSError):
            return False
        if self.link.is_blocked:
            self.end = None
            return True
        now = time.monotonic()
        self.end = self.end or now + patience
        return bool(self.parcels) and now < self.end

    def holds(self, parcels: Sequence[Parcel]) -> bool:
        """Whether it is these that were written to it."""
        return len(self.parcels) == len(parcels) and all(map(Parcel.is_same_as, self.parcels, parcels))


class Alarm:
    """Whether the server takes messages, as far as any connection of one owner was told.

    Safe to use from any thread and after a fork (a child knows nothing).

    Args:
        address: the server's, for errors.
        patience: seconds that calls wait for answers.

    Attributes:
        is_suspected: there may be something to wait for. Cheap to ask.
    """

    _changed: threading.Condition

    def __init__(self, address: str, patience: float) -> None:
        self._address = address
        self._patience = patience
        self._renew()
        renew_in_children(self)

    @property
    def is_on(self) -> bool:
        """Some connection was told that the server takes no messages, and none that it does."""
        return self.is_suspected and self._reason() is not None

    def watch(self, connection: Connection) -> None:
        """Learn what this one is told, by whoever reads from it."""

        def blocked(_: str) -> None:
            with self._changed:
                self._blocked.add(connection)
                self.is_suspected = True

        def unblocked() -> None:
            with self._changed:
                self._blocked.discard(connection)
                self._changed.notify_all()

        connection.on_blocked, connection.on_unblocked = blocked, unblocked

    def keep(self, link: Link, parcels: Sequence[Parcel]) -> None:
        """Take over a blocked connection, whose user is done with it.

        Args:
            link: the connection, which belongs to this object from now on.
            parcels: what was written to it by a call that failed; the same call may come again.
        """
        kept = _Kept(link, parcels)
        with self._changed:
            is_needed = bool(kept.parcels) or not any(other.link.is_blocked for other in self._kept)
            if is_needed:
                self._kept.append(kept)
                self.is_suspected = True
        if not is_needed:
            link.close()

    def wait(self, parcels: Sequence[Parcel], deadline: float) -> list[Parcel] | None:
        """Wait until the server takes messages again.

        Args:
            parcels: what is to be published then.
            deadline: reading of the monotonic clock.

        Returns:
            None when they may be published. Otherwise they were written before, by a call that failed, and the server
            has answered for them meanwhile: those that came back as not to be routed.

        Raises:
            OperationalError: it still takes none, or has refused what was written before.
        """
        with self._changed:
            self._waiting += 1
            try:
                before = next((kept for kept in self._kept if kept.holds(parcels)), None)
                while not self._is_over(before):
                    left = deadline - time.monotonic()
                    if left <= 0:
                        self._give_up(before)
                    self._changed.wait(min(left, _LOOK_SECONDS))
                if before not in self._kept:  # another thread was answered for the same ones, or it was lost
                    before = None
                if before is not None:
                    self._let_go(before)
            finally:
                self._waiting -= 1
        self._close_what_ended()
        return None if before is None else before.link.publisher.outcome(parcels)

    def close(self) -> None:
        """Close the connections, unless somebody waits."""
        with self._changed:
            if not self._waiting:
                for kept in list(self._kept):
                    self._let_go(kept)
        self._close_what_ended()

    def after_fork_in_child(self) -> None:
        """The connections are the parent's."""
        for kept in [*self._kept, *self._ended]:
            kept.link.leave()
        self._renew()

    def _renew(self) -> None:
        self.is_suspected = False
        self._changed = threading.Condition()
        self._kept: list[_Kept] = []
        self._ended: list[_Kept] = []
        #: Told so, and in use or kept. Weak: whoever uses one may lose it.
        self._blocked: weakref.WeakSet[Connection] = weakref.WeakSet()
        self._waiting = 0

    def _reason(self) -> str | None:
        """Why the server takes no messages, in its words; None: it does."""
        with self._changed:
            told = [kept.link.connection.blocked for kept in self._kept]
            told += [connection.blocked for connection in self._blocked if connection.wire.connected]
            return next((reason for reason in told if reason is not None), None)

    def _is_over(self, before: _Kept | None) -> bool:
        """Listen to all that are kept. Whether there is nothing to wait for any more."""
        for kept in list(self._kept):
            if not kept.hear(self._patience):
                self._let_go(kept)
        if before in self._kept:
            return before.is_answered
        is_on = self._reason() is not None
        self.is_suspected = is_on or bool(self._kept)
        return not is_on

    def _let_go(self, kept: _Kept) -> None:
        self._kept.remove(kept)
        self._ended.append(kept)
        self._changed.notify_all()

    def _close_what_ended(self) -> None:
        """Without the lock: saying goodbye takes a moment."""
        while self._ended:
            try:
                kept = self._ended.pop()
            except IndexError:  # another thread does the same
                return
            kept.link.close()

    def _give_up(self, before: _Kept | None) -> NoReturn:
        reason = self._reason()
        for kept in self._kept:
            kept.link.knock()
        what = f"{self._address} has not confirmed" if reason is None else no_messages(self._address, reason)
        sent = "nothing was sent" if before is None else "what was sent before may be stored all the same"
        raise OperationalError(f"{what}; {waited(self._patience)}; {sent}")
