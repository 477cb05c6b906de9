"""Thousands of coroutines that wait for results share one subscribed connection, and one trip for each batch of looks.

A hub belongs to one event loop and is used from it alone. It keeps its connection for a while when nobody waits, so
that the next who does need not make one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Final

from celeriac.backends.outage import Outage
from celeriac.exceptions import BackendError, CeleriacError, OperationalError
from celeriac.outcome import ResultRecord
from celeriac.storage.redis.async_links import AsyncLink
from celeriac.storage.redis.location import Location
from celeriac.storage.redis.subscriptions import AsyncSubscription

#: Seconds between looks for lost messages, and what each waiter adds: looking costs some microseconds for each.
_LOOK_INTERVAL: Final = 1.0
_INTERVAL_PER_WAITER: Final = 0.0001
#: Seconds to wait for the answer to a look.
_LOOK_PATIENCE: Final = 5.0
#: Looks without a word from the connection after which it counts as lost; it is asked for one at each.
_MOST_SILENT_LOOKS: Final = 4
#: Looks after which the connection is closed when nobody waits.
_IDLE_LOOKS: Final = 60
#: Keys in one command.
_KEYS_AT_ONCE: Final = 500


class ResultHub:
    """Who waits for which result in one event loop.

    Args:
        location: where to listen.
        link: for looking, of the same loop.
        ready: the record in what is stored under a key if it is ready, else None; raises BackendError.
        patience: seconds that the store may be away while somebody waits.
    """

    def __init__(
        self, location: Location, link: AsyncLink, ready: Callable[[bytes, bytes], ResultRecord | None], patience: float
    ) -> None:
        self._location = location
        self._link = link
        self._ready = ready
        #: Two, since the store may let itself be asked and not be listened to.
        self._deaf, self._blind = Outage(patience), Outage(patience)
        self._waiters: dict[bytes, set[asyncio.Future[ResultRecord]]] = {}
        self._keeper: asyncio.Task[None] | None = None
        self._subscription: AsyncSubscription | None = None
        #: Channels that the connection was told to listen to, and those of which it has confirmed that.
        self._asked: set[bytes] = set()
        self._confirmed: set[bytes] = set()
        #: Collected until the loop comes round: channels to begin or end with, and keys to look at.
        self._changed: set[bytes] = set()
        self._unlooked: set[bytes] = set()
        self._working: dict[str, asyncio.Task[None]] = {}
        self._silent_looks = 0
        self._closing = False

    async def wait(self, key: bytes, timeout: float) -> ResultRecord | None:
        """Wait until the result under `key` is ready; None after `timeout` seconds.

        Raises:
            BackendError: what is stored can not be read.
            OperationalError: the store has been away for too long, or is when the time is up.
        """
        waiter: asyncio.Future[ResultRecord] = asyncio.get_running_loop().create_future()
        self._arrive(key, waiter)
        try:
            async with asyncio.timeout(timeout):
                return await waiter
        except TimeoutError:
            # There may not have been the time for a look, or no answer to it.
            meta = await self._link.call("GET", key, timeout=_LOOK_PATIENCE)
            return None if meta is None else self._ready(key, meta)
        finally:
            self._leave(key, waiter)

    def close(self) -> None:
        """Hang up as soon as nobody waits any more. The next who waits connects anew."""
        self._closing = True
        self._close_if_idle()

    # -- coming and going -----------------------------------------------------------------------------------------

    def _arrive(self, key: bytes, waiter: asyncio.Future[ResultRecord]) -> None:
        self._waiters.setdefault(key, set()).add(waiter)
        if self._keeper is None or self._keeper.done():
            self._keeper = asyncio.get_running_loop().create_task(self._keep())
        if key in self._confirmed:
            self._look_soon(key)
        else:
            self._change_soon(key)

    def _leave(self, key: bytes, waiter: asyncio.Future[ResultRecord]) -> None:
        waiters = self._waiters[key]
        waiters.discard(waiter)
        if not waiters:
            del self._waiters[key]
            self._change_soon(key)
            self._close_if_idle()

    def _close_if_idle(self) -> None:
        if self._closing and not self._waiters:
            self._closing = False
            self._hang_up()

    def _hang_up(self) -> None:
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()

    # -- the connection -------------------------------------------------------------------------------------------

    async def _keep(self) -> None:
        """Listen, again after each loss for as long as somebody waits."""
        ticker = asyncio.get_running_loop().create_task(self._tick())
        try:
            while True:
                try:
                    await self._listen()
                except OperationalError as error:
                    self._suffer(error, self._deaf)
                if not self._waiters:
                    return
                await asyncio.sleep(self._deaf.next_pause())
        finally:
            ticker.cancel()

    async def _listen(self) -> None:
        subscription = await AsyncSubscription.open(self._location)
        self._subscription, self._silent_looks = subscription, 0
        self._asked.clear()
        self._confirmed.clear()
        for key in self._waiters:
            self._change_soon(key)
        try:
            while True:
                heard = await subscription.next()
                self._silent_looks = 0
                self._deaf.is_over()
                if heard.kind == b"message":
                    self._on_message(heard.channel, heard.payload)
                elif heard.kind == b"subscribe" and heard.channel in self._asked:
                    self._confirmed.add(heard.channel)
                    self._look_soon(heard.channel)
        finally:
            if self._subscription is subscription:
                self._subscription = None
            await subscription.close()

    async def _tick(self) -> None:
        """Look for what no message told of, and whether the connection is still there."""
        idle_looks = 0
        while True:
            await asyncio.sleep(_LOOK_INTERVAL + _INTERVAL_PER_WAITER * len(self._waiters))
            idle_looks = 0 if self._waiters else idle_looks + 1
            if idle_looks > _IDLE_LOOKS:
                self._hang_up()
            for key in self._waiters:
                self._look_soon(key)
            await self._check_connection()

    async def _check_connection(self) -> None:
        subscription = self._subscription
        if subscription is None:
            return
        self._silent_looks += 1
        if self._silent_looks > _MOST_SILENT_LOOKS:
            await subscription.close()  # who listens to it hears that
            return
        with suppress(OperationalError):  # who listens to it hears of the loss as well
            await subscription.ping()

    # -- batches --------------------------------------------------------------------------------------------------

    def _change_soon(self, key: bytes) -> None:
        self._changed.add(key)
        self._work("change", self._change)

    def _look_soon(self, key: bytes) -> None:
        self._unlooked.add(key)
        self._work("look", self._look)

    def _work(self, name: str, work: Callable[[], Coroutine[None, None, None]]) -> None:
        """Have one task do what has come together; it begins when the loop comes round."""
        task = self._working.get(name)
        if task is None or task.done():
            self._working[name] = asyncio.get_running_loop().create_task(work())

    async def _change(self) -> None:
        while self._changed and (subscription := self._subscription) is not None:
            changed, self._changed = self._changed, set()
            add = [key for key in changed if key in self._waiters and key not in self._asked]
            drop = [key for key in changed if key not in self._waiters and key in self._asked]
            self._asked.update(add)
            self._asked.difference_update(drop)
            self._confirmed.difference_update(drop)
            with suppress(OperationalError):  # who listens hears of it; all that wait are asked for again then
                await subscription.change(add, drop)

    async def _look(self) -> None:
        while self._unlooked:
            unlooked, self._unlooked = self._unlooked, set()
            try:
                for keys in batches(key for key in unlooked if key in self._waiters):
                    for key, meta in zip(keys, await self._mget(keys), strict=True):
                        self._on_meta(key, meta)
            except OperationalError as error:  # the next tick looks again
                self._suffer(error, self._blind)
            except CeleriacError as error:
                self._fail(unlooked, error)

    async def _mget(self, keys: tuple[bytes, ...]) -> list[bytes | None]:
        found: list[bytes | None] = await self._link.call("MGET", *keys, timeout=_LOOK_PATIENCE)
        self._blind.is_over()
        return found

    # -- telling those who wait -----------------------------------------------------------------------------------

    def _on_message(self, key: bytes, meta: bytes) -> None:
        try:
            record = self._ready(key, meta)
        except BackendError:  # anybody can publish anything; what is stored counts
            self._look_soon(key)
        else:
            self._resolve(key, record)

    def _on_meta(self, key: bytes, meta: bytes | None) -> None:
        if meta is None:
            return
        try:
            self._resolve(key, self._ready(key, meta))
        except BackendError as error:
            self._fail([key], error)

    def _resolve(self, key: bytes, record: ResultRecord | None) -> None:
        if record is None:
            return
        for waiter in self._waiters.get(key, ()):
            if not waiter.done():
                waiter.set_result(record)

    def _suffer(self, error: OperationalError, outage: Outage) -> None:
        if outage.goes_on(error):
            self._fail(list(self._waiters), error)

    def _fail(self, keys: Iterable[bytes], error: CeleriacError) -> None:
        for key in keys:
            for waiter in self._waiters.get(key, ()):
                if not waiter.done():
                    waiter.set_exception(error)


def batches(keys: Iterable[bytes]) -> Iterator[tuple[bytes, ...]]:
    """As many as one command may name."""
    remaining = iter(keys)
    while some := tuple(islice(remaining, _KEYS_AT_ONCE)):
        yield some
