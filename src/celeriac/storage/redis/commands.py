"""Commands as bytes, and replies as results: what connections for threads and for event loops have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from hiredis import pack_command
from redis.exceptions import MovedError, NoScriptError, ReadOnlyError

from celeriac.exceptions import OperationalError
from celeriac.storage.redis.errors import translate_error

#: What a command is made of.
Arg: TypeAlias = bytes | str | int | float
Command: TypeAlias = Sequence[Arg]

_pack: Callable[[tuple[Arg, ...]], bytes] = pack_command  # type: ignore[assignment]  # its stub says: a tuple of one


class UnknownScript(OperationalError):
    """The server does not know the script by its checksum."""


def packed(commands: Sequence[Command], *, transaction: bool) -> list[bytes]:
    """The bytes to send. By hiredis itself: redis-py's packer for asyncio takes eight times as long."""
    bodies = [_pack(tuple(command)) for command in commands]
    return [_pack(("MULTI",)), *bodies, _pack(("EXEC",))] if transaction else bodies


def unwrapped(replies: list[Any], address: str, *, transaction: bool) -> list[Any]:
    """The replies, of a transaction those to what was in it.

    Raises:
        UnknownScript: one of them says so.
        OperationalError, StoreRefused: one of them is an error.
    """
    for reply in replies:
        if isinstance(reply, NoScriptError):
            raise UnknownScript(str(reply))
        if isinstance(reply, Exception):
            raise translate_error(reply, address) from reply
    if not transaction:
        return replies
    executed: list[Any] = replies[-1]
    return unwrapped(executed, address, transaction=False)


def was_sent_elsewhere(replies: Sequence[Any]) -> bool:
    """A single command was refused because another server is the master by now: it was not executed, and may be sent to
    whomever a new connection leads to.
    """
    return len(replies) == 1 and isinstance(replies[0], ReadOnlyError | MovedError)
