"""Many idle Celeriac workers in one process, as Redis sees them: real brokers and duties, but no executors.

`python -m benchmarks.apps.celeriac_idle COUNT URL`. Runs until it is ended.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Final

from celeriac import Celeriac
from celeriac.brokers import open_broker
from celeriac.worker.duties import RECOVER_SECONDS, RENEWALS_PER_LEASE, Duty, RecoverLost, RenewLease

if TYPE_CHECKING:
    from celeriac.message import Delivery

#: As in `celeriac.worker.consumer`.
_WAIT_SECONDS: Final = 5.0
_BATCH: Final = 512
#: Workers that start at the same time: as many as a server takes without a queue at its door.
_AT_ONCE: Final = 50


def _unexpected(delivery: Delivery) -> None:
    raise RuntimeError(f"nobody died, but {delivery.label} was recovered")


async def _work(url: str, number: int, queue: str, lease_seconds: float, door: asyncio.Semaphore) -> None:
    """One worker at rest."""
    broker = open_broker(url)
    async with door:
        await broker.open(f"idle-{number}", lease_seconds=lease_seconds)
    seconds = lease_seconds / RENEWALS_PER_LEASE
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_repeat(RenewLease(broker), seconds))
        tasks.create_task(_repeat(RecoverLost(broker, _unexpected), min(seconds, RECOVER_SECONDS)))
        while not await broker.reserve([queue], _BATCH, _WAIT_SECONDS):
            pass  # it waits by itself
        raise RuntimeError("an idle worker was given something to do")


async def _repeat(duty: Duty, seconds: float) -> None:
    while True:
        await duty.tick()
        await asyncio.sleep(seconds)


async def _run(count: int, url: str) -> None:
    settings = Celeriac("idle", broker=url).conf
    door = asyncio.Semaphore(_AT_ONCE)
    queue, seconds = settings.task_default_queue, settings.worker_lease_seconds
    await asyncio.gather(*(_work(url, number, queue, seconds, door) for number in range(count)))


if __name__ == "__main__":
    asyncio.run(_run(int(sys.argv[1]), sys.argv[2]))
