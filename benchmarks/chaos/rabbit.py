"""A private RabbitMQ node that is killed, stopped and disturbed, and what it still has at the end.

Owns the questions to it. Knows no task queue: tasks are found by their ids, see `tasks.task_id`.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from typing import TYPE_CHECKING, Final, Self

import amqp
from amqp.exceptions import AMQPError

from benchmarks.chaos.outage import Outage, What, wait
from benchmarks.rabbit_server import Node

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import TracebackType

_DEADLINE: Final = 60.0
_ID: Final = re.compile(r"chaos-(\d+)\b")
#: Queues that stay when all is done: of the tasks, of suspects, of dead letters, of delayed delivery.
_LASTING: Final = re.compile(r"(celeriac\.suspects\.)?celery|celeriac\.dead|celery_delayed_\d+")


class RabbitServer:
    """Runs from the start of the block to its end, on one port.

    Args:
        folder: for all that it writes.
        absence: seconds between kill and new start, when that is not to be at once.
        paused: seconds of a pause.
    """

    def __init__(
        self,
        folder: Path,
        *,
        absence: float = 12.0,
        paused: float = 10.0,
    ) -> None:
        home = folder / "rabbitmq"
        home.mkdir()
        self._node = Node(home)
        self._absence = absence
        self._paused = paused
        self._is_settled = False
        self.url = f"amqp://guest:guest@127.0.0.1:{self._node.port}/%2F"

    def __enter__(self) -> Self:
        try:
            self._node.start()
            self._wait_answer()
        except BaseException:
            self._node.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._node.close()

    def disturb(self, what: What, meanwhile: Callable[[], None] = lambda: None) -> Outage:
        """See `outage.Server`.

        Raises:
            ValueError: that can not be done to RabbitMQ.
        """
        self._settle()
        before = time.monotonic_ns()
        match what:
            case "restart":
                self._node.kill()
                time.sleep(1.0)
                self._node.start()
            case "absence":
                self._node.kill()
                wait(self._absence, meanwhile)
                self._node.start()
            case "orderly restart":
                self._node.stop()
                self._node.start()
            case "pause":
                os.kill(self._node.pid, signal.SIGSTOP)
                wait(self._paused, meanwhile)
                os.kill(self._node.pid, signal.SIGCONT)
            case "hang up":
                self._node.ctl("close_all_connections", "chaos")
            case _:
                raise ValueError(f"RabbitMQ knows no {what!r}")
        self._wait_answer()
        return Outage(what, before, time.monotonic_ns())

    def version(self) -> str:
        """See `outage.Server`."""
        return self._node.version()

    def numbers(self) -> set[int]:
        """See `outage.Server`. Looking takes all there is from every queue, and gives it back by hanging up."""
        found: set[int] = set()
        with self._connection() as connection:
            channel = connection.channel()
            for queue in self._queues():
                while (content := channel.basic_get(queue)) is not None:
                    found.update(int(number) for number in _ID.findall(f"{content.properties} {content.body!r}"))
        return found

    def left_over(self) -> list[str]:
        """See `outage.Server`."""
        with self._connection() as connection:
            counts = {queue: _count(connection.channel(), queue) for queue in self._queues()}
        return sorted(
            f"{queue}: {count} messages" for queue, count in counts.items() if count or not _LASTING.fullmatch(queue)
        )

    # -- inside ---------------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Have it written to the disk which queues there are, before it is killed for the first time.

        RabbitMQ does that for quorum queues twice a second by itself. A server that is killed earlier has a queue that
        never works again; no client can do anything about it.
        """
        if not self._is_settled:
            self._node.ctl("eval", "[dets:sync(Table) || Table <- dets:all()].")
            self._is_settled = True

    def _queues(self) -> list[str]:
        return self._node.ctl("list_queues", "--no-table-headers", "name").split()

    def _wait_answer(self) -> None:
        until = time.monotonic() + _DEADLINE
        while True:
            try:
                with self._connection() as connection:
                    connection.channel()
            except (AMQPError, OSError):  # it is not up yet
                if time.monotonic() > until:
                    raise
                time.sleep(0.02)
            else:
                return

    @contextlib.contextmanager
    def _connection(self) -> Iterator[amqp.Connection]:
        connection = amqp.Connection(
            f"127.0.0.1:{self._node.port}",
            "guest",
            "guest",
            connect_timeout=_DEADLINE,
            read_timeout=_DEADLINE,
            write_timeout=_DEADLINE,
        )
        connection.connect()
        try:
            yield connection
        finally:
            connection.close()


def _count(channel: amqp.Channel, queue: str) -> int:
    """Asked so, a queue of any kind tells of itself as it is now; in listings it may be as it was 5 s ago."""
    return channel.queue_declare(queue, passive=True).message_count
