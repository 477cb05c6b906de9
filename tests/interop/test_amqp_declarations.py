"""What a Celeriac worker declares on RabbitMQ is what Celery's was seen to declare with the same settings."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest
from scripts.environments import Environment

from interop.amqp_wire import Recorder
from interop.sides import Place
from interop.transports import RabbitTransport
from servers.rabbitmq import RabbitServer
from servers.redis import RedisServer

CAPTURES: Final = Path(__file__).resolve().parents[1] / "wire" / "captures" / "amqp" / "transport"
CELERY: Final[dict[str, Any]] = {"exchange": "celery", "routing_key": "celery"}
QUORUM: Final = {"x-queue-type": "quorum"}

#: Settings by the capture's name.
SETTINGS: Final[dict[str, dict[str, Any]]] = {
    "worker_startup_default": {},
    "worker_startup_direct": {"worker_direct": True},
    "worker_startup_priority": {"task_queue_max_priority": 10},
    "worker_startup_quorum_direct": {"task_default_queue_type": "quorum"},
    "worker_startup_quorum_topic": {
        "task_queues": {
            "jobs": {"exchange": "jobs", "exchange_type": "topic", "routing_key": "jobs", "queue_arguments": QUORUM}
        }
    },
    "topic_routing": {
        "task_queues": {
            "celery": CELERY,
            "feeds": {"exchange": "feeds", "exchange_type": "topic", "routing_key": "feed.#"},
            "feeds_eu": {"exchange": "feeds", "exchange_type": "topic", "routing_key": "feed.*.eu"},
        }
    },
    "broadcast_queue": {"task_queues": {"celery": CELERY, "broadcast_tasks": {"broadcast": True}}},
}


@pytest.mark.parametrize("capture", SETTINGS)
def test_a_celeriac_worker_declares_what_celerys_does(
    interop_server: RedisServer,
    rabbit_server: RabbitServer,
    celery_environment: Environment,
    tmp_path: Path,
    capture: str,
) -> None:
    with Recorder(rabbit_server.port) as recorder:
        transport = RabbitTransport(rabbit_server, "classic", recorder.port)
        place = Place(interop_server, 5, celery_environment, tmp_path, SETTINGS[capture], transport)
        queue = "jobs" if capture == "worker_startup_quorum_topic" else "celery"
        with place.worker("celeriac", [], "-c", "1", "-n", "w1@HOST"), place.celeriac() as client:
            client.get(client.send("where", queue=queue))  # it has looked after all its queues before it takes any task
        ours = plain(recorder.declared())
    captured = json.loads((CAPTURES / f"{capture}.json").read_text())["declares"]
    theirs = plain([(one["method"], one["args"]) for one in captured])
    assert ours == theirs


def plain(declarations: list[tuple[str, dict[str, Any]]]) -> list[str]:
    """In one order, each once, without what is Celeriac's own or for delays."""
    shared = [one for one in declarations if not any(map(is_own, one[1].values()))]
    texts = {json.dumps(one, sort_keys=True) for one in shared}
    return sorted(re.sub(r"bcast\.[0-9a-f-]{36}", "bcast.<uuid>", text) for text in texts)


def is_own(value: object) -> bool:
    return isinstance(value, str) and value.startswith(("celeriac.", "celery_delayed_"))
