"""The result backend contract: where results live and how one waits for them.

A backend stores bytes it does not look into: `ResultRecord.meta` is Celery's result meta as the executor encoded it.
SUCCESS is final: a record is dropped when the stored status is SUCCESS already (Celery's rule).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from celeriac.chords import ChordEnd, ChordGrowth, ChordShare, ChordStart, ChordState, ClaimedChord
from celeriac.outcome import ResultRecord


class ChordStore(Protocol):
    """Where chords are joined: a part of a backend, or of a broker's store for backends that can not.

    The sync methods may be called from any thread, the async ones from any event loop. Every method raises
    `celeriac.exceptions.OperationalError` when the store can not be reached, after a bounded time.
    """

    def start_chords(self, starts: Sequence[ChordStart]) -> None:
        """Note that these begin. One that is known keeps the shares it has; one that has ended begins anew.

        A body that is given is kept until the end, so that the chord can be broken.
        """
        ...

    async def astart_chords(self, starts: Sequence[ChordStart]) -> None:
        """`start_chords` for asyncio."""
        ...

    async def add_shares(self, shares: Sequence[ChordShare], grown: Sequence[ChordGrowth] = ()) -> None:
        """Add members to chords, or withdraw some, then note what members have come to, all in one step.

        A share that is known changes nothing, nor does one of a chord that has ended. A share of a chord that has not
        begun is kept: whoever begins it may be late. Members that are added count once, however often that is told.
        """
        ...

    async def claim_chords(self, queues: Sequence[str], limit: int, seconds: float) -> list[ClaimedChord]:
        """Claim up to `limit` complete chords for `seconds`, of those whose last member came from one of `queues`.

        Broken ones are among the complete ones of the queue that was named then.
        """
        ...

    async def renew_claims(self, ends: Sequence[ChordEnd], seconds: float) -> list[ChordEnd]:
        """Claim chords under the claims that these name for `seconds` from now, also where a claim has run out.

        Returns:
            Those whose claim is not the present one: another worker makes the body, or has made it.
        """
        ...

    async def end_chords(self, ends: Sequence[ChordEnd]) -> list[ChordEnd]:
        """Forget chords that are done with. Returns those whose claim is not the present one; they stay."""
        ...

    def chord_state(self, group_id: str) -> ChordState:
        """What is known of a chord, with all parts."""
        ...

    async def achord_state(self, group_id: str) -> ChordState:
        """`chord_state` for asyncio."""
        ...

    def break_chord(self, group_id: str, reason: str, queue: str) -> bool:
        """Have the body of a chord fail that is not complete: put it among the complete ones of `queue`.

        Members that come later are noted and change nothing. One that is broken already gets the new reason and queue.

        Returns:
            Whether it is broken now. Not so if nothing is known of it, it is over or complete, or no body is known.
        """
        ...

    async def abreak_chord(self, group_id: str, reason: str, queue: str) -> bool:
        """`break_chord` for asyncio."""
        ...

    def open_chords(self, limit: int) -> list[ChordState]:
        """Up to `limit` chords that have begun and are not over, newest first, with `counted` instead of parts.

        A store that other programs use, too, may leave out those that began without a body.
        """
        ...


class Backend(Protocol):
    """Where results live. The sync methods may be called from any thread, the async ones from any event loop.

    Every method raises `celeriac.exceptions.OperationalError` when the store can not be reached or refuses, after a
    bounded time.
    """

    #: The backend's address without passwords, for banners and errors (the full path for files).
    address: str
    #: Where chords are joined, or None if this backend can not.
    chords: ChordStore | None

    def store(self, records: Sequence[ResultRecord]) -> None:
        """Write results in one trip and wake those who wait for them."""
        ...

    async def astore(self, records: Sequence[ResultRecord]) -> None:
        """`store` for asyncio."""
        ...

    def load(self, task_id: str) -> ResultRecord | None:
        """The stored result, or None if there is none or it has expired."""
        ...

    async def aload(self, task_id: str) -> ResultRecord | None:
        """`load` for asyncio."""
        ...

    def load_many(self, task_ids: Sequence[str]) -> list[ResultRecord]:
        """What is stored of these, in any order; those with nothing are missing. Their `ttl` may be left out.

        In few trips, however many there are. What can not be read raises `BackendError` as in `load`.
        """
        ...

    async def aload_many(self, task_ids: Sequence[str]) -> list[ResultRecord]:
        """`load_many` for asyncio."""
        ...

    def wait_ready(self, task_id: str, timeout: float) -> ResultRecord | None:
        """Wait until the result is in one of `states.READY_STATES`; None after `timeout` seconds.

        Waiters are woken when the result is written. A poll as fallback bounds the delay where the wake-up is lost.
        """
        ...

    async def await_ready(self, task_id: str, timeout: float) -> ResultRecord | None:
        """`wait_ready` for asyncio: the loop is not blocked, and thousands may wait at once."""
        ...

    def forget(self, task_id: str) -> None:
        """Delete the result. Deleting what is not there is not an error."""
        ...

    async def aforget(self, task_id: str) -> None:
        """`forget` for asyncio."""
        ...

    def forget_many(self, task_ids: Sequence[str]) -> None:
        """`forget` of many, in few trips."""
        ...

    async def aforget_many(self, task_ids: Sequence[str]) -> None:
        """`forget_many` for asyncio."""
        ...

    def save_group(self, group_id: str, meta: bytes, ttl: float | None) -> None:
        """Keep the list of a group's members for `ttl` seconds, or for good.

        Raises:
            NotSupported: this backend stores nothing.
        """
        ...

    async def asave_group(self, group_id: str, meta: bytes, ttl: float | None) -> None:
        """`save_group` for asyncio."""
        ...

    def load_group(self, group_id: str) -> bytes | None:
        """What `save_group` was given, or None if there is nothing or it has expired."""
        ...

    async def aload_group(self, group_id: str) -> bytes | None:
        """`load_group` for asyncio."""
        ...

    def forget_group(self, group_id: str) -> None:
        """Delete it. Deleting what is not there is not an error."""
        ...

    async def aforget_group(self, group_id: str) -> None:
        """`forget_group` for asyncio."""
        ...

    async def sweep(self) -> int:
        """Delete results, groups and chords past their time, some at each call. Returns how many."""
        ...

    def disconnect(self) -> None:
        """Close what is held open. The next call connects anew. Safe to call at any time and after a fork."""
        ...


class ReplyBackend(Backend, Protocol):
    """A backend that stores nothing: results travel as messages to the process that sent the task.

    `store` sends each record to the queue that its `reply_to` names, and drops those that name none.
    """

    def reply_queue(self) -> str:
        """The queue of this process: what its tasks say in `reply_to`. A forked child has another."""
        ...

    def expect(self, task_ids: Sequence[str]) -> Mapping[str, object]:
        """See to it that results of these tasks reach this process, before the tasks are sent.

        Returns:
            By task id, what must be kept for as long as the result may be asked for. The result of a task of which
            nothing is kept may be dropped when others arrive.

        Raises:
            OperationalError: the queue can not be made; after a bounded time.
        """
        ...

    async def aexpect(self, task_ids: Sequence[str]) -> Mapping[str, object]:
        """`expect` for asyncio: the loop is not blocked."""
        ...

    def explain_missing(self, task_id: str) -> str | None:
        """Why a result that has not come may never come, in a sentence; None if nothing is known against it."""
        ...
