"""What workflows learn of settlements, where chords are joined in another store than messages are kept in.

One transaction can not do it there. So: first what chords learn, then messages and acknowledgements, then the ends of
chords whose bodies were sent. Each is written again until it is written, and then not once more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from celeriac.outcome import Flow, ResultRecord, Settlement

if TYPE_CHECKING:
    from celeriac.app import Celeriac
    from celeriac.chords import ChordEnd, ChordGrowth

_NOTHING: Final = Flow()


async def break_chords(app: Celeriac, batch: Sequence[Settlement]) -> list[Settlement]:
    """Have chords fail that wait in vain for a member of this batch.

    Returns:
        The batch without that.

    Raises:
        OperationalError: the store is away. A chord may be broken twice.
    """
    for settlement in batch:
        for broken in settlement.flow.broken if settlement.flow is not None else ():
            await app.chord_store.abreak_chord(broken.group_id, broken.reason, broken.queue)
    return [_without_broken(settlement) for settlement in batch]


def _without_broken(settlement: Settlement) -> Settlement:
    flow = settlement.flow
    if flow is None or not flow.broken:
        return settlement
    rest = msgspec.structs.replace(flow, broken=())
    return msgspec.structs.replace(settlement, flow=None if rest == _NOTHING else rest)


async def begin(app: Celeriac, batch: Sequence[Settlement]) -> list[Settlement]:
    """Write what comes before messages: results of others, chords that begin, shares.

    Returns:
        The batch without that, so that it is not written again when the rest is.

    Raises:
        OperationalError: the store is away. What was written may be written again: members count once.
    """
    flows = [settlement.flow for settlement in batch if settlement.flow is not None]
    store = app.chord_store
    starts = [start for flow in flows for start in flow.starts]
    if starts:
        await store.astart_chords(starts)
    records = [record for flow in flows for record in flow.results]
    if records:
        await app.backend.astore(records)
    shares = [share for flow in flows for share in flow.shares]
    grown = [growth for settlement in batch for growth in _growth_of(settlement)]
    if shares or grown:
        await store.add_shares(shares, grown)
    return [_only_ends(settlement) for settlement in batch]


def _growth_of(settlement: Settlement) -> list[ChordGrowth]:
    """What it adds to chords, with the place of its run among those of the task.

    Whether the task is still this worker's only the broker knows, which is asked later: one that was cut off for longer
    than its lease may come with this when the run of another worker counts. That one was told of one loss more.
    """
    if settlement.flow is None or not settlement.flow.grown:
        return []
    delivery = settlement.delivery
    losses = len(delivery.history) + (delivery.lost_by is not None)
    return [msgspec.structs.replace(growth, losses=losses) for growth in settlement.flow.grown]


def _only_ends(settlement: Settlement) -> Settlement:
    flow = settlement.flow
    if flow is None:
        return settlement
    return msgspec.structs.replace(settlement, flow=Flow(ends=flow.ends) if flow.ends else None)


async def still_claimed(app: Celeriac, batch: Sequence[Settlement]) -> tuple[Sequence[Settlement], list[Settlement]]:
    """What may be written of a batch, and what may not: bodies that another worker sends by now.

    To be asked before each try, since the broker may have been away for longer than a claim lasts.

    Raises:
        OperationalError: the store is away.
    """
    ends = ends_of(batch)
    if not ends:
        return batch, []
    refused = set(await app.chord_store.renew_claims(ends, app.conf.worker_lease_seconds))
    is_late = [one.flow is not None and not refused.isdisjoint(one.flow.ends) for one in batch]
    late = [one for one, is_one in zip(batch, is_late, strict=True) if is_one]
    return ([one for one, is_one in zip(batch, is_late, strict=True) if not is_one] if late else batch), late


def without_flow(batch: Sequence[Settlement]) -> list[Settlement]:
    """The batch as a broker takes it that joins no chords."""
    return [one if one.flow is None else msgspec.structs.replace(one, flow=None) for one in batch]


def ends_of(batch: Sequence[Settlement]) -> list[ChordEnd]:
    """The chords that these end."""
    return [end for one in batch if one.flow is not None for end in one.flow.ends]


def results_of(settlement: Settlement) -> tuple[ResultRecord, ...]:
    """All results of a settlement: its task's, and those of tasks that will never run."""
    own = () if settlement.result is None else (settlement.result,)
    return own if settlement.flow is None else (*own, *settlement.flow.results)


def without_results(settlement: Settlement) -> Settlement:
    """The settlement as a broker takes it that has another store than results have."""
    flow = settlement.flow
    if flow is not None and flow.results:
        flow = msgspec.structs.replace(flow, results=())
    return msgspec.structs.replace(settlement, result=None, flow=flow)
