"""How much one trip of settlements carries, and what was written of a trip that failed half-way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from celeriac.exceptions import OperationalError
from celeriac.outcome import Bury, Requeue, Settlement

#: What is written by settlements that share a transaction; a single one may be larger.
SETTLED_BYTES: Final = 32 * 1024 * 1024


def split(settlements: Sequence[Settlement], most_bytes: int = SETTLED_BYTES) -> Iterator[Sequence[Settlement]]:
    """Parts that write up to `most_bytes` each, or hold one settlement. Nearly always there is one part."""
    start = size = 0
    for n, settlement in enumerate(settlements):
        weight = _weigh(settlement)
        if size + weight > most_bytes and n > start:
            yield settlements[start:n]
            start, size = n, 0
        size += weight
    yield settlements[start:] if start else settlements


def _weigh(settlement: Settlement) -> int:
    """Bytes that are written, roughly: bodies and results, shares of chords included."""
    size = 0 if settlement.result is None else len(settlement.result.meta)
    if settlement.flow is not None:
        size += sum(len(record.meta) for record in settlement.flow.results)
        size += sum(len(share.part) for share in settlement.flow.shares)
    if settlement.follow_ups:
        size += sum(len(publication.message.body) for publication in settlement.follow_ups)
    action = settlement.action
    if type(action) is Requeue and action.message is not None:
        size += len(action.message.body)
    elif type(action) is Bury:
        size += len(settlement.delivery.packed.body)
    return size


#: Settlements that were written and that are remembered; their trips may never be made again.
_MOST_KEPT: Final = 65_536


class PartlySettled(OperationalError):
    """Some settlements of a trip can not be written for now, for reasons of their own; all others were.

    Args:
        text: the reason.
        left: those that were not written.
        refused: those whose lease was lost, as `Broker.settle` returns them.
    """

    def __init__(self, text: str, left: Sequence[Settlement], refused: Sequence[Settlement] = ()) -> None:
        super().__init__(text)
        self.left = tuple(left)
        self.refused = tuple(refused)


class WrittenParts:
    """Remembers what was written of a trip whose later part failed, until the trip is made again.

    Without it the second time would find those messages gone, and take them for lost to another worker.
    """

    def __init__(self) -> None:
        #: In the order in which they were written.
        self._keys: dict[tuple[object, ...], None] = {}

    def keep(self, settlements: Iterable[Settlement]) -> None:
        """These were written, and the caller will not know."""
        self._keys.update(dict.fromkeys(map(_key, settlements)))
        while len(self._keys) > _MOST_KEPT:
            del self._keys[next(iter(self._keys))]

    def without_written(self, settlements: Sequence[Settlement]) -> Sequence[Settlement]:
        """Those that are still to be written. Each one is known once."""
        if not self._keys:
            return settlements
        left: list[Settlement] = []
        for settlement in settlements:
            key = _key(settlement)
            if key in self._keys:
                del self._keys[key]
            else:
                left.append(settlement)
        return left

    def clear(self) -> None:
        """Nothing of the past will be asked for again."""
        self._keys.clear()


def _key(settlement: Settlement) -> tuple[object, ...]:
    delivery, flow = settlement.delivery, settlement.flow
    ends = () if flow is None else flow.ends
    return (delivery.tag, delivery.token, settlement.fenced, type(settlement.action), ends)
