"""Exchanges: the broker finds the queues that a message goes to."""

from __future__ import annotations

from typing import Final

import pytest

from celeriac.entities import Exchange, Queue
from celeriac.exceptions import CeleriacError, OperationalError, StoreRefused
from celeriac.message import Delivery, Message, Publication
from celeriac.outcome import Acknowledge, Settlement
from celeriac.testing.clock import VirtualClock
from celeriac.testing.conformance.conditions import has_exchanges, time_is_real
from celeriac.testing.conformance.support import (
    PATIENCE,
    Harness,
    MakeBroker,
    finish,
    in_loop,
    job,
    message,
    names,
    opened,
    take,
)

_NEWS: Final = Exchange("news", type="topic")
_EVERYONE: Final = Exchange("everyone", type="fanout")
_PAPERS: Final = Exchange("papers", type="headers")
_DIRECT: Final = Exchange("straight", type="direct")
_NAMES: Final = ("sport", "europe", "left", "right", "red", "any", "one")


def routed_queues(**queue_arguments: object) -> list[Queue]:
    """Queues that brokers with exchanges must know, in `make_broker`, beside those that are made by their names.

    Args:
        queue_arguments: arguments of all their declarations; `-` is written as `_`.
    """
    arguments = {name.replace("_", "-"): value for name, value in queue_arguments.items()}

    def queue(name: str, exchange: Exchange, routing_key: str = "", **binding: object) -> Queue:
        match = {name.replace("_", "-"): value for name, value in binding.items()}
        return Queue(name, exchange, routing_key, queue_arguments=arguments, binding_arguments=match)

    return [
        queue("sport", _NEWS, "news.sport.#"),
        queue("europe", _NEWS, "news.*.eu"),
        queue("left", _EVERYONE),
        queue("right", _EVERYONE),
        queue("red", _PAPERS, x_match="all", colour="red", pages=2),
        queue("any", _PAPERS, x_match="any", colour="red", pages=2),
        queue("one", _DIRECT, "key"),
    ]


def _to(
    exchange: str,
    routing_key: str = "",
    name: str = "1",
    *,
    mandatory: bool = False,
    not_before: float | None = None,
    **headers: object,
) -> Publication:
    sent = message(name)
    whole = Message({**sent.headers, **headers}, sent.properties, sent.body)
    return Publication(
        whole, "", exchange=exchange, routing_key=routing_key, mandatory=mandatory, not_before=not_before
    )


#: What is published, and where it shall arrive.
_WAYS: Final[tuple[tuple[Publication, list[str]], ...]] = (
    (_to("news", "news.sport"), ["sport"]),
    (_to("news", "news.sport.eu"), ["sport", "europe"]),
    (_to("news", "news.weather.eu"), ["europe"]),
    (_to("news", "news.sport.tennis.eu"), ["sport"]),
    (_to("everyone", "whatever"), ["left", "right"]),
    (_to("papers", colour="red", pages=2), ["red", "any"]),
    (_to("papers", colour="blue", pages=2), ["any"]),
    (_to("straight", "key"), ["one"]),
    (_to("news", "weather"), []),
    (_to("papers", colour="blue"), []),
    (_to("straight", "another key"), []),
)


@has_exchanges
class ExchangeCases(Harness):
    """Topic, fanout, headers and direct; what reaches no queue."""

    @in_loop
    async def test_a_message_reaches_the_queues_that_are_bound_for_it(self, make_broker: MakeBroker) -> None:
        producer = make_broker()
        async with opened(make_broker()) as broker:
            assert await take(broker, 10, *_NAMES) == []  # whoever takes from a queue has it declared and bound
            for publication, reached in _WAYS:
                producer.publish([publication])
                depths = [(name, await broker.depth(name)) for name in _NAMES]
                assert [name for name, depth in depths if depth] == reached, publication
                assert sum(depth for _, depth in depths) == len(reached)
                for name in reached:
                    (delivery,) = await take(broker, 10, name)
                    assert (delivery.queue, delivery.history, names([delivery])) == (name, (), ["1"])
                    assert await finish(broker, [delivery]) == []

    @in_loop
    async def test_a_message_that_must_reach_a_queue_and_does_not_is_refused(self, make_broker: MakeBroker) -> None:
        async with opened(make_broker()) as broker:
            assert await take(broker, 10, *_NAMES) == []
            with pytest.raises(StoreRefused, match=r"news.*nowhere"):
                broker.publish([_to("news", "nowhere", mandatory=True)])
            broker.publish([_to("news", "news.sport", mandatory=True), _to("news", "nowhere")])
            assert names(await take(broker, 10, "sport")) == ["1"]

    @in_loop
    async def test_an_exchange_that_is_not_there_is_named(self, make_broker: MakeBroker) -> None:
        async with opened(make_broker()) as broker:
            with pytest.raises(CeleriacError, match="no such place"):
                broker.publish([_to("no such place", "key")])
            broker.publish([job(1)])
            assert names(await take(broker)) == ["1"]

    @in_loop
    async def test_follow_ups_go_to_exchanges_too(self, make_broker: MakeBroker) -> None:
        async with opened(make_broker()) as broker:
            broker.publish([job(1)])
            (held,) = await take(broker, 10, "q", *_NAMES)
            follow_ups = (_to("everyone", name="a"), _to("news", "news.sport", "b"))
            assert await broker.settle([Settlement(held, Acknowledge(), follow_ups=follow_ups)]) == []
            taken = await take(broker, 10, *_NAMES)
            assert sorted((one.queue, names([one])[0]) for one in taken) == [
                ("left", "a"), ("right", "a"), ("sport", "b")
            ]  # fmt: skip

    @time_is_real
    @in_loop
    async def test_future_work_for_an_exchange_reaches_its_queues(
        self, make_broker: MakeBroker, clock: VirtualClock
    ) -> None:
        async with opened(make_broker()) as broker:
            assert await take(broker, 10, *_NAMES) == []
            due = clock.time() + 1.1
            broker.publish([_to("everyone", not_before=due), _to("news", "news.sport.eu", "2", not_before=due)])
            seen: set[tuple[str, str]] = set()
            while len(seen) < 4:
                taken = await broker.reserve(_NAMES, 10, PATIENCE)
                assert clock.time() >= due
                seen |= {(one.queue, names([one])[0]) for one in taken}
            assert seen == {("left", "1"), ("right", "1"), ("sport", "2"), ("europe", "2")}
            assert await take(broker, 10, *_NAMES) == []

    @time_is_real
    @in_loop
    async def test_future_work_for_a_queue_reaches_no_other(self, make_broker: MakeBroker, clock: VirtualClock) -> None:
        """Not even where bindings look like its name."""
        queues = ("celery", "key", "news.sport")
        async with opened(make_broker()) as broker:
            assert await take(broker, 10, *queues, *_NAMES) == []
            due = clock.time() + 1
            broker.publish([job(name, name, not_before=due) for name in queues])
            taken: list[Delivery] = []
            while len(taken) < len(queues):
                taken += await broker.reserve((*queues, *_NAMES), 10, PATIENCE)
            assert sorted((one.queue, names([one])[0]) for one in taken) == [(name, name) for name in queues]
            assert await take(broker, 10, *queues, *_NAMES) == []

    @in_loop
    async def test_future_work_that_reaches_no_queue_is_refused(
        self, make_broker: MakeBroker, clock: VirtualClock
    ) -> None:
        async with opened(make_broker()) as broker:
            with pytest.raises((StoreRefused, OperationalError), match="nowhere"):
                broker.publish([_to("news", "nowhere", not_before=clock.time() + 60, mandatory=True)])
