"""Waiting for a result that the other side writes: the wake-up comes with it, nobody polls for it."""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from typing import Any

from interop.journal import DEADLINE
from interop.pairs import ON_REDIS, Pair, wait_until

#: Results are in Redis whichever broker there is.
pytestmark = ON_REDIS


def subscribers(pair: Pair, task_id: str) -> int:
    return int(pair.place.redis("PUBSUB", "NUMSUB", f"celery-task-meta-{task_id}")[1])


def test_a_celery_client_is_woken_by_a_celeriac_worker(pair: Pair) -> None:
    """Such a client looks once, before it waits; without a message on the channel it would time out."""
    key = uuid.uuid4().hex
    task_id = pair.celeriac.send("gated", key, queue="celeriac")
    assert pair.place.journal.take(key) == ["celeriac"]
    pair.celery.ask("get", task_id=task_id, timeout=DEADLINE)
    wait_until(lambda: subscribers(pair, task_id) == 1, "a subscriber")
    pair.place.journal.open(key)
    assert pair.celery.answer().value == "celeriac"


def _wait_for_it(pair: Pair, get: Any) -> float:
    """Seconds between the opening of the gate and the result in hand."""
    key = uuid.uuid4().hex
    task_id = pair.celery.send("gated", key, queue="celery")
    found: list[Any] = []

    def wait() -> None:
        found.append(get(pair.celeriac.app.AsyncResult(task_id)))
        found.append(time.monotonic())

    waiter = threading.Thread(target=wait)
    waiter.start()
    assert pair.place.journal.take(key) == ["celery"]
    wait_until(lambda: subscribers(pair, task_id) >= 1, "a subscriber")
    opened = time.monotonic()
    pair.place.journal.open(key)
    waiter.join(DEADLINE)
    assert found, "no result"
    assert found[0] == "celery"
    return float(found[1] - opened)


def _is_woken(pair: Pair, get: Any) -> bool:
    """All but one of six come at once. The fallback, a look each second, would bring that about once in 200 times."""
    return sorted(_wait_for_it(pair, get) for _ in range(6))[-2] < 0.25


def test_celeriac_clients_are_woken_by_a_celery_worker(pair: Pair) -> None:
    assert _is_woken(pair, lambda result: result.get(timeout=DEADLINE))


def test_coroutines_are_woken_by_a_celery_worker(pair: Pair) -> None:
    assert _is_woken(pair, lambda result: asyncio.run(result.aget(timeout=DEADLINE)))


def test_many_wait_at_once_for_results_of_both_sides(pair: Pair) -> None:
    ids = [pair.celeriac.send("add", number, 1, queue=side) for number in range(50) for side in pair.clients]

    async def wait() -> list[int]:
        results = [pair.celeriac.app.AsyncResult(task_id) for task_id in ids]
        return list(await asyncio.gather(*(result.aget(timeout=DEADLINE) for result in results)))

    assert asyncio.run(wait()) == [number + 1 for number in range(50) for _ in pair.clients]


def test_a_celery_client_joins_results_of_both_sides(pair: Pair) -> None:
    ids = [pair.celery.send("add", number, 1, queue=side) for number in range(50) for side in pair.clients]
    values = pair.celery.call("join", task_ids=ids, timeout=DEADLINE)
    assert values == [number + 1 for number in range(50) for _ in pair.clients]


def test_forgetting_is_seen_by_the_other_side(pair: Pair) -> None:
    task_id = pair.celery.send("add", 1, 2, queue="celery")
    pair.both(task_id)
    pair.celeriac.app.AsyncResult(task_id).forget()
    assert pair.celery.look(task_id).state == "PENDING"
