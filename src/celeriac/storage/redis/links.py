"""Connections to Redis for threads: a pool of them.

Owns who may use a connection when, and what becomes of it after an error. How a connection is made is `location`'s
part; the protocol itself is redis-py's. Nothing is sent twice but what a server did not execute because another one is
the master: whether a failed call may be repeated is for the caller to know.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import RedisError, ResponseError

from celeriac.exceptions import OperationalError
from celeriac.storage.forks import renew_in_children
from celeriac.storage.redis.commands import Arg, Command, UnknownScript, packed, unwrapped, was_sent_elsewhere
from celeriac.storage.redis.errors import breaks_link, translate_error

if TYPE_CHECKING:
    from redis.connection import AbstractConnection

    from celeriac.storage.redis.location import Location
    from celeriac.storage.redis.scripts import Script

#: Seconds between looks of one who waits for a connection: nobody tells of one that was lost.
_LOOK_SECONDS: Final = 0.5


class Links:
    """Connections for threads: each call borrows one, at most `location.pool_limit` are open.

    Safe to use from any thread and after a fork (a child opens connections of its own).

    Args:
        location: where to connect to.
    """

    def __init__(self, location: Location) -> None:
        self._location = location
        self.after_fork_in_child()
        renew_in_children(self)

    def call(self, *args: Arg) -> Any:
        """Send one command and return its reply.

        Raises:
            OperationalError: the server is away, or refuses for now.
            StoreRefused: it will never take this.
        """
        return self._exchange([args], transaction=False)[0]

    def call_all(self, commands: Sequence[Command], *, transaction: bool = False) -> list[Any]:
        """Send commands in one trip and return their replies.

        Args:
            commands: at least one.
            transaction: between MULTI and EXEC.

        Raises:
            OperationalError, StoreRefused: as `call`; for the first command that failed, when all have been answered.
        """
        return self._exchange(commands, transaction=transaction)

    def run(self, script: Script, keys: Sequence[Arg], args: Sequence[Arg]) -> Any:
        """Run a script and return its reply.

        Raises:
            OperationalError, StoreRefused: as `call`.
        """
        try:
            return self._exchange([("EVALSHA", script.sha, len(keys), *keys, *args)], transaction=False)[0]
        except UnknownScript:
            return self._exchange([("EVAL", script.text, len(keys), *keys, *args)], transaction=False)[0]

    def close(self) -> None:
        """Close the connections that nobody is using. The next call opens another."""
        while (connection := self._take_idle()) is not None:
            self._discard(connection)

    def after_fork_in_child(self) -> None:
        """The connections are the parent's; dropping them closes only this process's copies."""
        self._idle: deque[AbstractConnection] = deque()
        #: Weak: a signal's exception can come between any two lines and lose a connection, not its place.
        self._known: weakref.WeakSet[AbstractConnection] = weakref.WeakSet()
        self._opening = self._waiters = 0
        self._changed = threading.Condition()

    def _exchange(self, commands: Sequence[Command], *, transaction: bool) -> list[Any]:
        replies = self._send(commands, transaction=transaction)
        if was_sent_elsewhere(replies):
            replies = self._send(commands, transaction=transaction)
        return unwrapped(replies, self._location.address, transaction=transaction)

    def _send(self, commands: Sequence[Command], *, transaction: bool) -> list[Any]:
        connection = self._borrow()
        try:
            connection.send_packed_command(packed(commands, transaction=transaction), check_health=False)
            replies = [_read(connection) for _ in range(len(commands) + 2 * transaction)]
        except BaseException as error:
            self._discard(connection)  # what is still to come would be taken for the answer to the next command
            if isinstance(error, RedisError | OSError):
                raise translate_error(error, self._location.address) from error
            raise
        if any(isinstance(reply, Exception) and breaks_link(reply) for reply in replies):
            self._discard(connection)
        else:
            self._give_back(connection)
        return replies

    def _borrow(self) -> AbstractConnection:
        while True:
            connection = self._take_idle()
            if connection is None:
                if self._may_open():
                    return self._connect()
                continue  # one was given back
            # An idle connection has nothing to say: what can be read is its end. Found out before anything is sent,
            # this needs no second sending of something that may have been done.
            with suppress(RedisError, OSError):
                if not connection.can_read(0):
                    connection.check_health()  # a PING, for those who ask for it by a health_check_interval
                    return connection
            self._discard(connection)

    def _take_idle(self) -> AbstractConnection | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _connect(self) -> AbstractConnection:
        try:
            connection = self._location.connect()
            self._known.add(connection)
            return connection
        finally:
            with self._changed:
                self._opening -= 1
                self._changed.notify()

    def _is_free(self, limit: int) -> bool:
        return bool(self._idle) or len(self._known) + self._opening < limit

    def _may_open(self) -> bool:
        """Count one more connection; or wait while there may be no more, and return False when one is idle."""
        limit, patience = self._location.pool_limit, self._location.pool_timeout
        with self._changed:
            if limit is None or len(self._known) + self._opening < limit:
                self._opening += 1
                return True
            self._waiters += 1  # before the look: whoever gives one back looks here after that
            deadline = None if patience is None else time.monotonic() + patience
            try:
                while not (is_free := self._is_free(limit)):
                    left = _LOOK_SECONDS if deadline is None else min(_LOOK_SECONDS, deadline - time.monotonic())
                    if left <= 0:
                        break
                    self._changed.wait(left)
            finally:
                self._waiters -= 1
        if not is_free:
            raise OperationalError(
                f"no free connection to {self._location.address} within {patience} s: all {limit} are in use; "
                "raise broker_pool_limit or broker_pool_acquire_timeout"
            )
        return False

    def _give_back(self, connection: AbstractConnection) -> None:
        self._idle.append(connection)
        if self._waiters:
            with self._changed:
                self._changed.notify()

    def _discard(self, connection: AbstractConnection) -> None:
        connection.disconnect()
        with self._changed:
            self._known.discard(connection)
            self._changed.notify()


def _read(connection: AbstractConnection) -> Any:
    try:
        return connection.read_response(disable_decoding=True)
    except ResponseError as error:
        return error
