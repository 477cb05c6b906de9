"""A port for peers whose client is for asyncio only: one event loop, kept from call to call. Knows no peer."""

from __future__ import annotations

import asyncio
import importlib
from abc import ABC, abstractmethod
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Coroutine, Iterable, Sequence

    from benchmarks.apps.port import Arguments

T = TypeVar("T")

#: Calls that are under way at once where a peer has no bulk call.
AT_ONCE = 100
#: Calls in one trip where it has one.
CHUNK = 1000


def use_uvloop() -> None:
    """Have worker and client run on uvloop, the quickest event loop there is."""
    uvloop: Any = importlib.import_module("uvloop")  # in the peers' own environments only
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())


async def gather(sends: Iterable[Awaitable[Any]]) -> None:
    """Await them all, `AT_ONCE` at a time."""
    rest = iter(sends)
    while part := list(islice(rest, AT_ONCE)):
        await asyncio.gather(*part)


class AsyncPort(ABC):
    """What `benchmarks.apps.port.Port` asks for, by coroutines of the peer."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._opened = False

    @abstractmethod
    async def open(self) -> None:
        """Connect."""

    @abstractmethod
    async def send(self, task: str, args: Arguments) -> Any:
        """One ordinary call; what it gives."""

    async def send_all(self, task: str, calls: Sequence[Arguments]) -> None:
        """The quickest way to send many."""
        await gather(self.send(task, args) for args in calls)

    @abstractmethod
    async def defer(self, task: str, args: Arguments, seconds: float) -> None:
        """To be run in `seconds` from now."""

    @abstractmethod
    async def ask(self, task: str, number: int) -> int:
        """One ordinary call, and its result; wait 30 s at most."""

    def send_each(self, task: str, calls: Iterable[Arguments]) -> None:
        """One after the other."""

        async def send() -> None:
            for args in calls:
                await self.send(task, args)

        self._run(send())

    def send_many(self, task: str, calls: Sequence[Arguments]) -> None:
        """See `send_all`."""
        self._run(self.send_all(task, calls))

    def send_later(self, task: str, calls: Iterable[Arguments], seconds: float) -> None:
        """One after the other."""

        async def send() -> None:
            for args in calls:
                await self.defer(task, args, seconds)

        self._run(send())

    def call(self, task: str, number: int) -> int:
        """Send, wait for the result."""

        return self._run(self.ask(task, number))

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        if not self._opened:
            self._runner.run(self.open())
            self._opened = True
        return self._runner.run(work)
