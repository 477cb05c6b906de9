"""Many at once: each message is delivered exactly once, whoever publishes and whoever takes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from celeriac.outcome import Acknowledge, Settlement
from celeriac.testing.conformance.support import Crew, Harness, MakeBroker, job, names, opened, take


class CrowdCases(Harness):
    """Publishers and consumers in threads, each consumer with an event loop of its own."""

    def test_each_message_is_delivered_exactly_once(self, make_broker: MakeBroker) -> None:
        publishers, each, consumers = 4, 150, 3
        total, crew, lock = publishers * each, Crew(), threading.Lock()
        seen: list[str] = []

        def publish(who: int) -> None:
            broker = make_broker()
            for n in range(0, each, 3):
                broker.publish([job(f"{who}-{n + k}", "a" if n % 2 else "b", priority=n % 3) for k in range(3)])

        async def consume(who: int) -> None:
            async with opened(make_broker(), f"consumer {who}", 1000) as broker:
                while len(seen) < total:
                    deliveries = await broker.reserve(["a", "b"], 7, 0.1)
                    refused = await broker.settle([Settlement(d, Acknowledge()) for d in deliveries])
                    assert refused == []
                    with lock:
                        seen.extend(names(deliveries))

        for who in range(consumers):
            crew.start(partial(_run, consume, who))
        for who in range(publishers):
            crew.start(partial(publish, who))
        crew.join()
        assert sorted(seen) == sorted(f"{who}-{n}" for who in range(publishers) for n in range(each))

    def test_threads_share_one_broker_to_publish(self, make_broker: MakeBroker) -> None:
        broker, crew = make_broker(), Crew()

        def publish(who: int) -> None:
            for n in range(25):
                broker.publish([job(f"{who}-{n}")])

        for who in range(8):
            crew.start(partial(publish, who))
        crew.join()

        async def check() -> None:
            async with opened(make_broker()) as worker:
                taken = names(await take(worker, 1000))
                assert len(set(taken)) == len(taken) == 200
                for who in range(8):
                    mine = [int(name.split("-")[1]) for name in taken if name.startswith(f"{who}-")]
                    assert mine == sorted(mine)

        asyncio.run(check())


def _run(work: Callable[[int], Coroutine[Any, Any, None]], who: int) -> None:
    asyncio.run(work(who))
