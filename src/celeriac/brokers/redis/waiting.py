"""Sleeping until there is work: what wakes a worker, and who watches a queue for the others.

Messages come by plain LPUSH, from Celery's producers as from ours, so nobody rings when one comes. Of the workers that
wait for a queue one is its *lookout* (a key with a time to live says which, see reserve.lua). Only the lookout has the
server tell it of changes of the queue's lists (CLIENT TRACKING, an invalidation message for keys that it has looked at)
and waits for the time of the first future message. All other workers sleep until a script rings them on a channel of
their own. What an idle fleet costs therefore grows with its size, not with its size times the messages.

All of this only saves time. Every waiter also looks by itself, at the intervals below.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import NoPermissionError, ResponseError

from celeriac.exceptions import OperationalError, StoreRefused
from celeriac.storage.redis.subscriptions import AsyncSubscription

if TYPE_CHECKING:
    from celeriac.storage.redis.async_links import AsyncLink
    from celeriac.storage.redis.location import Location

logger = logging.getLogger("celeriac.broker")

#: Seconds between looks of a lookout, of another waiter, and of a lookout whom the server tells nothing.
_LOOKOUT_SECONDS: Final = 1.0
_SLEEPER_SECONDS: Final = 2.0
_BLIND_SECONDS: Final = 0.1
#: Milliseconds for which a lookout is believed to be there; it says so again at each look.
LOOKOUT_MS: Final = 3000
#: Seconds after a look in which a worker that nobody has told anything need not look again.
FRESH_SECONDS: Final = 0.5
#: Seconds after which a lookout that was refused the server's help asks again.
_REFUSED_SECONDS: Final = 60.0
#: Seconds of silence on the channel after which the server is asked to say something, and to give up on it.
_SILENT_SECONDS: Final = 10.0
#: Seconds between tries to connect, at first and at the most.
_FIRST_PAUSE: Final = 0.05
_LAST_PAUSE: Final = 2.0
#: Seconds for a worker that was woken while it did not wait to begin to wait, before another is woken.
_GRACE_SECONDS: Final = 0.005

_INVALIDATIONS: Final = b"__redis__:invalidate"


class WorkWaiter:
    """Waits for what wakes one worker. Belongs to one event loop.

    Args:
        location: where the channel is.
        link: the connection on which lists are looked at.
        pass_on: called when this worker was woken and has no time.

    Attributes:
        rings: counts what could have woken it; see `sleep`.
        waiting: calls that sleep or look now.
    """

    def __init__(self, location: Location, link: AsyncLink, pass_on: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self.rings = 0
        self.waiting = 0
        self._location = location
        self._link = link
        self._pass_on = pass_on
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._passing: asyncio.Task[None] | None = None
        self._client_id: int | None = None
        self._subscription: AsyncSubscription | None = None
        self._heard_at = 0.0
        #: Lists of which the server will tell, on which connections.
        self._tracked: frozenset[str] = frozenset()
        self._tracking: tuple[int, int] | None = None
        self._refused_until = 0.0
        self._alarm: asyncio.TimerHandle | None = None

    def start(self, channel: str) -> None:
        """Listen to `channel` from now on."""
        self._task = asyncio.get_running_loop().create_task(self._listen(channel.encode()))

    async def stop(self) -> None:
        """Listen no more. Those that sleep are woken."""
        self.set_alarm(None)
        for task in (self._task, self._passing):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        self._task = self._passing = None
        self.ring()

    def ring(self) -> None:
        """Wake those that sleep, or somebody else where nobody does."""
        self.rings += 1
        self._woken.set()
        if not self.waiting and self._task is not None:
            asyncio.get_running_loop().call_later(_GRACE_SECONDS, self._pass_on_if_busy)

    def nudge(self) -> None:
        """Wake those that sleep: there is something for them that is not in a queue."""
        self._woken.set()

    @property
    def is_told(self) -> bool:
        """The server tells of changes of the lists that were watched last."""
        return self._tracking is not None and bool(self._tracked)

    def set_alarm(self, seconds: float | None) -> None:
        """Ring after so many seconds; None for not at all. Takes the place of the alarm before."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if seconds is not None:
            self._alarm = asyncio.get_running_loop().call_later(max(0.0, seconds), self.ring)

    async def watch(self, lists: Sequence[str]) -> bool:
        """Have the server tell when one of `lists` changes.

        Returns:
            There is something in one of them already.

        Raises:
            OperationalError: the server is away.
        """
        client = self._client_id
        now = asyncio.get_running_loop().time()
        if client is None or now < self._refused_until:
            return False
        wanted = frozenset(lists)
        if self._tracking == (client, self._link.generation) and wanted <= self._tracked:
            return False
        heard = self.rings
        try:
            found = await self._track(client, lists)
        except (StoreRefused, OperationalError) as error:
            self._tracking = None  # looking often until it works
            if _is_refusal(error):
                self._refuse(now, error)
            elif not self._link.is_connected:
                raise
            return False
        self._tracking = (client, self._link.generation)
        # What came right after the look may be heard before its answer: then nothing more will be told.
        self._tracked = wanted if self.rings == heard else frozenset()
        return found

    async def sleep(self, seconds: float, seen: int, *, is_lookout: bool) -> None:
        """Return when something has rung since `seen` was read from `rings`, or when it is time to look again.

        Args:
            seconds: the longest.
            seen: what `rings` was before the last look.
            is_lookout: others rely on this one.
        """
        if self.rings != seen:
            return
        if not is_lookout:
            interval = _SLEEPER_SECONDS * random.uniform(0.8, 1.2)  # noqa: S311 - jitter, not a secret
        else:
            interval = _BLIND_SECONDS if self._tracking is None else _LOOKOUT_SECONDS
        self._woken.clear()
        try:
            async with asyncio.timeout(min(seconds, interval)):
                await self._woken.wait()
        except TimeoutError:
            await self._check_silence()

    # -- the channel ----------------------------------------------------------------------------------------------

    async def _listen(self, channel: bytes) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                self._subscription = await AsyncSubscription.open(self._location)
                self._client_id = await self._subscription.client_id()
                await self._subscription.change([channel, _INVALIDATIONS])
                self._heard_at = asyncio.get_running_loop().time()
                while True:
                    heard = await self._subscription.next()
                    self._heard_at = asyncio.get_running_loop().time()
                    if heard.kind == b"message":
                        self._tracked = frozenset()  # each change is told once
                        pause = _FIRST_PAUSE
                        self.ring()
            except OperationalError as error:
                if _is_refusal(error):
                    self._refuse(asyncio.get_running_loop().time(), error)
                    pause = _REFUSED_SECONDS
                else:
                    logger.debug("The channel that wakes this worker is gone: %s", error)
            finally:
                self._client_id = self._tracking = None
                subscription, self._subscription = self._subscription, None
                if subscription is not None:
                    await subscription.close()
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret
            pause = min(_LAST_PAUSE, 2 * pause)

    async def _check_silence(self) -> None:
        """A connection can be dead without a word; nobody would notice where nothing is sent."""
        subscription, now = self._subscription, asyncio.get_running_loop().time()
        if subscription is None or self._client_id is None or now - self._heard_at < _SILENT_SECONDS:
            return
        if now - self._heard_at > 2 * _SILENT_SECONDS:
            await subscription.close()  # the listener notices and connects anew
            return
        try:
            await subscription.ping()
        except OperationalError as error:
            logger.debug("The channel that wakes this worker does not answer: %s", error)

    # -- tracking -------------------------------------------------------------------------------------------------

    async def _track(self, client: int, lists: Sequence[str]) -> bool:
        """Only the one command behind CACHING YES is tracked (OPTIN), so other traffic on the link costs nothing."""
        look = [("CLIENT", "CACHING", "YES"), ("EXISTS", *lists)]
        if self._tracking != (client, self._link.generation):
            await self._link.call("CLIENT", "TRACKING", "OFF")
            await self._link.call("CLIENT", "TRACKING", "ON", "REDIRECT", client, "OPTIN")
        _, count = await self._link.call_all(look)
        return bool(count)

    def _refuse(self, now: float, error: Exception) -> None:
        self._refused_until = now + _REFUSED_SECONDS
        logger.warning(
            "Redis does not tell this worker of new messages, so it looks every %.1f s: %s. Allow its user the command "
            "CLIENT TRACKING, and the channels that begin with the key prefix and __redis__:invalidate",
            _BLIND_SECONDS,
            error,
        )

    # -- no time --------------------------------------------------------------------------------------------------

    def _pass_on_if_busy(self) -> None:
        if self.waiting or self._task is None or (self._passing is not None and not self._passing.done()):
            return
        self._passing = asyncio.get_running_loop().create_task(self._try_pass_on())

    async def _try_pass_on(self) -> None:
        try:
            await self._pass_on()
        except OperationalError as error:
            logger.debug("Can not wake another worker, they look by themselves: %s", error)


def _is_refusal(error: Exception) -> bool:
    """The server will not do this for this user, or at all, however often it is asked."""
    cause = error.__cause__
    return isinstance(cause, NoPermissionError) or (
        isinstance(cause, ResponseError) and "unknown" in str(cause).lower()
    )
