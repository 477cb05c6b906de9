"""Writing settlements: the whole batch in the caller's transaction, each one behind its fence."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from celeriac.brokers.sqlite.leasing import Lease
from celeriac.brokers.sqlite.publishing import (
    Prepared,
    content_of,
    place_messages,
    prepare_publications,
    publish_prepared,
    ring_for_work,
)
from celeriac.message import Delivery
from celeriac.outcome import Acknowledge, Bury, Flow, Keep, Requeue, Settlement
from celeriac.storage.codec import encode_history
from celeriac.storage.sqlite import chords
from celeriac.storage.sqlite.database import Transaction
from celeriac.storage.sqlite.results import store_results
from celeriac.storage.sqlite.statements import load_statements


def settle(transaction: Transaction, lease: Lease, settlements: Sequence[Settlement]) -> list[Settlement]:
    """Write `settlements`; returns those that were refused."""
    accepted, single = _acknowledge_in_bulk(transaction, lease, settlements)
    refused: list[Settlement] = []
    for settlement in single:
        if not _write_single(transaction, lease, settlement):
            refused.append(settlement)
            continue
        accepted.append(settlement)
    records = [settlement.result for settlement in accepted if settlement.result is not None]
    flows = [settlement.flow for settlement in accepted if settlement.flow is not None]
    for flow in flows:
        records.extend(flow.results)
    if records:
        store_results(transaction, records)
    if flows:
        _write_flows(transaction, [flow for flow in flows if not flow.ends])
    follow_ups: list[Prepared] = []
    for settlement in accepted:
        if settlement.follow_ups:
            follow_ups.extend(prepare_publications(settlement.follow_ups))
    publish_prepared(transaction, follow_ups)
    return refused


def mark_started(transaction: Transaction, lease: Lease, deliveries: Sequence[Delivery]) -> list[Delivery]:
    """Note that they are about to run; returns those that are not held any more."""
    sql = load_statements("settle")["mark_started"]
    return [delivery for delivery in deliveries if transaction.execute(sql, _fence(lease, delivery)).rowcount != 1]


def give_back(transaction: Transaction, lease: Lease, deliveries: Sequence[Delivery]) -> None:
    """Put them back to where they were taken from."""
    sql = load_statements("settle")
    counts: dict[str, int] = {}
    for delivery in deliveries:
        fence = _fence(lease, delivery)
        if transaction.execute(sql["give_back"], fence).rowcount == 1:
            transaction.execute(sql["let_go"], fence)
            counts[delivery.queue] = counts.get(delivery.queue, 0) + 1
    for queue, count in counts.items():
        ring_for_work(transaction, queue, count)


def _acknowledge_in_bulk(
    transaction: Transaction, lease: Lease, settlements: Sequence[Settlement]
) -> tuple[list[Settlement], list[Settlement]]:
    """Acknowledge all plain acknowledgements at once, if none of them is stale: the path of nearly every batch.

    Returns:
        Those that are written, and those that are to be looked at one by one.
    """
    plain = [s for s in settlements if _is_plain(s)]
    if not plain:
        return [], list(settlements)
    sql = load_statements("settle")
    tokens = msgspec.json.encode({s.delivery.tag: s.delivery.token for s in plain}).decode()
    transaction.execute("SAVEPOINT bulk")
    if transaction.execute(sql["let_go_of_all"], (lease.id, tokens)).rowcount != len(plain):
        transaction.execute("ROLLBACK TO bulk")
        return [], list(settlements)
    transaction.execute(sql["delete_messages"], (tokens,))
    if len(plain) == len(settlements):
        return plain, []
    return plain, [s for s in settlements if not _is_plain(s)]


def _is_plain(settlement: Settlement) -> bool:
    """Nothing but its fence can refuse it."""
    if type(settlement.action) is not Acknowledge or not settlement.fenced:
        return False
    return settlement.flow is None or not settlement.flow.ends


def _write_single(transaction: Transaction, lease: Lease, settlement: Settlement) -> bool:
    """Write what becomes of the message, and end the chords that it names; False if it is refused."""
    flow = settlement.flow
    ends = () if flow is None else flow.ends
    if not chords.are_current(transaction, ends):
        return False
    if not settlement.fenced:
        _write_unfenced(transaction, settlement)
    elif not _write_fenced(transaction, lease, settlement):
        return False
    if flow is not None and ends:  # at once: another one of this batch may name the same claim
        _write_flows(transaction, [flow])
        chords.end_chords(transaction, ends)
    return True


def _write_flows(transaction: Transaction, flows: Sequence[Flow]) -> None:
    """Note all that they mean for chords, but for their ends."""
    starts = [start for flow in flows for start in flow.starts]
    grown = [growth for flow in flows for growth in flow.grown]
    shares = [share for flow in flows for share in flow.shares]
    chords.change_chords(transaction, starts, grown, shares)


def _write_fenced(transaction: Transaction, lease: Lease, settlement: Settlement) -> bool:
    """Change the stored message as the settlement says; False if it is not held by this lease and token."""
    sql = load_statements("settle")
    delivery, action = settlement.delivery, settlement.action
    fence = _fence(lease, delivery)
    if isinstance(action, Keep):
        return transaction.execute(sql["is_held"], fence).fetchone() is not None
    if isinstance(action, Requeue) and action.loss is not None and action.not_before is None:
        transaction.execute(sql["give_back"], fence)  # to where it was taken from
    if transaction.execute(sql["let_go"], fence).rowcount != 1:
        return False
    match action:
        case Acknowledge():
            transaction.execute(sql["delete_message"], (delivery.tag,))
        case Requeue():
            _requeue(transaction, delivery, action)
        case Bury():
            history = delivery.history if action.loss is None else (*delivery.history, action.loss)
            row = (transaction.draw(), action.reason, transaction.now, encode_history(history), delivery.tag)
            transaction.execute(sql["bury"], row)
            transaction.execute(sql["delete_message"], (delivery.tag,))
    return True


def _requeue(transaction: Transaction, delivery: Delivery, action: Requeue) -> None:
    sql = load_statements("settle")
    if action.message is not None:
        transaction.execute(sql["replace_content"], (*content_of(action.message), delivery.tag))
    if action.loss is not None:
        history = encode_history((*delivery.history, action.loss))
        transaction.execute(sql["set_history"], (history, delivery.tag))
        if action.not_before is None:
            ring_for_work(transaction, delivery.queue, 1)
            return
    tag = int(delivery.tag)
    place = (delivery.queue, delivery.priority, transaction.draw(), tag, action.not_before)
    place_messages(transaction, [place])


def _write_unfenced(transaction: Transaction, settlement: Settlement) -> None:
    """The message was acknowledged before its run; a burial has only the delivery to go by."""
    action, delivery = settlement.action, settlement.delivery
    if not isinstance(action, Bury):
        return
    history = delivery.history if action.loss is None else (*delivery.history, action.loss)
    packed = delivery.packed
    transaction.execute(
        load_statements("settle")["bury_content"],
        (
            transaction.draw(),
            delivery.queue,
            delivery.priority,
            action.reason,
            transaction.now,
            encode_history(history),
            packed.head,
            packed.content_type,
            packed.content_encoding,
            packed.body,
        ),
    )


def _fence(lease: Lease, delivery: Delivery) -> tuple[int, int | str, int]:
    return (lease.id, delivery.tag, delivery.token)
