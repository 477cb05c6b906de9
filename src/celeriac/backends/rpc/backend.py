"""The reply backend's face: `ReplyBackend`, in its order, in the format of Celery's `rpc://`.

The worker's side publishes on confirmed channels. The client's side has one queue, one connection and one thread for
each process, however many threads and coroutines wait.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Final

from celeriac.backends.groupless import GrouplessBackend
from celeriac.backends.metas import read_status
from celeriac.backends.rpc.listener import Listener
from celeriac.backends.rpc.messages import ReplyForm, mark_parcel, read_reply
from celeriac.backends.rpc.places import DEFAULT_LIMIT, Place, Places
from celeriac.backends.rpc.second_chances import SecondChances, drop
from celeriac.exceptions import OperationalError
from celeriac.outcome import ResultRecord
from celeriac.states import READY_STATES
from celeriac.storage.forks import renew_in_children
from celeriac.storage.rabbitmq.framing import Content
from celeriac.storage.rabbitmq.links import Links
from celeriac.storage.rabbitmq.location import RabbitLocation
from celeriac.storage.runner import ThreadRunner

logger = logging.getLogger("celeriac.backend")

_DEFAULT_INFLATED_LIMIT: Final = 128 * 1024 * 1024
#: Seconds: about what Celery's default retry policy adds up to.
_PATIENCE: Final = 20.0
#: Seconds: several of a client's pauses between two attempts to connect.
_GRACE: Final = 10.0


class RpcBackend(GrouplessBackend):
    """Results as messages on RabbitMQ: each goes to the process that sent the task, and to nobody else.

    Nothing is stored. A result that comes while nobody asks for it is kept in memory; it can be asked for as long as
    the `AsyncResult` that sending returned exists, and for some time after that. Results are lost when their process
    ends, and those that are sent while its connection is broken.

    Args:
        location: which RabbitMQ.
        expires: seconds after which RabbitMQ removes the queue of a process that does not listen any more
            (`result_expires`).
        persistent: RabbitMQ keeps results on disk until they are fetched (`result_persistent`).
        cache_limit: how many results are kept that nobody holds on to (`result_cache_max`); None for all.
        serializer: `result_serializer`.
        accept: serialisers that may be decoded to learn a state (`result_accept_content`).
        inflated_size_limit: bytes that a compressed result may inflate to.
        patience: seconds that RabbitMQ may be away while somebody waits for a result.
        grace: seconds that a worker keeps a result whose queue is not there: its process may be on its way back.

    Attributes:
        location: where.

    Example:
        >>> from celeriac.backends import open_backend
        >>> open_backend("rpc://me:secret@localhost//").address
        'rpc://me@localhost:5672//'
    """

    why_no_groups = (
        "with rpc://, which stores nothing: set result_backend to a store, for example redis:// or sqlite:///, or keep "
        "group.as_tuple() yourself"
    )

    def __init__(
        self,
        location: RabbitLocation,
        *,
        expires: float | None = 86400.0,
        persistent: bool = False,
        cache_limit: int | None = DEFAULT_LIMIT,
        serializer: str = "json",
        accept: Collection[str] = ("json",),
        inflated_size_limit: int = _DEFAULT_INFLATED_LIMIT,
        patience: float = _PATIENCE,
        grace: float = _GRACE,
    ) -> None:
        self.location = location
        self.address = f"rpc://{location.address.partition('://')[2]}"
        self._form = ReplyForm(serializer, persistent)
        self._serializer = serializer
        self._accept = accept
        self._inflated_size_limit = inflated_size_limit
        self._places = Places(cache_limit)
        self._links = Links(location.for_publishing, "celeriac results")
        self._chances = SecondChances(self._links.publish, grace)
        self._storing = ThreadRunner("celeriac-results-sent")
        self._asking = ThreadRunner("celeriac-results-asked")
        self._listener = Listener(
            location,
            _new_name(),
            expires,
            deliver=self._take,
            on_away=self._places.wake_all,
            on_lost=self._tell_loss,
            patience=patience,
        )
        renew_in_children(self)

    # -- results -------------------------------------------------------------------------------------------------------

    def store(self, records: Sequence[ResultRecord]) -> None:
        """See `Backend.store`. Results that name no queue are dropped; for one that is not there they wait a little."""
        parcels = [parcel for record in records if (parcel := self._form.parcel(record)) is not None]
        missed = self._links.publish(parcels) if parcels else []
        if missed:
            # States on the way would come behind what they led to.
            done = {record.task_id for record in records if record.status in READY_STATES}
            self._chances.add([parcel for parcel in missed if parcel.content.properties["correlation_id"] in done])
            drop([parcel for parcel in missed if parcel.content.properties["correlation_id"] not in done])

    async def astore(self, records: Sequence[ResultRecord]) -> None:
        """See `Backend.astore`. The rest as `store`."""
        if any(record.reply_to for record in records):
            await self._storing.run(lambda: self.store(records))

    def load(self, task_id: str) -> ResultRecord | None:
        """See `Backend.load`: what has come to this process, and what RabbitMQ holds for it at the moment.

        Raises `BackendError` for what is no result of the serialiser.
        """
        if not self._has_all_of(task_id):
            self._catch_up()
        place = self._places.find(task_id)
        return None if place is None else place.read()

    async def aload(self, task_id: str) -> ResultRecord | None:
        """See `Backend.aload`. The rest as `load`."""
        if not self._has_all_of(task_id):
            await self._asking.run(self._catch_up)
        place = self._places.find(task_id)
        return None if place is None else place.read()

    def load_many(self, task_ids: Sequence[str]) -> list[ResultRecord]:
        """See `Backend.load_many`. The rest as `load`."""
        if not all(map(self._has_all_of, task_ids)):
            self._catch_up()
        return self._places.read_many(task_ids)

    async def aload_many(self, task_ids: Sequence[str]) -> list[ResultRecord]:
        """See `Backend.aload_many`. The rest as `load`."""
        if not all(map(self._has_all_of, task_ids)):
            await self._asking.run(self._catch_up)
        return self._places.read_many(task_ids)

    def wait_ready(self, task_id: str, timeout: float) -> ResultRecord | None:
        """See `Backend.wait_ready`.

        RabbitMQ may be away for a while meanwhile. Raises `BackendError` for what is no result of the serialiser.
        """
        if timeout <= 0:
            return _if_ready(self.load(task_id))
        since = time.monotonic()
        place = self._awaited(task_id)
        while (record := place.read_ready()) is None and (left := since + timeout - time.monotonic()) > 0:
            woken = threading.Event()
            self._places.add_waker(place, woken.set)
            try:
                if place.read_ready() is None:
                    woken.wait(left)
            finally:
                self._places.remove_waker(place, woken.set)
            self._raise_if_away(place, since)
        return record

    async def await_ready(self, task_id: str, timeout: float) -> ResultRecord | None:
        """See `Backend.await_ready`. The rest as `wait_ready`."""
        if timeout <= 0:
            return _if_ready(await self.aload(task_id))
        since = time.monotonic()
        place = self._awaited(task_id)
        while (record := place.read_ready()) is None and (left := since + timeout - time.monotonic()) > 0:
            woken = asyncio.Event()
            wake = _waker(asyncio.get_running_loop(), woken)
            self._places.add_waker(place, wake)
            try:
                if place.read_ready() is None:
                    async with asyncio.timeout(left):
                        await woken.wait()
            except TimeoutError:
                pass  # there may have come something in the last moment
            finally:
                self._places.remove_waker(place, wake)
            self._raise_if_away(place, since)
        return record

    def forget(self, task_id: str) -> None:
        """See `Backend.forget`. What comes of it later is not forgotten."""
        if not self._has_all_of(task_id):
            self._catch_up()
        self._places.forget(task_id)

    async def aforget(self, task_id: str) -> None:
        """See `Backend.aforget`."""
        if not self._has_all_of(task_id):
            await self._asking.run(self._catch_up)
        self._places.forget(task_id)

    def forget_many(self, task_ids: Sequence[str]) -> None:
        """See `Backend.forget_many`."""
        if not all(map(self._has_all_of, task_ids)):
            self._catch_up()
        for task_id in task_ids:
            self._places.forget(task_id)

    async def aforget_many(self, task_ids: Sequence[str]) -> None:
        """See `Backend.aforget_many`."""
        if not all(map(self._has_all_of, task_ids)):
            await self._asking.run(self._catch_up)
        for task_id in task_ids:
            self._places.forget(task_id)

    async def sweep(self) -> int:
        """See `Backend.sweep`. Nothing is stored."""
        return 0

    def disconnect(self) -> None:
        """See `Backend.disconnect`. The queue of this process is gone then, with all that was not fetched."""
        self._listener.stop()
        self._chances.stop()
        self._links.close()
        self._storing.stop()
        self._asking.stop()

    # -- replies -------------------------------------------------------------------------------------------------------

    def reply_queue(self) -> str:
        """See `ReplyBackend.reply_queue`."""
        return self._listener.queue

    def expect(self, task_ids: Sequence[str]) -> Mapping[str, object]:
        """See `ReplyBackend.expect`."""
        self._listener.ensure()
        return self._places.claim(task_ids, self._listener.life)

    async def aexpect(self, task_ids: Sequence[str]) -> Mapping[str, object]:
        """See `ReplyBackend.aexpect`."""
        if not self._listener.is_listening:
            await self._asking.run(self._listener.ensure)
        return self._places.claim(task_ids, self._listener.life)

    def explain_missing(self, task_id: str) -> str | None:
        """See `ReplyBackend.explain_missing`."""
        place = self._places.find(task_id)
        if place is None or place.expected_in == 0:
            return (
                "With rpc:// a result comes only to the process that sent the task, and goes with it: this process "
                "did not send it, or let go of its result long ago. Use a backend that stores results if others ask "
                "for them"
            )
        if place.expected_in != self._listener.life:
            return (
                "The queue for the results of this process was lost with its connection to RabbitMQ after the task "
                "was sent: if it has ended meanwhile, its result is lost, too. Use a backend that stores results if "
                "that must not be"
            )
        return None

    def after_fork_in_child(self) -> None:
        """The queue is the parent's. What had come before the fork can still be asked for."""
        self._places.after_fork_in_child()
        self._chances.after_fork_in_child()
        self._listener.after_fork_in_child(_new_name())

    # -- inside --------------------------------------------------------------------------------------------------------

    def _awaited(self, task_id: str) -> Place:
        place = self._places.claim([task_id])[task_id]
        if self._listener.life or place.expected_in:  # else no task of this process has named the queue
            self._listener.start()
        return place

    def _has_all_of(self, task_id: str) -> bool:
        place = self._places.find(task_id)
        return place is not None and place.is_final

    def _raise_if_away(self, place: Place, since: float) -> None:
        if place.read_ready() is None:
            self._listener.raise_if_away(since)

    def _catch_up(self) -> None:
        """Have all that RabbitMQ holds for this process, by sending a mark that comes last."""
        name = uuid.uuid4().hex
        passed = self._listener.mark(name)
        if passed is None:
            return
        try:
            gone = self._links.publish([mark_parcel(self._listener.queue, name)])
            if not gone and not passed.wait(self.location.answer_timeout):
                raise OperationalError(
                    f"{self.location.address} did not deliver what it has of results within "
                    f"{self.location.answer_timeout:g} s"
                )
        finally:
            self._listener.drop_mark(name)

    def _take(self, contents: Sequence[Content]) -> None:
        for content in contents:
            reply = read_reply(content, self._status)
            if reply is None:
                logger.warning("A message came for results that is none: %r", content.properties)
            else:
                self._places.put(*reply)

    def _status(self, meta: bytes) -> str:
        return read_status(
            meta, serializer=self._serializer, accept=self._accept, inflated_size_limit=self._inflated_size_limit
        )

    def _tell_loss(self) -> None:
        logger.warning(
            "The queue for the results of this process was lost with its connection to %s: results that were sent "
            "meanwhile do not come. %d are waited for",
            self.location.address,
            self._places.count_waiting(),
        )


def _new_name() -> str:
    return str(uuid.uuid4())


def _if_ready(record: ResultRecord | None) -> ResultRecord | None:
    return record if record is not None and record.status in READY_STATES else None


def _waker(loop: asyncio.AbstractEventLoop, woken: asyncio.Event) -> Callable[[], None]:
    def wake() -> None:
        with suppress(RuntimeError):  # the loop was closed: nobody waits any more
            loop.call_soon_threadsafe(woken.set)

    return wake
