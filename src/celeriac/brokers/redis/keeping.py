"""Looking after queues: depth, purge, dead letters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from celeriac.brokers.redis import scripts
from celeriac.brokers.redis.reserving import split_held
from celeriac.brokers.redis.settling import DeathRecord
from celeriac.exceptions import DecodeError
from celeriac.message import DeadLetter, Message
from celeriac.storage.redis.envelope import open_envelope, seal

if TYPE_CHECKING:
    from celeriac.brokers.redis.publishing import Layout
    from celeriac.clock import Clock
    from celeriac.storage.redis.async_links import AsyncLink
    from celeriac.storage.redis.commands import Arg
    from celeriac.storage.redis.scripts import Script

#: Dead letters that are looked at in one trip.
_PAGE: Final = 500

_death_decoder: Final = msgspec.json.Decoder(DeathRecord)


class QueueUpkeep:
    """Looks after queues over one link.

    Args:
        layout: names.
        clock: see `scripts.common_arguments`.
    """

    def __init__(self, layout: Layout, clock: Clock) -> None:
        self._layout = layout
        self._keys = layout.keys
        self._clock = clock

    async def depth(self, link: AsyncLink, queue: str) -> int:
        """Messages that are not held."""
        counts = [("LLEN", key) for key in self._layout.lists(queue)]
        return sum(await link.call_all([*counts, ("ZCARD", self._keys.due(queue))]))

    async def purge(self, link: AsyncLink, queue: str) -> int:
        """Delete what is not held."""
        count: int = await self._run(link, scripts.PURGE, [queue, *self._layout.steps])
        return count

    async def dead_letters(self, link: AsyncLink, queue: str | None, limit: int, offset: int) -> list[DeadLetter]:
        """Newest first."""
        members: list[bytes] = []
        start = 0
        while len(members) < offset + limit:
            page = await link.call("ZREVRANGE", self._keys.dead_order, start, start + _PAGE - 1)
            if not page:
                break
            start += _PAGE
            members += [member for member in page if queue is None or _queue_of(member) == queue]
        wanted = members[offset : offset + limit]
        letters: list[DeadLetter] = []
        for at in range(0, len(wanted), _PAGE):
            tags = [member.partition(b":")[0] for member in wanted[at : at + _PAGE]]
            records = await link.call("HMGET", self._keys.dead, *tags)
            letters += [_read_letter(int(tag), record) for tag, record in zip(tags, records, strict=True) if record]
        return letters

    async def requeue(self, link: AsyncLink, tags: Sequence[int | str]) -> int:
        """Put dead letters back into their queues; unknown tags are skipped."""
        count = 0
        for tag in dict.fromkeys(tags):
            record = await link.call("HGET", self._keys.dead, tag)
            if record is not None:
                queue, step, envelope = self._revived(record)
                count += await self._run(link, scripts.TAKE_DEAD, [tag, queue, step, envelope])
        return count

    async def purge_dead(self, link: AsyncLink, queue: str | None) -> int:
        """Delete dead letters, in bounded steps."""
        count = start = 0
        while page := await link.call("ZRANGE", self._keys.dead_order, start, start + _PAGE - 1):
            chosen = [member for member in page if queue is None or _queue_of(member) == queue]
            start += len(page) - len(chosen)
            arguments: list[Arg] = []
            for member in chosen:
                arguments += (member.partition(b":")[0], _queue_of(member), "", "")
            if arguments:
                count += await self._run(link, scripts.TAKE_DEAD, arguments)
        return count

    def _revived(self, record: bytes) -> tuple[str, int, bytes]:
        """Queue, step and envelope for a dead letter that lives again, its history forgotten."""
        death, queue, envelope = _split_record(record)
        try:
            message = open_envelope(envelope).packed.unpack()
        except DecodeError:
            return queue, 0, envelope
        return queue, self._layout.step(death.priority), seal(message, queue, death.priority)

    async def _run(self, link: AsyncLink, script: Script, arguments: Sequence[Arg]) -> Any:
        return await link.run(
            script, [self._keys.leases], [*scripts.common_arguments(self._keys, self._clock), *arguments]
        )


def _queue_of(member: bytes) -> str:
    return member.partition(b":")[2].decode()


def _split_record(record: bytes) -> tuple[DeathRecord, str, bytes]:
    death, _, held = record.partition(b"\n")
    _, queue, envelope = split_held(held)
    return _death_decoder.decode(death), queue, envelope


def _read_letter(tag: int, record: bytes) -> DeadLetter:
    death, queue, envelope = _split_record(record)
    packed = open_envelope(envelope).packed
    try:
        message = packed.unpack()
    except DecodeError:  # damaged: that is why it is here, and the others are to be seen all the same
        message = Message({}, {}, packed.body, packed.content_type, packed.content_encoding)
    return DeadLetter(tag, message, queue, death.reason, death.at, death.history, death.priority)
