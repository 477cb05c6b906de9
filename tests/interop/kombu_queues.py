"""Run by Celery's interpreter with our sources on its path: a Celeriac app whose queues are kombu's."""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any

from celeriac import Broadcast, Celeriac

# Installed in that environment only, so it has no types here.
_kombu: Any = importlib.import_module("kombu")
Exchange, Queue, binding = _kombu.Exchange, _kombu.Queue, _kombu.binding

app = Celeriac(
    "kombu_queues",
    broker="memory://",
    task_queues=[
        Queue("feeds", Exchange("feeds", type="topic", delivery_mode=1), "feed.#", max_length=3, expires=1.5),
        Queue("many", [binding(Exchange("other"), "b", arguments={"a": 1})]),
        importlib.import_module("kombu.common").Broadcast("all"),
    ],
    task_routes={"t": {"queue": Queue("direct", queue_arguments={"x-queue-type": "quorum"})}},
)
topology = app.topology
feeds, many = topology.queue("feeds"), topology.queue("many")
everybody = topology.queue("all")
assert isinstance(everybody, Broadcast)
assert everybody.exchange is not None
app.send_task("t")
app.send_task("u", queue=Queue("call", Exchange("call"), "call"))
json.dump(
    {
        "feeds": [str(feeds.exchange), feeds.routing_key, feeds.declare_arguments()],
        "many": [[way.exchange.name, way.routing_key, way.arguments] for way in many.all_bindings()],
        "all": [type(everybody).__module__, everybody.own, everybody.exchange.type],
        "direct": topology.queue("direct").declare_arguments(),
        "call": topology.queue("call").routing_key,
    },
    sys.stdout,
)
app.close()
