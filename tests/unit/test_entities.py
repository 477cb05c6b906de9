"""Queues, exchanges and bindings as kombu's users write them."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

import celeriac
from celeriac import Broadcast, Exchange, Queue, binding, worker_direct


def test_they_are_public() -> None:
    for name in ("Broadcast", "Exchange", "Queue", "binding", "worker_direct"):
        assert name in celeriac.__all__


def test_what_is_not_said_is_kombus_default() -> None:
    exchange, queue = Exchange("feeds"), Queue("mail")
    assert (exchange.type, exchange.durable, exchange.auto_delete, exchange.delivery_mode) == (
        "direct", True, False, None
    )  # fmt: skip
    assert (queue.exchange, queue.routing_key, queue.durable, queue.exclusive, queue.auto_delete) == (
        None, "", True, False, False
    )  # fmt: skip
    assert queue.declare_arguments() == {}
    assert queue.all_bindings() == []


def test_an_exchange_by_name_is_direct() -> None:
    queue = Queue("mail", "post", "letters")
    assert queue.exchange == Exchange("post", type="direct")
    assert queue.all_bindings() == [binding(Exchange("post"), "letters")]


def test_arguments_of_the_declaration() -> None:
    queue = Queue(
        "mail",
        queue_arguments={"x-queue-type": "quorum", "x-max-length": 5},
        expires=1.5,
        message_ttl=60,
        max_length=10,
        max_length_bytes=1000,
        max_priority=9,
    )
    assert queue.declare_arguments() == {
        "x-queue-type": "quorum",
        "x-expires": 1500,
        "x-message-ttl": 60_000,
        "x-max-length": 10,
        "x-max-length-bytes": 1000,
        "x-max-priority": 9,
    }
    assert queue.is_quorum
    assert queue.queue_arguments == {"x-queue-type": "quorum", "x-max-length": 5}


def test_bindings_take_the_place_of_the_exchange() -> None:
    ways = [binding(Exchange("feeds", "topic"), "eu.#"), binding("post", "letters")]
    for queue in (Queue("q", ways), Queue("q", Exchange("other"), bindings=ways)):
        assert queue.exchange is None
        assert queue.all_bindings() == ways


def test_arguments_of_the_main_binding() -> None:
    queue = Queue("q", Exchange("h", "headers"), binding_arguments={"x-match": "any", "colour": "red"})
    assert queue.all_bindings()[0].arguments == {"x-match": "any", "colour": "red"}


def test_exclusive_goes_with_its_connection() -> None:
    assert Queue("q", exclusive=True).auto_delete


@pytest.mark.parametrize(("given", "kept"), [(1, 1), ("transient", 1), ("persistent", 2), (2, 2), (None, None)])
def test_delivery_mode(given: int | str | None, kept: int | None) -> None:
    assert Exchange("e", delivery_mode=given).delivery_mode == kept


def test_broadcast_is_a_queue_of_ones_own_on_a_fanout() -> None:
    one, other = Broadcast("reload"), Broadcast("reload")
    assert one.name.startswith("bcast.")
    assert one.name != other.name
    assert (one.alias, one.exchange, one.auto_delete, one.own) == ("reload", Exchange("reload", "fanout"), True, True)
    named = Broadcast("reload", queue="w1")
    assert (named.name, named.own) == ("w1", False)
    assert Broadcast("reload", queue="w1", unique=True).name.startswith("w1.")
    assert Broadcast("reload", exchange=Exchange("x", "topic"), alias="y", max_length=3).alias == "y"


def test_worker_direct() -> None:
    queue = worker_direct("w1@host")
    assert (queue.name, queue.exchange, queue.routing_key) == ("w1@host.dq2", Exchange("C.dq2"), "w1@host")
    assert worker_direct(queue) is queue


@pytest.mark.parametrize(
    "made",
    [
        Exchange("e", "topic", arguments={"a": 1}),
        Queue("q", Exchange("e"), "k", max_priority=3),
        Queue("q", [binding(Exchange("e"), "k")]),
        Broadcast("b"),
    ],
    ids=lambda made: type(made).__name__,
)
def test_they_are_compared_by_value_and_can_be_copied(made: Any) -> None:
    for twin in (copy.copy(made), copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert twin == made
        assert hash(twin) == hash(made)
    assert made != "something else"
    assert type(made).__name__ in repr(made)


def test_a_copy_with_the_gaps_filled() -> None:
    queue = Broadcast("b")
    filled = queue.replaced(exchange=Exchange("x"), routing_key="k", queue_arguments={"a": 1})
    assert (filled.exchange, filled.routing_key, filled.queue_arguments) == (Exchange("x"), "k", {"a": 1})
    assert (filled.own, queue.queue_arguments) == (True, {})


#: Without their types, since type checkers would refuse the arguments, too.
_Queue: Any = Queue
_Exchange: Any = Exchange
_binding: Any = binding
_Broadcast: Any = Broadcast


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (_Queue, ValueError, r"needs a name, such as Queue\('mail'\)"),
        (lambda: _Queue(3), TypeError, "Queue: name=3: expected text"),
        (lambda: _Queue("q", 3), TypeError, "Queue 'q': exchange=3: expected an Exchange of celeriac, or a name"),
        (lambda: _Queue("q", ["x"]), TypeError, "Queue 'q': bindings has 'x': expected celeriac.binding"),
        (lambda: _Queue("q", routing_key=3), TypeError, "routing_key=3: expected text"),
        (lambda: _Queue("q", durable="yes"), TypeError, "durable='yes': expected True or False"),
        (lambda: _Queue("q", queue_arguments=[1]), TypeError, r"queue_arguments=\[1\]: expected a dictionary"),
        (lambda: _Queue("q", expires="1"), TypeError, "expires='1': expected a number of seconds"),
        (lambda: _Queue("q", message_ttl=-1), ValueError, "message_ttl=-1: expected a number of seconds of at least 0"),
        (lambda: _Queue("q", max_length=1.5), TypeError, "max_length=1.5: expected a whole number"),
        (lambda: _Queue("q", max_priority=-1), ValueError, "max_priority=-1: expected a whole number of at least 0"),
        (lambda: _Queue("q", max_prio=1), TypeError, "max_prio"),
        (lambda: _Exchange("e", 3), TypeError, "Exchange: type=3: expected text"),
        (lambda: _Exchange("e", delivery_mode=3), ValueError, "delivery_mode=3: expected 2, 'persistent'"),
        (lambda: _binding(3), TypeError, "binding: exchange=3"),
        (_Broadcast, ValueError, r"such as Broadcast\('reload'\)"),
    ],
)
def test_wrong_arguments_are_named(make: Callable[[], Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        make()
