"""A producer or a worker on a SQLite file, as a process of its own; used by `test_sqlite_processes`.

python queue_process.py PATH produce NAME COUNT     publishes NAME-0 ... NAME-(COUNT-1), one by one and in bulk
python queue_process.py PATH work NAME              acknowledges with results until a message named "stop" comes
"""

from __future__ import annotations

import asyncio
import sys

from celeriac.brokers.sqlite import SQLiteBroker
from celeriac.message import Loss, Message, Publication
from celeriac.outcome import Acknowledge, Requeue, ResultRecord, Settlement

LEASE = 1.0


def job(name: str) -> Publication:
    return Publication(Message({"id": name}, {}, b"body"), "q")


def produce(path: str, name: str, count: int) -> None:
    broker = SQLiteBroker(path)
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
                Settlement(d, Acknowledge(), ResultRecord(d.message.headers["id"], "SUCCESS", name.encode()))
                for d in rest
            ]
        )
        done = [d.message.headers["id"] for d in rest if all(s.delivery is not d for s in refused)]
        if done:
            print("done", *done, flush=True)
        await broker.release(stops)  # for the others too
        stopped = bool(stops)
    renewing.cancel()
    await broker.close()


async def renew(broker: SQLiteBroker) -> None:
    while True:
        await asyncio.sleep(LEASE / 4)
        await broker.renew()


if __name__ == "__main__":
    if sys.argv[2] == "produce":
        produce(sys.argv[1], sys.argv[3], int(sys.argv[4]))
    else:
        asyncio.run(work(sys.argv[1], sys.argv[3]))
