"""The search for the server that takes writes, as questions to be asked: one text for blocking code and for asyncio.

A search is a generator: it yields questions, is sent the answers, and returns a server. It opens nothing.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, NamedTuple

from celeriac.storage.redis.addresses import Server


class Question(NamedTuple):
    """Commands for one server."""

    server: Server
    commands: tuple[tuple[str, ...], ...]


#: What comes back: the replies, or why there are none.
Answer = list[Any] | Exception
Search = Generator[Question, Answer, Server]


def text(reply: Any) -> str:
    """A reply as text."""
    return reply.decode(errors="replace") if isinstance(reply, bytes) else str(reply)
