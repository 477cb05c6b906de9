"""Runs one step of a broker in child processes that kill themselves at the 1st, 2nd, 3rd, ... SQL statement of it.

After each death the file is looked at: every message must be in exactly one place, and the step done whole or not at
all. A program of its own because it forks often, which only a process without threads can do safely:

    python -m conformance.kill_at_statement STEP DIRECTORY

Prints one line for each broken rule; the exit code is the number of them, or 100 if the step never came to its end.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from celeriac.backends.sqlite import SQLiteBackend
from celeriac.brokers.sqlite import SQLiteBroker
from celeriac.chords import ChordEnd, ChordGrowth, ChordShare, ChordStart
from celeriac.message import Delivery, Loss, Message, PackedMessage, Publication
from celeriac.outcome import Acknowledge, Action, Bury, Flow, Keep, Requeue, ResultRecord, Settlement
from celeriac.testing import VirtualClock
from conformance.kill_rules import NAMES, half_joined, misplaced, places, whole_or_not

MOST_STATEMENTS = 300
LOSS = Loss(1.0, "victim", "killed")


class Countdown:
    """Kills this process at the start of a statement, once armed."""

    left: int | None = None

    @classmethod
    def tick(cls, _statement: str) -> None:
        if cls.left is not None:
            cls.left -= 1
            if cls.left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)


class TracedConnection(sqlite3.Connection):
    """Every statement, each row of an executemany included, counts down."""

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **options)  # type: ignore[arg-type]
        self.set_trace_callback(Countdown.tick)


def job(name: str, queue: str = "q", not_before: float | None = None) -> Publication:
    return Publication(Message({"id": name}, {}, b"body of " + name.encode()), queue, 0, not_before)


def result_of(name: str) -> ResultRecord:
    return ResultRecord(name, "SUCCESS", b"meta")


def share_of(name: str) -> ChordShare:
    return ChordShare("g", name, int(name[1:]), b"part", b"body", None, "q")


def growth_of(name: str) -> ChordGrowth:
    return ChordGrowth("g", name, (f"added by {name}",))


def flow_of(name: str) -> Flow:
    """Each gives a share of one chord, begins another and has a result of a step that will never run."""
    return Flow((result_of(f"step of {name}"),), (ChordStart(name, 2),), (growth_of(name),), (share_of(name),))


def settlements(deliveries: list[Delivery]) -> list[Settlement]:
    """One of each kind: what becomes of m0 to m7."""
    actions: list[Action] = [
        Acknowledge(),
        Acknowledge(),
        Requeue(),
        Requeue(Message({"id": "m3"}, {}, b"retry"), 1e12),
        Requeue(loss=LOSS),
        Bury("bad", LOSS),
        Keep(),
        Acknowledge(),
    ]
    return [
        Settlement(delivery, action, result_of(name), (job(f"after {name}", "next"),), flow=flow_of(name))
        for delivery, action, name in zip(deliveries, actions, NAMES, strict=True)
    ]


# -- the steps: what is prepared, and what is done while the countdown runs ------------------------------------------


async def prepare_messages(broker: SQLiteBroker) -> None:
    broker.publish([job(name) for name in NAMES[:6]])
    broker.publish([job(name, not_before=1.0) for name in NAMES[6:]])


async def prepare_held(broker: SQLiteBroker) -> None:
    """All are held by a worker that is dead by now."""
    await prepare_messages(broker)
    await broker.open("before", lease_seconds=0.001)
    await broker.reserve(["q"], 100, 0)


async def prepare_dead(broker: SQLiteBroker) -> None:
    await prepare_messages(broker)
    await broker.open("before", lease_seconds=10)
    await broker.settle([Settlement(d, Bury("bad")) for d in await broker.reserve(["q"], 100, 0)])
    await broker.close()


async def prepare_complete(broker: SQLiteBroker) -> None:
    """A chord that waits for its body."""
    await prepare_messages(broker)
    assert broker.chords is not None
    await broker.chords.astart_chords([ChordStart("g", 2)])
    await broker.chords.add_shares([share_of("m0"), share_of("m1")])


async def do_publish(broker: SQLiteBroker, arm: Callable[[], None]) -> None:
    arm()
    await prepare_messages(broker)


async def do_open(broker: SQLiteBroker, arm: Callable[[], None]) -> None:
    arm()
    await broker.open("victim", lease_seconds=10)


async def do_reserve(broker: SQLiteBroker, arm: Callable[[], None]) -> None:
    await broker.open("victim", lease_seconds=10)
    arm()
    assert len(await broker.reserve(["empty", "q"], 5, 0)) == 5


async def do_wait(broker: SQLiteBroker, arm: Callable[[], None]) -> None:
    await broker.open("victim", lease_seconds=10)
    arm()
    assert await broker.reserve(["empty"], 5, 0.02) == []


async def do_settle(broker: SQLiteBroker, arm: Callable[[], None]) -> None:
    await broker.open("victim", lease_seconds=10)
    deliveries = await broker.reserve(["q"], 8, 0)
    arm()
    assert await broker.settle(settlements(deliveries)) == []


async def do_join(broker: SQLiteBroker, arm: Callable[[], None]) -> None:
    assert broker.chords is not None
    await broker.open("victim", lease_seconds=10)
    arm()
    (claimed,) = await broker.chords.claim_chords(["q"], 10, 10)
    flow = Flow(ends=(ChordEnd("g", claimed.claim),))
    nowhere = Delivery(0, 0, PackedMessage(b"[{}, {}]", b"", "", ""), "q")
    sent = Settlement(nowhere, Keep(), None, (job("body", "next"),), fenced=False, flow=flow)
    assert await broker.settle([sent]) == []


async def do_mark(broker: SQLiteBroker, arm: Callable[[], None]) -> None:
    await broker.open("victim", lease_seconds=10)
    deliveries = await broker.reserve(["q"], 8, 0)
    arm()
    assert await broker.mark_started(deliveries) == []


async def do_release(broker: SQLiteBroker, arm: Callable[[], None]) -> None:
    await broker.open("victim", lease_seconds=10)
    deliveries = await broker.reserve(["q"], 8, 0)
    arm()
    await broker.release(deliveries)


async def do_renew(broker: SQLiteBroker, arm: Callable[[], None]) -> None:
    await broker.open("victim", lease_seconds=10)
    await broker.reserve(["q"], 8, 0)
    arm()
    assert await broker.renew()


async def do_recover(broker: SQLiteBroker, arm: Callable[[], None]) -> None:
    await broker.open("victim", lease_seconds=10)
    arm()
    assert len(await broker.recover(5)) == 5
    assert len(await broker.recover(5)) == 3


async def do_close(broker: SQLiteBroker, arm: Callable[[], None]) -> None:
    await broker.open("victim", lease_seconds=10)
    await broker.reserve(["q"], 8, 0)
    arm()
    await broker.close()


async def do_revive(broker: SQLiteBroker, arm: Callable[[], None]) -> None:
    tags = [letter.tag for letter in await broker.dead_letters()]
    arm()
    assert await broker.requeue_dead_letters(tags) == 8


async def do_purge(broker: SQLiteBroker, arm: Callable[[], None]) -> None:
    arm()
    await broker.purge("q")


Prepare = Callable[[SQLiteBroker], Coroutine[Any, Any, None]]
Do = Callable[[SQLiteBroker, Callable[[], None]], Coroutine[Any, Any, None]]


async def prepare_nothing(_broker: SQLiteBroker) -> None:
    pass


STEPS: dict[str, tuple[Prepare, Do]] = {
    "create": (prepare_nothing, do_publish),
    "publish": (prepare_nothing, do_publish),
    "open": (prepare_held, do_open),
    "reserve": (prepare_messages, do_reserve),
    "wait": (prepare_messages, do_wait),
    "settle": (prepare_messages, do_settle),
    "join": (prepare_complete, do_join),
    "mark": (prepare_messages, do_mark),
    "release": (prepare_messages, do_release),
    "renew": (prepare_messages, do_renew),
    "recover": (prepare_held, do_recover),
    "close": (prepare_messages, do_close),
    "revive": (prepare_dead, do_revive),
    "purge": (prepare_messages, do_purge),
}


# -- looking at the file afterwards ----------------------------------------------------------------------------------


@contextmanager
def closing_backend(path: str) -> Iterator[SQLiteBackend]:
    backend = SQLiteBackend(path)
    yield backend
    backend.disconnect()


def broken_rules(path: str, step: str) -> list[str]:
    """What must hold after any death, and what must hold for this step."""
    with closing_backend(path) as backend:
        stored = {name for name in NAMES if backend.load(name) is not None}
        steps = [name for name in NAMES if backend.load(f"step of {name}") is not None]
    connection = sqlite3.connect(path)
    try:
        problems = misplaced(connection)
        everything = places(connection)
        problems += whole_or_not(step, everything, stored)
        problems += half_joined(connection, step, everything, steps)
        if connection.execute("PRAGMA integrity_check").fetchone() != ("ok",):
            problems.append("the file is corrupt")
    finally:
        connection.close()
    return problems


async def recovered_names(path: str, clock: VirtualClock) -> list[str]:
    """What the next worker gets, when it has taken over from the dead one."""
    broker = SQLiteBroker(path, clock=clock)
    await broker.open("next", lease_seconds=10)
    taken = [*await broker.recover(100), *await broker.reserve(["q", "next"], 100, 0)]
    assert await broker.settle([Settlement(delivery, Acknowledge()) for delivery in taken]) == []
    await broker.close()
    return sorted(delivery.message.headers["id"] for delivery in taken)


# -- the loop --------------------------------------------------------------------------------------------------------


def run_child(path: str, step: str, number: int) -> bool:
    """Do the step in a child that dies at statement `number`. Returns whether it lived."""
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            setattr(sqlite3, "connect", partial(sqlite3.connect, factory=TracedConnection))  # noqa: B010
            asyncio.run(STEPS[step][1](SQLiteBroker(path, clock=VirtualClock()), lambda: arm(number)))
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return False
    assert status == 0, f"the child of step {step} at statement {number} failed with status {status}"
    return True


def arm(number: int) -> None:
    Countdown.left = number


def try_number(directory: str, step: str, number: int) -> tuple[bool, list[str]]:
    """One child. Returns whether it lived, and what is wrong with the file now."""
    path = str(Path(directory) / f"{step}-{number}.sqlite3")
    if step != "create":
        broker = SQLiteBroker(path, clock=VirtualClock(monotonic=900.0))
        asyncio.run(STEPS[step][0](broker))
        broker.disconnect()
        with closing_backend(path) as backend:
            backend.load("nothing")  # the tables are there
    lived = run_child(path, step, number)
    problems = broken_rules(path, step)
    before = places_of(path)
    names = asyncio.run(recovered_names(path, VirtualClock(monotonic=2000.0)))
    after = places_of(path)
    left = before["ready"] + before["future"] + before["held"]
    if sorted(names + after["future"]) != sorted(left) or after["dead"] != before["dead"]:
        problems.append(f"the next worker got {names} of {before}")
    if after["ready"] or after["held"]:
        problems.append(f"the next worker left {after}")
    return lived, problems


def places_of(path: str) -> dict[str, list[str]]:
    connection = sqlite3.connect(path)
    try:
        return places(connection)
    finally:
        connection.close()


def main(step: str, directory: str) -> int:
    broken = 0
    for number in range(1, MOST_STATEMENTS):
        lived, problems = try_number(directory, step, number)
        for problem in problems:
            print(f"{step}, killed at statement {number}: {problem}")
        broken += bool(problems)
        if lived:
            print(f"{step}: {number - 1} deaths")
            return min(broken, 99)
    return 100


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
