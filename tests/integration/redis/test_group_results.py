"""Results of several tasks in Redis: how many trips they cost, who is woken, and what is saved."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from celeriac import AsyncResult, Celeriac, GroupResult
from celeriac.exceptions import TimeoutError  # noqa: A004 - Celery's name
from celeriac.testing.conformance.support import Crew
from servers.redis import RedisServer
from storing import finish, record

from .results_support import PATIENCE, connections, until


@pytest.fixture
def app(redis_url: str) -> Iterator[Celeriac]:
    with Celeriac("groups", broker="memory://groups-in-redis", backend=redis_url) as made:
        yield made


def group_of(app: Celeriac, count: int) -> GroupResult:
    return GroupResult("g", [AsyncResult(f"t{number}", app=app) for number in range(count)], app=app)


def commands(server: RedisServer) -> int:
    """How many commands it has taken."""
    info: bytes = server.call("INFO", "stats")
    line = next(line for line in info.splitlines() if line.startswith(b"total_commands_processed:"))
    return int(line.partition(b":")[2])


def test_many_that_are_there_cost_few_trips(app: Celeriac, redis_server: RedisServer) -> None:
    app.backend.store([record(f"t{number}", number) for number in range(2500)])
    before = commands(redis_server)
    assert group_of(app, 2500).get(timeout=0) == list(range(2500))
    assert commands(redis_server) - before <= 10
    before = commands(redis_server)
    assert asyncio.run(group_of(app, 2500).aget(timeout=0)) == list(range(2500))
    assert commands(redis_server) - before <= 15, "with those of connecting"


def test_threads_that_wait_share_connections(app: Celeriac, redis_server: RedisServer) -> None:
    crew, ready = Crew(), threading.Barrier(21)

    def wait() -> None:
        ready.wait(PATIENCE)
        assert group_of(app, 300).get(timeout=PATIENCE) == list(range(300))

    before = connections(redis_server)
    for _ in range(20):
        crew.start(wait)
    ready.wait(PATIENCE)
    until(lambda: int(redis_server.call("PUBSUB", "NUMSUB", "celery-task-meta-t299")[1]) == 1)
    assert connections(redis_server) - before <= 25  # each thread has looked once on one of its own
    app.backend.store([record(f"t{number}", number) for number in range(300)])
    crew.join()


def test_members_come_as_they_finish(app: Celeriac) -> None:
    async def main() -> list[str]:
        arrived: list[str] = []
        order = iter(["t0", "t2"])
        await app.backend.astore([record("t1")])
        async for member in group_of(app, 3).aiterate(timeout=PATIENCE):
            arrived.append(str(member))
            if (following := next(order, None)) is not None:
                await app.backend.astore([record(following)])
        return arrived

    assert asyncio.run(main()) == ["t1", "t0", "t2"]


def test_more_than_are_waited_for_at_one_time(app: Celeriac) -> None:
    crew = Crew()
    values: list[Any] = []
    crew.start(lambda: values.extend(group_of(app, 3000).get(timeout=PATIENCE)))
    for start in range(2500, -1, -500):
        app.backend.store([record(f"t{number}", number) for number in range(start, start + 500)])
    crew.join()
    assert values == list(range(3000))


def test_what_is_saved_is_celerys(app: Celeriac, redis_server: RedisServer) -> None:
    group = group_of(app, 1)
    group.save()
    stored = json.loads(redis_server.call("GET", "celery-taskset-meta-g"))
    assert stored == {"result": [["g", None], [[["t0", None], None]]]}
    assert 0 < int(redis_server.call("TTL", "celery-taskset-meta-g")) <= 86400
    assert app.GroupResult.restore("g") == group
    group.delete()
    assert redis_server.call("GET", "celery-taskset-meta-g") is None


def test_an_outage_in_the_middle_is_waited_out(own_redis: RedisServer) -> None:
    with Celeriac("groups", broker="memory://groups-in-redis", backend=own_redis.url()) as app:
        crew = Crew()
        values: list[Any] = []
        crew.start(lambda: values.extend(group_of(app, 20).get(timeout=PATIENCE)))
        finish(app, "t0", 0)
        until(lambda: int(own_redis.call("PUBSUB", "NUMSUB", "celery-task-meta-t19")[1]) == 1)
        own_redis.kill()
        own_redis.restart()
        with pytest.raises(TimeoutError, match="19 of 20"):
            group_of(app, 20).get(timeout=0)
        app.backend.store([record(f"t{number}", number) for number in range(1, 20)])
        crew.join()
        assert values == list(range(20))
