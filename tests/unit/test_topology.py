"""From settings to queues: what Celery declares, by captures of real workers; and which queues a message reaches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from celeriac import Broadcast, Exchange, Queue, binding, worker_direct
from celeriac.config import Settings
from celeriac.exceptions import ImproperlyConfigured, NotSupported, QueueNotFound
from celeriac.topology import Topology, check_shared

_CAPTURES = Path(__file__).parents[1] / "wire" / "captures" / "amqp" / "transport"
#: Celery's default, where ours is another.
_CLASSIC = {"task_default_queue_type": "classic", "task_create_missing_queue_type": "classic"}
_FEEDS = Exchange("feeds", type="topic")


def _captured(name: str) -> dict[str, Any]:
    """What a capture declares: exchanges, queues and bindings as they are in the frames."""
    declares = json.loads((_CAPTURES / f"{name}.json").read_text())["declares"]
    return {
        "exchanges": [each["args"] for each in declares if each["method"] == "exchange.declare"],
        "queues": [_untyped(each["args"]) for each in declares if each["method"] == "queue.declare"],
        "bindings": [
            (each["args"]["exchange"], each["args"]["routing_key"], each["args"]["queue"])
            for each in declares
            # Celery's native delay binds in addition; that is the broker's part here
            if each["method"] == "queue.bind" and not each["args"]["routing_key"].startswith("#.")
        ],
    }


def _untyped(args: dict[str, Any]) -> dict[str, Any]:
    return {**args, "arguments": {name: value for name, (_, value) in args["arguments"].items()}}


def _declared(queues: list[Queue]) -> dict[str, Any]:
    """The same of queues of ours."""
    exchanges: list[dict[str, Any]] = []
    for way in (way for queue in queues for way in queue.all_bindings()):
        exchange = {
            "exchange": way.exchange.name,
            "type": way.exchange.type,
            "durable": way.exchange.durable,
            "auto_delete": way.exchange.auto_delete,
            "arguments": way.exchange.arguments,
        }
        if exchange not in exchanges:
            exchanges.append(exchange)
    return {
        "exchanges": exchanges,
        "queues": [
            {
                "queue": queue.name,
                "durable": queue.durable,
                "exclusive": queue.exclusive,
                "auto_delete": queue.auto_delete,
                "arguments": queue.declare_arguments(),
            }
            for queue in queues
        ],
        "bindings": [
            (way.exchange.name, way.routing_key, queue.name) for queue in queues for way in queue.all_bindings()
        ],
    }


@pytest.mark.parametrize(
    ("capture", "settings", "names"),
    [
        ("worker_startup_default", _CLASSIC, ["celery"]),
        ("worker_startup_priority", {"task_queue_max_priority": 10}, ["celery"]),
        ("worker_startup_quorum_direct", {}, ["celery"]),
        (
            "worker_startup_quorum_topic",
            {
                "task_queues": [
                    Queue("jobs", Exchange("jobs", type="topic"), "jobs", queue_arguments={"x-queue-type": "quorum"})
                ]
            },
            ["jobs"],
        ),
        (
            "topic_routing",
            {
                **_CLASSIC,
                "task_queues": [Queue("feeds", _FEEDS, "feed.#"), Queue("feeds_eu", _FEEDS, routing_key="feed.*.eu")],
            },
            ["celery", "feeds", "feeds_eu"],
        ),
    ],
)
def test_declarations_are_celerys(capture: str, settings: dict[str, Any], names: list[str]) -> None:
    topology = Topology.of(Settings(settings))
    assert _declared([topology.queue(name) for name in names]) == _captured(capture)


def test_a_workers_own_queue_is_celerys() -> None:
    topology = Topology.of(Settings(_CLASSIC))
    own = topology.add(worker_direct("w1@HOST"))
    assert _declared([topology.queue("celery"), own]) == _captured("worker_startup_direct")
    assert topology.names == ("celery",)


def test_a_broadcast_is_celerys() -> None:
    captured = _captured("broadcast_queue")
    name = captured["queues"][1]["queue"]
    settings = Settings(_CLASSIC, task_queues=[Queue("celery"), Broadcast("broadcast_tasks", queue=name)])
    topology = Topology.of(settings)
    assert _declared([topology.queue(each) for each in topology.names]) == captured


def test_a_queue_by_name_has_an_exchange_of_its_name() -> None:
    queue = Topology.of(Settings(task_default_exchange_type="topic")).queue("mail")
    assert (queue.exchange, queue.routing_key) == (Exchange("mail"), "mail")
    assert queue.declare_arguments() == {"x-queue-type": "quorum"}
    other = Topology.of(Settings(_CLASSIC, task_create_missing_queue_exchange_type="topic")).queue("mail")
    assert (other.exchange, other.declare_arguments()) == (Exchange("mail", "topic"), {})


def test_the_default_queue_by_its_settings() -> None:
    settings = Settings(
        task_default_queue="main",
        task_default_exchange="tasks",
        task_default_exchange_type="topic",
        task_default_routing_key="task.default",
    )
    queue = Topology.of(settings).queue("main")
    assert (queue.exchange, queue.routing_key) == (Exchange("tasks", "topic"), "task.default")


def test_gaps_are_filled_from_the_defaults() -> None:
    settings = Settings(
        task_queues=[Queue("bare"), Queue("bound", [binding(_FEEDS, "a")]), Queue("keyed", routing_key="k")],
        task_default_exchange="tasks",
        task_default_routing_key="task.default",
    )
    topology = Topology.of(settings)
    ways = {name: [(way.exchange.name, way.routing_key) for way in topology.queue(name).all_bindings()]
            for name in topology.names}  # fmt: skip
    assert ways == {
        "bare": [("tasks", "task.default")],
        "bound": [("tasks", "task.default"), ("feeds", "a")],
        "keyed": [("tasks", "k")],
    }


def test_the_old_form_is_a_dictionary_of_options() -> None:
    settings = Settings(
        task_queues={
            "plain": {},
            "feeds": {
                "exchange": "feeds",
                "exchange_type": "topic",
                "binding_key": "feed.#",
                "exchange_durable": False,
            },
            "ours": Queue("ours", _FEEDS, "x"),
            "short": {"routing_key": "s", "max_priority": 3, "durable": False, "queue_arguments": {"x-a": 1}},
        }
    )
    topology = Topology.of(settings)
    assert topology.names == ("plain", "feeds", "ours", "short")
    plain, feeds, short = (topology.queue(name) for name in ("plain", "feeds", "short"))
    assert (plain.exchange, plain.routing_key, plain.declare_arguments()) == (Exchange("celery"), "plain", {})
    assert (feeds.exchange, feeds.routing_key) == (Exchange("feeds", "topic", durable=False), "feed.#")
    assert (short.durable, short.routing_key) == (False, "s")
    assert short.declare_arguments() == {"x-a": 1, "x-max-priority": 3}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": {"exchangetype": "x"}}, "'exchangetype' of queue 'a' is none, did you mean 'exchange_type'"),
        ({"a": 3}, "a dictionary of options for queue 'a'"),
        ([3], "queues .celeriac.Queue., names of queues"),
        ([""], "a name is empty"),
        ({"a": {"max_length": "x"}}, "max_length='x': expected a whole number"),
    ],
)
def test_wrong_queues_are_named(value: Any, text: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=text):
        Settings(task_queues=value)


def test_priorities_make_automatic_queues_classic() -> None:
    settings = Settings(
        task_queue_max_priority=5,
        task_queues=[
            Queue("none"),
            Queue("own", queue_arguments={"x-max-priority": 2}),
            Queue("quorum", queue_arguments={"x-queue-type": "quorum"}),
        ],
    )
    topology = Topology.of(settings)
    assert {name: topology.queue(name).declare_arguments() for name in (*topology.names, "made")} == {
        "none": {"x-max-priority": 5},
        "own": {"x-max-priority": 2},
        "quorum": {"x-queue-type": "quorum"},  # RabbitMQ refuses the other
        "made": {"x-max-priority": 5},
    }


def test_priorities_on_quorum_queues_are_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="Set task_default_queue_type='classic', or leave"):
        Topology.of(Settings(task_queue_max_priority=5, task_default_queue_type="quorum"))


# -- names -------------------------------------------------------------------------------------------------------------


def test_select() -> None:
    topology = Topology.of(Settings(task_queues=["a", "b", Broadcast("all", queue="w1")]))
    assert topology.names == topology.select(None) == ("a", "b", "w1")
    assert topology.select(["b", "new", "b"]) == ("b", "new")
    assert topology.select(None, ["a", "all"]) == ("b",)
    assert topology.select(["all"]) == ("w1",)
    assert topology.select(["a"], ["a"]) == ()


def test_unknown_names_are_refused_where_none_are_made() -> None:
    topology = Topology.of(Settings(task_queues=["mail", "pictures"], task_create_missing_queues=False))
    with pytest.raises(QueueNotFound, match=r"'picture' is not in task_queues.*did you mean 'pictures'"):
        topology.select(["picture"])
    with pytest.raises(KeyError):
        topology.queue("celery")


def test_added_queues_are_known_but_not_consumed() -> None:
    topology = Topology.of(Settings())
    topology.add(Queue("mail", _FEEDS, "mail"))
    assert topology.queue("mail").exchange == _FEEDS
    assert topology.names == ("celery",)
    assert topology.exchange("feeds") == _FEEDS


def test_names_that_are_made_up_are_not_kept_for_ever() -> None:
    topology = Topology.of(Settings())
    for number in range(2500):
        topology.queue(f"q{number}")
    assert len(topology._missing) <= 1000
    assert topology.queue("q0").name == "q0"


# -- which queues a message reaches ------------------------------------------------------------------------------------


def test_matching() -> None:
    topology = Topology.of(
        Settings(
            task_queues=[
                Queue("all", _FEEDS, "feed.#"),
                Queue("eu", _FEEDS, "feed.*.eu"),
                Queue("both", [binding(_FEEDS, "feed.#"), binding(_FEEDS, "#.eu"), binding("post", "letters")]),
                Queue("one", Exchange("news", "fanout")),
                Queue("two", Exchange("news", "fanout"), "whatever"),
                Queue("red", Exchange("h", "headers"), binding_arguments={"colour": "red"}),
                Queue("odd", Exchange("odd", "x-consistent-hash"), "1"),
            ]
        )
    )
    assert topology.matching("feeds", "feed.sport.eu", {}) == ["all", "eu", "both"]
    assert topology.matching("feeds", "feed.sport", {}) == ["all", "both"]
    assert topology.matching("feeds", "other", {}) == []
    assert topology.matching("post", "letters", {}) == ["both"]
    assert topology.matching("news", "", {}) == ["one", "two"]
    assert topology.matching("h", "", {"colour": "red"}) == ["red"]
    assert topology.matching("h", "", {}) == []
    assert topology.matching("", "anything", {}) == ["anything"]
    assert topology.matching("unknown", "x", {}) == []
    with pytest.raises(NotSupported, match="'odd' is of type 'x-consistent-hash'"):
        topology.matching("odd", "1", {})


def test_queues_that_are_bound_to_an_exchange() -> None:
    queues = [Queue("a", _FEEDS, "a"), Queue("b", [binding(_FEEDS, "b"), binding(_FEEDS, "c")]), Broadcast("all")]
    topology = Topology.of(Settings(task_queues=queues))
    assert [queue.name for queue in topology.bound("feeds")] == ["a", "b"]
    assert topology.bound("all") == []
    assert topology.exchange("all") == Exchange("all", "fanout")


def test_the_exchange_of_a_queue_that_was_made_leads_to_it() -> None:
    topology = Topology.of(Settings())
    topology.queue("mail")
    assert topology.matching("mail", "mail", {}) == ["mail"]
    assert topology.matching("celery", "celery", {}) == ["celery"]
    assert topology.exchange("mail") == Exchange("mail")
    assert topology.exchange("nowhere") is None


def test_a_broadcast_needs_exchanges() -> None:
    check_shared(Broadcast("all", queue="named"))
    with pytest.raises(NotSupported, match=r"Broadcast\('all'\).*use RabbitMQ, or one named queue for each worker"):
        check_shared(Broadcast("all"))
