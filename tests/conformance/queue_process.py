"""A producer or a worker on a SQLite file, as a process of its own; used by `test_sqlite_processes`.

python queue_process.py PATH produce NAME COUNT     publishes NAME-0 ... NAME-(COUNT-1), one by one and in bulk
python queue_process.py PATH work NAME              acknowledges with results until a message named "stop" comes

What a producer makes is a chord of its name: whoever finds it complete sends its body to the queue "bodies".
"""

from __future__ import annotations

import asyncio
import sys

from celeriac.brokers.sqlite import SQLiteBroker
from celeriac.chords import ChordEnd, ChordShare, ChordStart
from celeriac.message import Delivery, Loss, Message, PackedMessage, Publication
from celeriac.outcome import Acknowledge, Flow, Keep, Requeue, ResultRecord, Settlement

LEASE = 1.0
NOWHERE = Delivery(0, 0, PackedMessage(b"[{}, {}]", b"", "", ""), "q")


def job(name: str, queue: str = "q") -> Publication:
    return Publication(Message({"id": name}, {}, b"body"), queue)


def share_of(name: str) -> ChordShare:
    group_id, _, number = name.partition("-")
    return ChordShare(group_id, name, int(number), b"part", b"body", None, "q", 3600)


def produce(path: str, name: str, count: int) -> None:
    broker = SQLiteBroker(path)
    broker.publish([], [ChordStart(name, count, 3600)])
    for n in range(0, count, 10):
        broker.publish([job(f"{name}-{n}")])
        broker.publish([job(f"{name}-{n + k}") for k in range(1, 10)])


async def work(path: str, name: str) -> None:
    broker = SQLiteBroker(path)
    await broker.open(name, lease_seconds=LEASE)
    print("ready", flush=True)
    renewing = asyncio.create_task(renew(broker))
    stopped = False
    while not stopped:
        taken = await broker.recover(100)
        lost = [Settlement(d, Requeue(loss=Loss(0.0, d.lost_by or "", "killed"))) for d in taken]
        await broker.settle(lost)
        deliveries = await broker.reserve(["q"], 16, 0.2)
        stops = [d for d in deliveries if d.message.headers["id"] == "stop"]
        rest = [d for d in deliveries if d not in stops]
        refused = await broker.settle(
            [
                Settlement(
                    d, Acknowledge(), ResultRecord(made, "SUCCESS", name.encode()), flow=Flow(shares=(share_of(made),))
                )
                for d in rest
                for made in [d.message.headers["id"]]
            ]
        )
        await send_bodies(broker)
        done = [d.message.headers["id"] for d in rest if all(s.delivery is not d for s in refused)]
        if done:
            print("done", *done, flush=True)
        await broker.release(stops)  # for the others too
        stopped = bool(stops)
    renewing.cancel()
    await broker.close()


async def send_bodies(broker: SQLiteBroker) -> None:
    assert broker.chords is not None
    for chord in await broker.chords.claim_chords(["q"], 10, LEASE):
        body = f"body of {chord.group_id}"
        flow = Flow(ends=(ChordEnd(chord.group_id, chord.claim),))
        sent = Settlement(
            NOWHERE, Keep(), ResultRecord(body, "SUCCESS", b""), (job(body, "bodies"),), fenced=False, flow=flow
        )
        await broker.settle([sent])  # refused where the claim has run out: another one has sent it


async def renew(broker: SQLiteBroker) -> None:
    while True:
        await asyncio.sleep(LEASE / 4)
        await broker.renew()


if __name__ == "__main__":
    if sys.argv[2] == "produce":
        produce(sys.argv[1], sys.argv[3], int(sys.argv[4]))
    else:
        asyncio.run(work(sys.argv[1], sys.argv[3]))
