"""A thread that waits for a result: on a subscription of its own, or looking again and again where none is free.

Owns when to look and what to do while Redis is away. The subscriptions are `storage.redis`'s.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, NamedTuple

from redis.exceptions import OutOfMemoryError

from celeriac.backends.outage import Outage
from celeriac.exceptions import BackendError, OperationalError
from celeriac.outcome import ResultRecord
from celeriac.storage.redis.subscriptions import Subscription, Subscriptions

#: Seconds after which a waiter looks for itself, should a message have been lost.
_LOOK_INTERVAL: Final = 1.0
#: The same for one that has no subscription.
_BLIND_INTERVAL: Final = 0.1


class Wanted(NamedTuple):
    """The result that is waited for.

    Attributes:
        key: its key and channel.
        look: gets its stored meta, or None.
        ready: the record in a meta if it is ready, else None; raises BackendError.
    """

    key: bytes
    look: Callable[[], bytes | None]
    ready: Callable[[bytes], ResultRecord | None]


def wait_ready(wanted: Wanted, timeout: float, subscriptions: Subscriptions, patience: float) -> ResultRecord | None:
    """Wait until the result is ready; None after `timeout` seconds.

    Args:
        wanted: the result.
        timeout: seconds.
        subscriptions: where to borrow one.
        patience: seconds that the store may be away meanwhile.

    Raises:
        BackendError: what is stored can not be read.
        OperationalError: the store has been away for `patience` seconds, or is when the time is up.
    """
    deadline, outage = time.monotonic() + timeout, Outage(patience)
    while True:
        try:
            with subscriptions.borrow(min(_left(deadline), _BLIND_INTERVAL)) as subscription:
                if subscription is None:
                    record = _ready(wanted, wanted.look())
                else:
                    record = _listen(wanted, subscription, deadline, outage)
        except OperationalError as error:
            if isinstance(error.__cause__, OutOfMemoryError):  # it takes no transactions then, and lets everybody read
                record = _look_alone(wanted, deadline)
                if record is not None or not _left(deadline):
                    return record
                continue
            subscriptions.close()  # the others were most likely lost with this one
            if outage.goes_on(error) or not _left(deadline):
                raise
            time.sleep(min(outage.next_pause(), _left(deadline)))
        else:
            outage.is_over()
            if record is not None or not _left(deadline):
                return record


def _look_alone(wanted: Wanted, deadline: float) -> ResultRecord | None:
    """Look once, or wait a moment where there is nothing yet."""
    record = _ready(wanted, wanted.look())
    if record is None:
        time.sleep(min(_BLIND_INTERVAL, _left(deadline)))
    return record


def _listen(wanted: Wanted, subscription: Subscription, deadline: float, outage: Outage) -> ResultRecord | None:
    while True:
        record = _ready(wanted, subscription.look(wanted.key, _left(deadline)))
        outage.is_over()
        while record is None and (left := _left(deadline)):
            message = subscription.next_message(wanted.key, min(left, _LOOK_INTERVAL))
            if message is None:
                break
            try:
                record = wanted.ready(message)
            except BackendError:  # anybody can publish anything; what is stored counts
                break
        if record is not None or not _left(deadline):
            return record


def _ready(wanted: Wanted, stored: bytes | None) -> ResultRecord | None:
    return None if stored is None else wanted.ready(stored)


def _left(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())
