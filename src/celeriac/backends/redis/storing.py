"""Storing results as a plan of trips, which threads and event loops carry out alike.

Owns the rule that SUCCESS is final, where the script alone can not tell what is stored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from celeriac.exceptions import BackendError, OperationalError
from celeriac.outcome import ResultRecord
from celeriac.states import SUCCESS
from celeriac.storage.redis.async_links import AsyncLink
from celeriac.storage.redis.commands import Arg
from celeriac.storage.redis.links import Links
from celeriac.storage.redis.scripts import Script, load_script

_RESULT: Final = (("celeriac.storage.redis", "result"),)
#: Stores the list of a group's members.
SAVE_GROUP: Final = load_script("celeriac.backends.redis", "save_group", _RESULT)
#: Results in one run of a script, which nobody else gets past.
_AT_ONCE: Final = 500
#: How often to look again when others write the same results at the same time.
_MOST_ROUNDS: Final = 20


class Call(NamedTuple):
    """One trip: a script to run, or commands."""

    script: Script | None
    keys: Sequence[bytes] = ()
    args: Sequence[Arg] = ()
    commands: Sequence[tuple[Arg, ...]] = ()


#: Yields trips, is sent their replies.
Plan: TypeAlias = Generator[Call, list[Any], None]


class StoringRules(NamedTuple):
    """How results are stored.

    Attributes:
        key: the key of a task's result.
        mark: what `result.lua` calls the serialiser; empty if it can not look into metas.
        read_status: the state in a stored meta; raises BackendError.
    """

    key: Callable[[str], bytes]
    mark: str
    read_status: Callable[[bytes], str]


def carry_out(plan: Plan, links: Links) -> None:
    """Make the trips of a plan one after the other."""
    try:
        call = next(plan)
        while True:
            if call.script is None:
                replies = links.call_all(call.commands)
            else:
                replies = links.run(call.script, call.keys, call.args)
            call = plan.send(replies)
    except StopIteration:
        return


async def acarry_out(plan: Plan, link: AsyncLink) -> None:
    """`carry_out` for asyncio."""
    try:
        call = next(plan)
        while True:
            if call.script is None:
                replies = await link.call_all(call.commands)
            else:
                replies = await link.run(call.script, call.keys, call.args)
            call = plan.send(replies)
    except StopIteration:
        return


def plan_storing(records: Sequence[ResultRecord], rules: StoringRules) -> Plan:
    """Store records in their order, each unless a SUCCESS is stored.

    The plan raises OperationalError when others write the same results again and again.
    """
    script = load_script("celeriac.backends.redis", "store_results", _RESULT)
    for batch in _batches(records):
        keys = [rules.key(record.task_id) for record in batch]
        args: list[Arg] = [rules.mark]
        for record in batch:
            args += [ttl_ms(record.ttl), record.meta]
        answers = yield Call(script, keys, args)
        unsure = [record for record, answer in zip(batch, answers, strict=True) if answer < 0]
        yield from _plan_looking(unsure, rules)


def _plan_looking(records: list[ResultRecord], rules: StoringRules) -> Plan:
    """Look at what is stored, and replace it if it is no SUCCESS and nobody else has written meanwhile."""
    script = load_script("celeriac.backends.redis", "replace_results", _RESULT)
    for _ in range(_MOST_ROUNDS):
        if not records:
            return
        found = yield Call(None, commands=[("GET", rules.key(record.task_id)) for record in records])
        open_ones = [
            (record, stored)
            for record, stored in zip(records, found, strict=True)
            if not _is_final(stored, rules.read_status)
        ]
        if not open_ones:
            return
        keys = [rules.key(record.task_id) for record, _ in open_ones]
        args: list[Arg] = []
        for record, stored in open_ones:
            args += [_checksum(stored), ttl_ms(record.ttl), record.meta]
        answers = yield Call(script, keys, args)
        records = [record for (record, _), answer in zip(open_ones, answers, strict=True) if not answer]
    if records:
        raise OperationalError(
            f"the result of task {records[0].task_id} was changed by others {_MOST_ROUNDS} times while it was stored"
        )


def ttl_ms(ttl: float | None) -> int:
    """How scripts are told how long to keep a result: milliseconds, or -1 for ever."""
    return -1 if ttl is None else max(0, int(ttl * 1000))


def _is_final(stored: bytes | None, read_status: Callable[[bytes], str]) -> bool:
    if stored is None:
        return False
    try:
        return read_status(stored) == SUCCESS
    except BackendError:  # nobody with these settings could ever read it; the new result is worth more
        return False


def _checksum(stored: bytes | None) -> str:
    return "" if stored is None else hashlib.sha1(stored, usedforsecurity=False).hexdigest()


def _batches(records: Sequence[ResultRecord]) -> Iterator[Sequence[ResultRecord]]:
    for start in range(0, len(records), _AT_ONCE):
        yield records[start : start + _AT_ONCE]
