"""Results of groups that one side sent or saved, and the other waits for."""

from __future__ import annotations

import asyncio
import uuid

from celeriac import GroupResult
from interop.journal import DEADLINE
from interop.pairs import ON_REDIS, Pair
from interop.sides import SideName

#: Results are in Redis whichever broker there is.
pytestmark = ON_REDIS

QUEUES: tuple[SideName, ...] = ("celery", "celeriac")


def sent(pair: Pair, count: int = 20) -> GroupResult:
    """Tasks of Celery's client, run by both sides."""
    app = pair.celeriac.app
    ids = [pair.celery.send("add", number, 1, queue=QUEUES[number % 2]) for number in range(count)]
    return GroupResult(uuid.uuid4().hex, [app.AsyncResult(one) for one in ids], app=app)


def test_one_group_that_workers_of_both_sides_run(pair: Pair) -> None:
    group = sent(pair)
    assert group.get(timeout=DEADLINE) == list(range(1, 21))

    async def main(waited: GroupResult) -> None:
        finished = [member.get() async for member in waited.aiterate(timeout=DEADLINE)]
        assert sorted(finished) == list(range(1, 21))

    asyncio.run(main(sent(pair)))
    assert pair.celery.call("join", task_ids=[member.id for member in group], timeout=DEADLINE) == list(range(1, 21))


def test_a_group_that_celeriac_saves_is_restored_by_celery(pair: Pair) -> None:
    group = sent(pair, 3)
    group.save()
    assert pair.celery.call("restore_group", group_id=group.id) == [member.id for member in group]
    group.delete()
    assert pair.celery.call("restore_group", group_id=group.id + "-unknown") is None


def test_a_group_that_celery_saves_is_restored_by_celeriac(pair: Pair) -> None:
    group = sent(pair, 3)
    pair.celery.call("save_group", group_id=group.id, task_ids=[member.id for member in group])
    restored = pair.celeriac.app.GroupResult.restore(group.id)
    assert restored is not None
    assert restored == group
    assert restored.get(timeout=DEADLINE) == [1, 2, 3]
