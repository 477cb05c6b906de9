"""How long a worker tries to reach its broker."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from celeriac.config import Settings
from celeriac.exceptions import OperationalError
from celeriac.worker.backoff import Backoff
from celeriac.worker.outages import Outage, open_patiently, patience_at_start, patience_later

#: Seconds after which a test that waits has failed.
DEADLINE = 10.0


@pytest.mark.parametrize(
    ("settings", "at_start", "later"),
    [
        ({}, 2790.0, 2790.0),  # Celery: 2 + 4 + ... + 30, then 85 times 30
        ({"broker_connection_max_retries": 0}, math.inf, math.inf),
        ({"broker_connection_max_retries": None}, math.inf, math.inf),
        ({"broker_connection_max_retries": 3}, 12.0, 12.0),
        ({"broker_connection_max_retries": 16}, 270.0, 270.0),
        ({"broker_connection_retry": False}, 0.0, 0.0),
        ({"broker_connection_retry": False, "broker_connection_retry_on_startup": True}, 2790.0, 0.0),
        ({"broker_connection_retry_on_startup": False}, 0.0, 2790.0),
    ],
)
def test_celerys_settings_in_seconds(settings: dict[str, Any], at_start: float, later: float) -> None:
    assert patience_at_start(Settings(settings)) == at_start
    assert patience_later(Settings(settings)) == later


class Opening:
    """Fails for a number of times."""

    def __init__(self, failures: int) -> None:
        self.attempts = 0
        self._failures = failures

    async def __call__(self) -> None:
        self.attempts += 1
        if self.attempts <= self._failures:
            raise OperationalError(f"away {self.attempts}")


def open_it(opening: Callable[[], Awaitable[None]], patience: float, shutdown: asyncio.Event | None = None) -> bool:
    """One second passes with each failure."""

    async def run() -> bool:
        async with asyncio.timeout(DEADLINE):
            seconds = iter(range(1000))
            outage = Outage(patience, lambda: float(next(seconds)))
            return await open_patiently(opening, outage, shutdown or asyncio.Event(), Backoff(0.0, 0.0))

    return asyncio.run(run())


def test_one_line_for_each_change(caplog: pytest.LogCaptureFixture) -> None:
    opening = Opening(5)
    with caplog.at_level(logging.INFO, "celeriac.worker"):
        assert open_it(opening, math.inf)
    assert opening.attempts == 6
    assert [record.getMessage() for record in caplog.records] == [
        "Can not start without the broker, trying on: away 1",
        "The broker is there now",
    ]


def test_nothing_is_said_when_all_is_well(caplog: pytest.LogCaptureFixture) -> None:
    assert open_it(Opening(0), 0.0)
    assert not caplog.records


@pytest.mark.parametrize(("patience", "attempts"), [(0.0, 1), (3.0, 4)])
def test_the_last_error_is_raised_when_patience_ends(patience: float, attempts: int) -> None:
    opening = Opening(1000)
    with pytest.raises(OperationalError, match=f"away {attempts}"):
        open_it(opening, patience)
    assert opening.attempts == attempts


def test_a_shutdown_ends_an_attempt_that_hangs() -> None:
    shutdown = asyncio.Event()

    async def hang() -> None:
        shutdown.set()
        await asyncio.Event().wait()

    assert not open_it(hang, math.inf, shutdown)


def test_a_shutdown_ends_the_pause() -> None:
    shutdown = asyncio.Event()

    async def fail() -> None:
        shutdown.set()
        raise OperationalError("away")

    async def run() -> bool:
        async with asyncio.timeout(DEADLINE):
            outage = Outage(math.inf, asyncio.get_running_loop().time)
            return await open_patiently(fail, outage, shutdown, Backoff(3600.0, 3600.0))

    assert not asyncio.run(run())


def test_an_outage_is_counted_from_its_beginning() -> None:
    now = iter([0.0, 5.0, 100.0, 109.0, 110.0])
    outage = Outage(10.0, lambda: next(now))
    assert [outage.failed(), outage.failed()] == [False, False]
    outage.end()
    assert [outage.failed(), outage.failed(), outage.failed()] == [False, False, True]
