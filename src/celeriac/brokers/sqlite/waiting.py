"""How an idle `reserve` sleeps: until its bell rings, something becomes due, or it is time to look for itself."""

from __future__ import annotations

import asyncio

from celeriac.storage.sqlite.bell import Listener, ListenerPool


class WorkWaiter:
    """The event loop's end of a bell. Used from one loop; several `reserve` calls may wait at once."""

    def __init__(self, pool: ListenerPool) -> None:
        self._pool = pool
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listener: Listener | None = None
        self._sleepers: set[asyncio.Future[None]] = set()
        #: Counts what has rung, so that a ring between a look and the sleep is not missed.
        self.rings = 0

    @property
    def port(self) -> int | None:
        """Where to ring; None where there are no sockets and waiters poll."""
        return None if self._listener is None else self._listener.port

    def start(self) -> None:
        """Listen in the running loop, if not done already."""
        if self._loop is not None:
            return
        self._loop = asyncio.get_running_loop()
        listener = self._pool.borrow()
        if listener is None:
            return
        try:
            self._loop.add_reader(listener.socket, self._on_ring)
        except NotImplementedError:  # the proactor loop of Windows: poll
            self._pool.give_back(listener)
        else:
            self._listener = listener

    def stop(self) -> None:
        """Stop listening and wake all who sleep."""
        if self._listener is not None and self._loop is not None:
            if not self._loop.is_closed():
                self._loop.remove_reader(self._listener.socket)
            self._pool.give_back(self._listener)
        self._listener = self._loop = None
        self.wake_all()

    async def sleep(self, seconds: float, seen: int) -> None:
        """Sleep until something rings after ring number `seen`, or `seconds` have passed."""
        if self.rings != seen:
            return
        sleeper: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.add(sleeper)
        try:
            async with asyncio.timeout(seconds):
                await sleeper
        except TimeoutError:
            pass  # time to look again
        finally:
            self._sleepers.discard(sleeper)

    def wake_all(self) -> None:
        """What a ring does."""
        self.rings += 1
        for sleeper in self._sleepers:
            if not sleeper.done():
                sleeper.set_result(None)

    def _on_ring(self) -> None:
        if self._listener is not None:
            self._listener.drain()
        self.wake_all()
