"""What is held when a connection ends, and what is made of it when it comes back."""

from __future__ import annotations

from celeriac.brokers.rabbitmq.feeds import Feed
from celeriac.brokers.rabbitmq.holdings import Holdings
from celeriac.brokers.rabbitmq.line import Delivered
from celeriac.brokers.rabbitmq.wire import Arrival
from celeriac.message import Loss, Message, PackedMessage


def came(name: str, number: int = 1, *, history: tuple[Loss, ...] = (), redelivered: bool = False) -> Delivered:
    """A message as it arrives."""
    packed = PackedMessage.pack(Message({"task": "t", "id": name}, {}, name.encode()))
    return Delivered("q", number, Arrival(packed, None, 0, history, None, None, redelivered))


def test_an_orphan_is_adopted_once_by_its_own_message() -> None:
    holdings, feed, again = Holdings(), Feed("q", "q"), Feed("q", "q")
    delivery = holdings.hold(feed, came("1"), 0.0)
    assert holdings.adopt(again, came("1"), 1.0) is None
    assert holdings.orphan_all((), 2.0) == 1
    assert holdings.orphans_of("q") == 1
    assert holdings.adopt(again, came("2"), 3.0) is None
    adopted = holdings.adopt(again, came("1", 7), 4.0)
    assert adopted is not None
    assert (adopted.delivery, adopted.feed, adopted.number, adopted.orphaned) == (delivery, again, 7, None)
    assert again.in_hand == 1
    assert holdings.adopt(again, came("1"), 5.0) is None


def test_twins_are_adopted_one_by_one() -> None:
    holdings, feed, again = Holdings(), Feed("q", "q"), Feed("q", "q")
    first, second = (holdings.hold(feed, came("1", n), 0.0) for n in (1, 2))
    holdings.orphan_all((), 1.0)
    adopted = [holdings.adopt(again, came("1", n), 2.0) for n in (3, 4, 5)]
    assert [held and held.delivery for held in adopted] == [first, second, None]


def test_what_was_dropped_is_not_found_any_more() -> None:
    holdings, feed = Holdings(), Feed("q", "q")
    delivery = holdings.hold(feed, came("1"), 0.0)
    held = holdings.find(delivery)
    assert held is not None
    holdings.drop(held)
    holdings.drop(held)
    assert holdings.find(delivery) is None
    assert feed.in_hand == 0


def test_an_orphan_that_was_dropped_is_nobodys() -> None:
    holdings, feed = Holdings(), Feed("q", "q")
    held = holdings.find(holdings.hold(feed, came("1"), 0.0))
    assert held is not None
    holdings.orphan_all((), 1.0)
    holdings.drop(held)
    assert holdings.adopt(feed, came("1"), 2.0) is None


def test_what_was_acknowledged_just_before_the_end_is_known_for_a_while() -> None:
    holdings, feed = Holdings(), Feed("q", "q")
    held = holdings.find(holdings.hold(feed, came("1"), 0.0))
    assert held is not None
    holdings.drop(held)
    holdings.note_settled(held, 0.0)
    assert not holdings.was_settled(came("1"), 1.0)
    holdings.orphan_all((), 2.0)
    assert holdings.was_settled(came("1"), 3.0)
    assert not holdings.was_settled(came("2"), 3.0)
    assert not holdings.was_settled(came("1"), 100.0)


def test_an_acknowledgement_is_not_under_way_for_ever() -> None:
    holdings, feed = Holdings(), Feed("q", "q")
    held = holdings.find(holdings.hold(feed, came("1"), 0.0))
    assert held is not None
    holdings.drop(held)
    holdings.note_settled(held, 0.0)
    holdings.orphan_all((), 40.0)
    assert not holdings.was_settled(came("1"), 41.0)  # the same was sent again


def test_what_came_back_is_counted_by_its_headers_alone() -> None:
    holdings, feed = Holdings(), Feed("q", "q")
    known = Loss(1.0, "w", "killed")
    lost = holdings.hold(feed, came("1", history=(known,), redelivered=True), 0.0, lost=True)
    assert lost.history == (known,)
    assert lost.lost_by is not None
