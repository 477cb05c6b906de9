"""Run by Celery's interpreter: reads cases (see `routes`) as JSON and writes where Celery sends each."""

from __future__ import annotations

import importlib
import json
import re
import sys
from typing import Any

# Installed in that environment only, so they have no types here.
_celery: Any = importlib.import_module("celery")
_kombu: Any = importlib.import_module("kombu")

NAMES: dict[str, Any] = {
    "Broadcast": importlib.import_module("kombu.common").Broadcast,
    "Exchange": _kombu.Exchange,
    "Queue": _kombu.Queue,
    "binding": _kombu.binding,
    "re": re,
    "worker_direct": importlib.import_module("celery.utils.nodenames").worker_direct,
}


def nothing(*args: object, **kwargs: object) -> None:
    """What the tasks do."""


def sent(settings: str, options: str, attributes: str | None, name: str) -> list[Any]:
    """Exchange, routing key and the queue that is declared for it."""
    app = _celery.Celery("routes", broker="memory://", set_as_current=False)
    app.conf.update(eval(settings, NAMES))
    seen: list[Any] = []

    def note(exchange: str, routing_key: str, declare: list[Any] | None, **_: object) -> None:
        seen.extend([exchange, routing_key, [queue.name for queue in declare or ()]])

    before_task_publish = importlib.import_module("celery.signals").before_task_publish
    before_task_publish.connect(note, weak=False)
    try:
        call = eval(options, NAMES)
        if attributes is None:
            app.send_task(name, (1,), {"k": 2}, **call)
        else:
            task = app.task(name=name, **eval(attributes, NAMES))(nothing)
            task.apply_async((1,), {"k": 2}, **call)
    except Exception:  # the transport in memory can not declare all of it; by then it is known where the call goes
        if not seen:
            raise
    finally:
        before_task_publish.disconnect(note)
    return seen


json.dump([sent(*case) for case in json.load(sys.stdin)], sys.stdout)
