"""How long a worker tries to reach a broker that is away, at its start and later, and when it gives up.

Owns what Celery's settings for this mean here. Knows nothing of what is done with the broker.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from celeriac.exceptions import OperationalError
from celeriac.worker.backoff import Backoff

if TYPE_CHECKING:
    from celeriac.config import Settings

logger = logging.getLogger("celeriac.worker")

# Celery waits this long after the first failure, that much longer after each further one, and at most so long.
_STEP_SECONDS: Final = 2
_MOST_SECONDS: Final = 30
#: Seconds between log lines of a worker that can not start.
_TELL_AGAIN_SECONDS: Final = 30.0


def patience_at_start(settings: Settings) -> float:
    """Seconds for which a worker that starts tries to reach the broker."""
    at_start = settings.broker_connection_retry_on_startup
    return _patience(settings.broker_connection_retry if at_start is None else at_start, settings)


def patience_later(settings: Settings) -> float:
    """Seconds for which a worker that has lost the broker tries to reach it."""
    return _patience(settings.broker_connection_retry, settings)


def _patience(retry: bool, settings: Settings) -> float:
    """Celery counts attempts, of which it makes few. Here they are frequent; what is kept is the time that it takes."""
    attempts = settings.broker_connection_max_retries
    if not retry:
        return 0.0
    if attempts is None:
        return math.inf
    rising = min(attempts, _MOST_SECONDS // _STEP_SECONDS)
    return _STEP_SECONDS * rising * (rising + 1) / 2 + _MOST_SECONDS * (attempts - rising)


class Outage:
    """Tells how long the broker has been away.

    Args:
        patience: seconds after which to give up.
        now: a monotonic clock, in seconds.

    Example:
        >>> outage = Outage(10.0, iter([0.0, 10.0]).__next__)
        >>> outage.failed(), outage.failed()
        (False, True)
    """

    def __init__(self, patience: float, now: Callable[[], float]) -> None:
        self._patience = patience
        self._now = now
        self._since: float | None = None

    def failed(self) -> bool:
        """Count a failure. Whether it is time to give up."""
        now = self._now()
        if self._since is None:
            self._since = now
        return now - self._since >= self._patience

    def end(self) -> None:
        """Note a success."""
        self._since = None


class Trouble:
    """Tells once that the worker is held up, and once that it goes on, whichever of its parts notices.

    Example:
        >>> trouble = Trouble()
        >>> trouble.begins("consumer", OperationalError("away"))
        >>> trouble.begins("settler", OperationalError("away"))
        >>> trouble.ends("consumer"), trouble.ends("settler")
        (None, None)
    """

    def __init__(self) -> None:
        self._parts: set[str] = set()

    def has(self, *parts: str) -> bool:
        """One of these can not do its work."""
        return not self._parts.isdisjoint(parts)

    def begins(self, part: str, error: Exception) -> None:
        """`part` can not do its work for now."""
        if not self._parts:
            logger.error("Work is held up, trying on: %s", error)
        self._parts.add(part)

    def ends(self, part: str) -> None:
        """`part` does its work, as nearly always."""
        if part in self._parts:
            self._parts.discard(part)
            if not self._parts:
                logger.warning("Work goes on")


async def open_patiently(
    open_broker: Callable[[], Awaitable[None]], outage: Outage, shutdown: asyncio.Event, backoff: Backoff
) -> bool:
    """Open the broker, and try again while it is away.

    Args:
        open_broker: one attempt.
        outage: when to give up.
        shutdown: set when the worker is to end.
        backoff: the pauses.

    Returns:
        Whether it is open; False if the worker is to end first.

    Raises:
        OperationalError: the last one, when it is time to give up.
    """
    loop = asyncio.get_running_loop()
    told_at = -math.inf
    while True:
        try:
            if not await _unless(shutdown, open_broker()):
                return False
        except OperationalError as error:
            if outage.failed():
                raise
            if loop.time() - told_at >= _TELL_AGAIN_SECONDS:  # it may never end: a wrong password, for one
                logger.error("Can not start without the broker, trying on: %s", error)
                told_at = loop.time()
            if not await _unless(shutdown, asyncio.sleep(backoff.next())):
                return False
            continue
        if backoff.failing:
            logger.warning("The broker is there now")
        return True


async def _unless(shutdown: asyncio.Event, work: Awaitable[None]) -> bool:
    """Whether `work` came to its end; it is cancelled when `shutdown` is set."""
    working = asyncio.ensure_future(work)
    warned = asyncio.ensure_future(shutdown.wait())
    try:
        await asyncio.wait({working, warned}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            return False
        working.result()
        return True
    finally:
        warned.cancel()
        working.cancel()
        await asyncio.gather(working, warned, return_exceptions=True)
