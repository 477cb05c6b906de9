"""Connections to Redis for threads: a pool of them.

Owns what becomes of a connection after an error. Who may use one when is the pool's part, how one is made `location`'s,
and the protocol itself redis-py's. Nothing is sent twice but what a server did not execute because another one is
the master: whether a failed call may be repeated is for the caller to know.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError, ResponseError

from celeriac.storage.pool import Pool
from celeriac.storage.redis.commands import Arg, Command, UnknownScript, packed, unwrapped, was_sent_elsewhere
from celeriac.storage.redis.errors import breaks_link, translate_error

if TYPE_CHECKING:
    from redis.connection import AbstractConnection

    from celeriac.storage.redis.location import Location
    from celeriac.storage.redis.scripts import Script


class Links:
    """Connections for threads: each call borrows one, at most `location.pool_limit` are open.

    Safe to use from any thread and after a fork (a child opens connections of its own).

    Args:
        location: where to connect to.
    """

    def __init__(self, location: Location) -> None:
        self._location = location
        self._pool: Pool[AbstractConnection] = Pool(
            location.address,
            lambda: location.connect(),  # noqa: PLW0108 - looked up at each call
            _is_good,
            _close,
            limit=location.pool_limit,
            patience=location.pool_timeout,
        )

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
        self._pool.close()

    def _exchange(self, commands: Sequence[Command], *, transaction: bool) -> list[Any]:
        replies = self._send(commands, transaction=transaction)
        if was_sent_elsewhere(replies):
            replies = self._send(commands, transaction=transaction)
        return unwrapped(replies, self._location.address, transaction=transaction)

    def _send(self, commands: Sequence[Command], *, transaction: bool) -> list[Any]:
        connection = self._pool.borrow()
        try:
            connection.send_packed_command(packed(commands, transaction=transaction), check_health=False)
            replies = [_read(connection) for _ in range(len(commands) + 2 * transaction)]
        except BaseException as error:
            self._pool.discard(connection)  # what is still to come would be taken for the answer to the next command
            if isinstance(error, RedisError | OSError):
                raise translate_error(error, self._location.address) from error
            raise
        if any(isinstance(reply, Exception) and breaks_link(reply) for reply in replies):
            self._pool.discard(connection)
        else:
            self._pool.give_back(connection)
        return replies


def _is_good(connection: AbstractConnection) -> bool:
    """An idle connection has nothing to say: what can be read is its end.

    Found out before anything is sent, this needs no second sending of something that may have been done.
    """
    try:
        if connection.can_read(0):
            return False
        connection.check_health()  # a PING, for those who ask for it by a health_check_interval
    except (RedisError, OSError):
        return False
    return True


def _close(connection: AbstractConnection) -> None:
    connection.disconnect()


def _read(connection: AbstractConnection) -> Any:
    try:
        return connection.read_response(disable_decoding=True)
    except ResponseError as error:
        return error
