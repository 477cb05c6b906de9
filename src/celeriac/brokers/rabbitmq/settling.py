"""From settlements to parcels: follow-ups, retries, suspects and dead letters."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from celeriac.brokers.rabbitmq.holdings import UNKNOWN_WORKER
from celeriac.brokers.rabbitmq.naming import (
    DEAD,
    DEAD_TAG_HEADER,
    DIED_HEADER,
    QUEUE_HEADER,
    REASON_HEADER,
    suspects_of,
)
from celeriac.brokers.rabbitmq.wire import content_of
from celeriac.exceptions import DecodeError
from celeriac.message import Delivery, Loss, Message
from celeriac.outcome import Bury, Requeue, Settlement
from celeriac.storage.rabbitmq.links import Parcel

if TYPE_CHECKING:
    from celeriac.brokers.rabbitmq.publishing import Publisher
    from celeriac.clock import Clock


class SettlementWriter:
    """Writes settlements as parcels.

    Args:
        publisher: writes messages as parcels.
        clock: for times of death.
    """

    def __init__(self, publisher: Publisher, clock: Clock) -> None:
        self._publisher = publisher
        self._clock = clock

    def parcels(self, settlement: Settlement, place: str) -> list[Parcel]:
        """What is sent for a settlement before its delivery is acknowledged.

        Args:
            settlement: what to write.
            place: the queue that its delivery came from.

        Raises:
            EncodeError, StoreRefused: a follow-up or a retry can not be sent.
        """
        made = self._publisher.parcels(settlement.follow_ups) if settlement.follow_ups else []
        match settlement.action:
            case Requeue() as requeue:
                made.append(self._again(settlement.delivery, requeue, place))
            case Bury() as bury:
                made.append(self._dead(settlement.delivery, bury))
            case _:
                pass
        return made

    def _again(self, delivery: Delivery, action: Requeue, place: str) -> Parcel:
        message = _message(delivery) if action.message is None else action.message
        history = _with(delivery, self._doubt() if delivery.doubtful and action.loss is None else action.loss)
        if action.not_before is not None or action.message is not None:
            place = delivery.queue
        elif action.loss is not None or delivery.lost_by is not None:
            place = suspects_of(delivery.queue)
        return self._publisher.parcel(message, place, delivery.priority, action.not_before, history)

    def _doubt(self) -> Loss:
        """It may have run, and shows that to whoever runs it; it is not what makes it a dead letter."""
        return Loss(self._clock.time(), UNKNOWN_WORKER, "its queue can not tell whether a worker had it")

    def _dead(self, delivery: Delivery, action: Bury) -> Parcel:
        extra = {
            REASON_HEADER: action.reason,
            DIED_HEADER: self._clock.time(),
            QUEUE_HEADER: delivery.queue,
            DEAD_TAG_HEADER: str(uuid.uuid4()),
        }
        content = content_of(_message(delivery), delivery.priority, _with(delivery, action.loss), extra)
        return Parcel(DEAD, "", content, mandatory=True)


def _with(delivery: Delivery, loss: Loss | None) -> tuple[Loss, ...]:
    return delivery.history if loss is None else (*delivery.history, loss)


def _message(delivery: Delivery) -> Message:
    """The message; of a damaged one what is left of it."""
    try:
        return delivery.message
    except DecodeError:
        packed = delivery.packed
        return Message({}, {}, packed.body, packed.content_type, packed.content_encoding)
