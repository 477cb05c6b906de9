"""Thousands of coroutines that wait for results share one socket, one look and one trip for each batch.

A hub belongs to one event loop and is used from it alone. It holds a socket and a timer only while somebody waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

from celeriac.exceptions import OperationalError
from celeriac.outcome import ResultRecord
from celeriac.states import READY_STATES
from celeriac.storage.runner import ThreadRunner
from celeriac.storage.sqlite import results
from celeriac.storage.sqlite.bell import Listener, ListenerPool
from celeriac.storage.sqlite.database import Database

#: Seconds between looks for lost rings, and what each waiter adds: a look costs about a microsecond for each.
_LOOK_INTERVAL: Final = 0.1
_BLIND_INTERVAL: Final = 0.02
_INTERVAL_PER_WAITER: Final = 0.00002


class ResultHub:
    """Who waits for which result in one event loop."""

    def __init__(self, database: Database, runner: ThreadRunner, listeners: ListenerPool) -> None:
        self._database = database
        self._runner = runner
        self._pool = listeners
        self._loop = asyncio.get_running_loop()
        self._listener: Listener | None = None
        self._waiters: dict[str, set[asyncio.Future[ResultRecord]]] = {}
        self._timer: asyncio.TimerHandle | None = None
        #: Collected until the loop comes round: ids to arm with the longest wait of each, and ids to disarm.
        self._arriving: dict[str, float] = {}
        self._leaving: set[str] = set()

    async def wait(self, task_id: str, timeout: float) -> ResultRecord | None:
        """Wait until the result is ready; None after `timeout` seconds."""
        waiter: asyncio.Future[ResultRecord] = self._loop.create_future()
        self._arrive(task_id, waiter, timeout)
        try:
            async with asyncio.timeout(timeout):
                return await waiter
        except TimeoutError:
            return None
        finally:
            self._leave(task_id, waiter)

    # -- coming and going -----------------------------------------------------------------------------------------

    def _arrive(self, task_id: str, waiter: asyncio.Future[ResultRecord], timeout: float) -> None:
        if not self._waiters:
            self._start()
        self._waiters.setdefault(task_id, set()).add(waiter)
        if not self._arriving:
            self._loop.call_soon(self._look_and_arm)
        self._arriving[task_id] = max(timeout, self._arriving.get(task_id, 0.0))

    def _leave(self, task_id: str, waiter: asyncio.Future[ResultRecord]) -> None:
        waiters = self._waiters[task_id]
        waiters.discard(waiter)
        if waiters:
            return
        del self._waiters[task_id]
        resolved = waiter.done() and not waiter.cancelled() and waiter.exception() is None
        if not resolved and self._listener is not None:  # whoever stores a result deletes the bell himself
            if not self._leaving:
                self._loop.call_soon(self._disarm, self._listener.port)
            self._leaving.add(task_id)
        if not self._waiters:
            self._stop()

    def _start(self) -> None:
        listener = self._pool.borrow()
        if listener is not None:
            try:
                self._loop.add_reader(listener.socket, self._on_ring)
            except NotImplementedError:  # the proactor loop of Windows: look often instead
                self._pool.give_back(listener)
            else:
                self._listener = listener
        self._set_timer()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._listener is not None:
            self._loop.remove_reader(self._listener.socket)
            self._pool.give_back(self._listener)
            self._listener = None

    # -- looking --------------------------------------------------------------------------------------------------

    def _look_and_arm(self) -> None:
        """One look for all that came in this turn of the loop; bells for those whose result is not there."""
        arriving, self._arriving = self._arriving, {}
        if not self._waiters:
            return
        port = None if self._listener is None else self._listener.port
        task_ids, seconds = list(arriving), max(arriving.values())

        def look() -> list[ResultRecord]:
            found = self._load_ready(task_ids)
            missing = list(set(task_ids).difference(record.task_id for record in found))
            return found + self._load_or_arm(missing, port, seconds)

        self._run(look, task_ids)

    def _on_ring(self) -> None:
        if self._listener is None:
            return
        named = {task_id for payload in self._listener.drain() for task_id in _ids(payload)}
        task_ids = [task_id for task_id in named if task_id in self._waiters]
        if task_ids:
            self._run(lambda: self._load_ready(task_ids), task_ids)

    def _set_timer(self) -> None:
        interval = _BLIND_INTERVAL if self._listener is None else _LOOK_INTERVAL
        interval += _INTERVAL_PER_WAITER * len(self._waiters)
        self._timer = self._loop.call_later(interval, self._look_at_all)

    def _look_at_all(self) -> None:
        task_ids = list(self._waiters)
        self._run(lambda: self._load_ready(task_ids), task_ids, then=self._look_again)

    def _look_again(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._waiters:
            self._set_timer()

    def _disarm(self, port: int) -> None:
        leaving, self._leaving = self._leaving, set()
        task_ids = leaving.difference(self._waiters)  # some may have come back
        self._run(lambda: self._forget_bells(task_ids, port), ())

    def _run(
        self, look: Callable[[], list[ResultRecord]], task_ids: Iterable[str], then: Callable[[], None] | None = None
    ) -> None:
        def finish(done: asyncio.Future[list[ResultRecord]]) -> None:
            if done.cancelled():
                return
            error = done.exception()
            if error is not None:
                self._fail(task_ids, error)
            else:
                self._resolve(done.result())
            if then is not None:
                then()

        self._runner.run(look).add_done_callback(finish)

    def _resolve(self, records: Iterable[ResultRecord]) -> None:
        for record in records:
            for waiter in self._waiters.get(record.task_id, ()):
                if not waiter.done():
                    waiter.set_result(record)

    def _fail(self, task_ids: Iterable[str], error: BaseException) -> None:
        for task_id in task_ids:
            for waiter in self._waiters.get(task_id, ()):
                if not waiter.done():
                    waiter.set_exception(error)

    # -- in the thread --------------------------------------------------------------------------------------------

    def _load_ready(self, task_ids: list[str]) -> list[ResultRecord]:
        now = self._database.clock.time()
        found = self._database.read(lambda c: results.load_results(c, task_ids, now))
        return [record for record in found if record.status in READY_STATES]

    def _load_or_arm(self, task_ids: list[str], port: int | None, seconds: float) -> list[ResultRecord]:
        if not task_ids or port is None:
            return []
        return self._database.write(lambda tx: results.load_or_arm(tx, task_ids, port, seconds))

    def _forget_bells(self, task_ids: set[str], port: int) -> list[ResultRecord]:
        with suppress(OperationalError):  # nobody waits for this; the bells run out by themselves
            self._database.write(lambda tx: results.disarm_result_bells(tx, task_ids, port))
        return []


def _ids(payload: bytes) -> list[str]:
    """Task ids in a datagram; what is not ours names nobody who waits."""
    return payload.decode("utf-8", "replace").split("\n")
