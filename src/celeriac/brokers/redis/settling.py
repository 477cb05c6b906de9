"""From settlements to the arguments of `settle.lua`."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from celeriac.backends.redis.chord_writing import ChordTable
from celeriac.backends.redis.storing import ttl_ms
from celeriac.brokers.redis.leasing import field_of
from celeriac.brokers.redis.publishing import due_text, place
from celeriac.exceptions import DecodeError
from celeriac.message import Delivery, Loss
from celeriac.outcome import Acknowledge, Bury, Flow, Keep, Requeue, ResultRecord, Settlement
from celeriac.storage.redis.envelope import seal

if TYPE_CHECKING:
    from celeriac.backends.redis import RedisBackend
    from celeriac.brokers.redis.publishing import Layout
    from celeriac.storage.redis.commands import Arg

_encoder: Final = msgspec.json.Encoder()
_NO_RESULT: Final[tuple[Arg, ...]] = ("0",)
_EMPTY_RESULT: Final[tuple[Arg, ...]] = ("", "", "")


class DeathRecord(msgspec.Struct, frozen=True):
    """What is known of a dead letter beside its message.

    Attributes:
        reason: what is wrong.
        at: Unix time of its death.
        history: the losses before.
        priority: the level it was stored at.
    """

    reason: str
    at: float
    history: tuple[Loss, ...]
    priority: int


class SettlementWriter:
    """Writes settlements as arguments.

    Args:
        layout: where messages go.
        results: where results go.
    """

    def __init__(self, layout: Layout, results: RedisBackend) -> None:
        self._layout = layout
        self.results = results

    def write(self, settlements: Sequence[Settlement], now: float, handing: Sequence[Arg] = (0,)) -> list[Arg]:
        """The arguments from the tenth on.

        Args:
            settlements: what to write.
            now: Unix time.
            handing: what may be handed on, see `settle.lua`.

        Raises:
            EncodeError: a follow-up or a retry has no JSON form.
        """
        arguments: list[Arg] = []
        places: set[tuple[Arg, ...]] = set()
        chords = ChordTable(self.results.chord_rules)
        for settlement in settlements:
            follow_ups, flow = settlement.follow_ups, settlement.flow
            if type(settlement.action) is Acknowledge and settlement.fenced and not follow_ups:
                field, result = field_of(settlement.delivery), settlement.result
                if flow is None:
                    arguments += ("a", field) if result is None else ("s", field, *self._result(result))
                    continue
                if _is_one_share(flow):
                    arguments += ("h", field, *(_EMPTY_RESULT if result is None else self._result(result)))
                    arguments += chords.share(flow.shares[0])
                    continue
            arguments += self._any(settlement, chords, places, now)
        located = itertools.chain.from_iterable(sorted(places, key=str))
        return [len(places), *located, *handing, *chords.arguments(), *arguments]

    def _any(self, settlement: Settlement, chords: ChordTable, places: set[tuple[Arg, ...]], now: float) -> list[Arg]:
        """The arguments of one of any kind; the places of its follow-ups are added to `places`."""
        pushed = self._layout.pushed(settlement.follow_ups, now)
        for at in range(0, len(pushed), 5):
            due = pushed[at + 2]
            places.add((pushed[at], pushed[at + 1], "due" if due else ""))
        flow, result = settlement.flow, settlement.result
        arguments: list[Arg] = [
            "x" if flow is None else "w",
            field_of(settlement.delivery) if settlement.fenced else "",
        ]
        if flow is not None:
            arguments += chords.ends(flow.ends)
        arguments += self._action(settlement, now)
        arguments += _NO_RESULT if result is None else ("1", *self._result(result))
        if flow is not None:
            arguments.append(len(flow.results))
            for record in flow.results:
                arguments += self._result(record)
            arguments += (*chords.starts(flow.starts), *chords.grown(flow.grown), *chords.shares(flow.shares))
        return [*arguments, len(settlement.follow_ups), *pushed]

    def _result(self, record: ResultRecord) -> tuple[Arg, ...]:
        return (self.results.key(record.task_id), ttl_ms(record.ttl), record.meta)

    def _action(self, settlement: Settlement, now: float) -> tuple[Arg, ...]:
        delivery, action = settlement.delivery, settlement.action
        match action:
            case Acknowledge():
                return ("a",)
            case Keep():
                return ("k",) if settlement.fenced else ("u",)
            case Requeue():
                due = due_text(action.not_before, now)
                if action.loss is not None and not due:
                    return ("f", _resealed(delivery, action))
                return ("r", due, place() if due else "", _resealed(delivery, action))
            case Bury():
                record = _encoder.encode(
                    DeathRecord(action.reason, now, _with(delivery, action.loss), delivery.priority)
                )
                if settlement.fenced:
                    return ("b", record)
                return ("U", record, delivery.queue, _envelope(delivery))


def _is_one_share(flow: Flow) -> bool:
    """Nearly all members of chords: done, with this to say and nothing else."""
    return len(flow.shares) == 1 and not (flow.results or flow.starts or flow.grown or flow.ends)


def _with(delivery: Delivery, loss: Loss | None) -> tuple[Loss, ...]:
    return delivery.history if loss is None else (*delivery.history, loss)


def _resealed(delivery: Delivery, action: Requeue) -> bytes:
    """The new envelope; empty where the old one will do."""
    if action.message is None and action.loss is None:
        return b""
    try:
        message = delivery.message if action.message is None else action.message
    except DecodeError:
        return b""  # nobody can read its history either; whoever takes it buries it
    return seal(message, delivery.queue, delivery.priority, _with(delivery, action.loss))


def _envelope(delivery: Delivery) -> bytes:
    try:
        return seal(delivery.message, delivery.queue, delivery.priority, delivery.history)
    except DecodeError:
        return delivery.packed.body


def read_refused(answer: bytes, settlements: Sequence[Settlement]) -> list[Settlement]:
    """Those that `settle.lua` refused."""
    return [settlements[int(number) - 1] for number in answer.split(b",")] if answer else []
