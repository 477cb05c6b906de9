"""What befalls a server, and what every server of a run can be asked. Knows neither Redis nor RabbitMQ."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

#: What is done to a server: SIGKILL and a new start, after a second or after a while; an orderly end and a new start;
#: SIGSTOP for a while; all connections closed; Redis' scripts forgotten.
What = Literal["restart", "absence", "orderly restart", "pause", "hang up", "forget scripts"]


@dataclass(frozen=True)
class Outage:
    """One disturbance: when it began, and when the server answered again (ns, CLOCK_MONOTONIC)."""

    what: What
    before: int
    after: int


class Server(Protocol):
    """A private server, running from the start of a block to its end."""

    url: str

    def disturb(self, what: What, meanwhile: Callable[[], None] = ...) -> Outage:
        """Do that to the server and wait until it answers again.

        Args:
            what: is done to it.
            meanwhile: is called in the middle of an absence or a pause.
        """
        ...

    def version(self) -> str:
        """The server's version."""
        ...

    def numbers(self) -> set[int]:
        """The tasks of which it has a message; results do not count. Of RabbitMQ only without workers."""
        ...

    def left_over(self) -> list[str]:
        """What nobody owns and nothing will remove; to be asked when all tasks are done and all workers have ended."""
        ...


def wait(seconds: float, meanwhile: Callable[[], None]) -> None:
    """Wait so long, what is done in the middle included."""
    end = time.monotonic() + seconds
    time.sleep(seconds / 2)
    meanwhile()
    time.sleep(max(0.0, end - time.monotonic()))
