"""Workers of both sides on one queue."""

from __future__ import annotations

import uuid
from collections import Counter

import pytest

from interop.pairs import Pair, wait_until
from interop.sides import SideName

QUEUES = ("celery", "celeriac", "shared")


def test_every_task_runs_once_and_both_sides_take_part(pair: Pair) -> None:
    blockers, quick = 12, 300
    gate, key = uuid.uuid4().hex, uuid.uuid4().hex
    clients = list(pair.clients.values())
    blocked = [clients[number % 2].send("gated", gate, queue="shared") for number in range(blockers)]
    assert set(pair.place.journal.take(gate, 4)) == {"celery", "celeriac"}  # two slots on either side
    ids = [clients[number % 2].send("where", key, str(number), queue="shared") for number in range(quick)]
    pair.place.journal.open(gate, blockers)
    for task_id in blocked + ids:
        assert pair.celeriac.get(task_id).state == "SUCCESS"
    runs = Counter(entry.split()[1] for entry in pair.place.journal.take(key, quick))
    assert runs == {str(number): 1 for number in range(quick)}
    assert pair.place.journal.rest(key) == []
    assert len(pair.place.journal.rest(gate)) == blockers - 4


@pytest.mark.parametrize("producer", ["celery", "celeriac"])
def test_what_celeriac_hands_back_celery_runs(pair: Pair, producer: SideName) -> None:
    key = uuid.uuid4().hex
    ids = [pair.clients[producer].send("refuses", "celeriac", key, queue="shared") for _ in range(5)]
    for task_id in ids:
        assert pair.both(task_id).value == "celery"
    assert pair.place.journal.rest(key).count("celery") == len(ids)


def test_nothing_is_left_when_all_is_done(pair: Pair) -> None:
    for queue in QUEUES:
        pair.both(pair.celery.send("add", 1, 1, queue=queue))
    wait_until(lambda: pair.place.transport.unacknowledged() == 0, "all is acknowledged")
    assert [queue for queue in QUEUES if pair.place.transport.waiting(queue)] == []
