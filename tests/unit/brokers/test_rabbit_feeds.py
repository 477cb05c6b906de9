"""Acknowledgements in few words, and prefetches that fit."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from celeriac.brokers.rabbitmq.feeds import Acks, Feed
from celeriac.brokers.rabbitmq.line import Ack, Delivered
from celeriac.brokers.rabbitmq.wire import Arrival
from celeriac.message import PackedMessage


class Server:
    """What RabbitMQ makes of acknowledgements on one channel."""

    def __init__(self) -> None:
        self.unacknowledged: set[int] = set()

    def hear(self, acks: list[Ack]) -> None:
        """Fails for what RabbitMQ answers with an error: a number that is not unacknowledged."""
        for ack in acks:
            told = {number for number in self.unacknowledged if number <= ack.number} if ack.multiple else {ack.number}
            assert told
            assert told <= self.unacknowledged
            self.unacknowledged -= told


@given(st.data())
def test_what_is_done_is_acknowledged_and_nothing_else(data: st.DataObject) -> None:
    acks, server, running, count = Acks("q"), Server(), set[int](), 0
    for step in data.draw(st.lists(st.sampled_from(["come", "end", "tell", "tell late"]), max_size=60)):
        if step == "come":
            count += 1
            acks.arrived(count, "consumer")
            running.add(count)
            server.unacknowledged.add(count)
        elif step == "end" and running:
            ended = data.draw(st.sampled_from(sorted(running)))
            running.discard(ended)
            acks.done(ended)
        elif step == "tell":
            server.hear(acks.up_to())
        elif step == "tell late":
            server.hear(acks.stragglers())
        assert running <= server.unacknowledged
    server.hear(acks.up_to())
    server.hear(acks.stragglers())
    assert server.unacknowledged == running
    assert not acks.has_stragglers


def test_all_up_to_the_first_that_runs_are_acknowledged_in_one_word() -> None:
    acks = Acks("q")
    for number in range(1, 8):
        acks.arrived(number, "consumer")
    for number in (2, 1, 3, 6):
        acks.done(number)
    assert acks.up_to() == [Ack("q", 3, multiple=True)]
    assert acks.has_stragglers
    assert acks.stragglers() == [Ack("q", 6, multiple=False)]
    assert not acks.has_stragglers


def test_one_that_takes_for_ever_costs_no_memory() -> None:
    acks = Acks("q")
    acks.arrived(1, "consumer")
    for number in range(2, 20_000):
        acks.arrived(number, "consumer")
        acks.done(number)
        acks.up_to()
        acks.stragglers()
    assert len(acks) < 2_000
    acks.done(1)
    assert acks.up_to() == [Ack("q", 1, multiple=True)]


def test_the_prefetch_follows_what_is_wanted_in_steps_that_are_worth_it() -> None:
    feed = Feed("q", "q")
    assert feed.missing_prefetch(2) == 2
    feed.prefetch, feed.tags = 2, ["consumer"]
    feed.in_hand = 2
    assert feed.missing_prefetch(0) == 0
    assert feed.missing_prefetch(1) == 1
    feed.prefetch = 100
    assert feed.missing_prefetch(110) == 0
    assert feed.missing_prefetch(130) == 50
    assert feed.missing_prefetch(200) == 102
    feed.tuning = True
    assert feed.missing_prefetch(200) == 0


def test_what_is_held_of_ended_consumers_leaves_room_for_the_next() -> None:
    feed = Feed("q", "q")
    for number in range(1, 4):
        feed.acks.arrived(number, "consumer")
        feed.in_hand += 1
    feed.acks.cut()
    assert feed.missing_prefetch(2) == 2
    feed.acks.done(1)
    feed.in_hand -= 1
    assert feed.missing_prefetch(2) == 2
    feed.acks.arrived(4, "consumer")
    feed.in_hand += 1
    feed.prefetch = 2
    assert feed.missing_prefetch(2) == 1


def test_what_was_fetched_is_on_no_consumer() -> None:
    feed = Feed("q", "q")
    for number in range(1, 9):
        feed.acks.arrived(number, None)
        feed.in_hand += 1
    assert feed.missing_prefetch(1) == 1
    feed.prefetch, feed.tags = 1, ["consumer"]
    feed.acks.done(1)
    feed.in_hand -= 1
    assert feed.missing_prefetch(1) == 0
    feed.acks.arrived(9, "consumer")
    feed.in_hand += 1
    assert feed.missing_prefetch(1) == 1


def test_consumers_are_ended_when_they_may_bring_far_too_much_and_nothing_comes() -> None:
    feed = Feed("q", "q")
    feed.prefetch, feed.tags, feed.in_hand = 100, ["consumer"], 2
    assert not feed.is_too_high(0, now=10.0)
    assert not feed.is_too_high(90, now=10.5)
    assert not feed.is_too_high(0, now=11.0)
    feed.heard_at = 11.4
    assert not feed.is_too_high(0, now=11.5)
    assert feed.is_too_high(0, now=12.0)


def test_consumers_are_ended_when_nobody_asks_for_what_they_brought() -> None:
    feed = Feed("q", "q")
    feed.prefetch, feed.tags = 100, ["consumer"]
    assert not feed.is_to_end(now=10.0)
    feed.buffer.append(Delivered("q", 1, Arrival(PackedMessage(b"", b"", "", ""), None, 0, (), None, None, False), "c"))
    assert feed.would_come_back
    assert feed.is_to_end(now=10.0)
    feed.heard_at = 10.0
    assert [feed.is_to_end(now=10.1) for _ in range(4)] == [False, False, False, True]
    feed.tags = []
    assert not feed.would_come_back


def test_consumers_are_ended_when_they_have_brought_all_they_may() -> None:
    feed = Feed("q", "q")
    feed.prefetch, feed.tags, feed.in_hand = 10, ["consumer"], 1
    for number in range(1, 11):
        feed.acks.arrived(number, "consumer")
    feed.heard_at = 10.0
    assert not feed.is_too_high(0, now=10.0)
    assert feed.is_too_high(0, now=10.1)
    feed.acks.done(1)
    assert not any(feed.is_too_high(0, now=10.2) for _ in range(3))
