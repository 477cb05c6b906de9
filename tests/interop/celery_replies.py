"""The real Celery with `rpc://`: a worker's app, and a client that answers questions.

Questions and answers are lines of JSON: `[method, arguments]` on the standard input, `[true, value]` or
`[false, traceback]` on the standard output.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from typing import Any

# Installed in that environment only, so it has no types here.
_celery: Any = importlib.import_module("celery")
_requests: Any = importlib.import_module("celery.app.task")

app = _celery.Celery("replies", broker=os.environ["INTEROP_BROKER"], backend="rpc://")
app.conf.update(
    broker_connection_retry_on_startup=True,
    task_track_started=True,
    worker_hijack_root_logger=False,
    **json.loads(os.environ.get("INTEROP_SETTINGS", "{}")),
)


def add(x: int, y: int) -> int:
    return x + y


def fail() -> None:
    raise ValueError("as asked")


def again(self: Any) -> int:
    if self.request.retries == 0:
        raise self.retry(countdown=0)
    return int(self.request.retries)


for _function, _bound in ((add, False), (fail, False), (again, True)):
    app.task(_function, name=f"replies.{_function.__name__}", bind=_bound)

_sent: dict[str, Any] = {}


def send(name: str, args: list[Any], queue: str) -> dict[str, str]:
    """Send a task; its id, and the queue that it names for its result."""
    result = app.send_task(name, args, queue=queue)
    _sent[result.id] = result
    return {"id": result.id, "reply_to": app.thread_oid}


def get(task_id: str) -> dict[str, Any]:
    """Wait for a result of this process."""
    result = _sent[task_id]
    value = result.get(timeout=30, propagate=False)
    return {"state": result.state, "value": repr(value), "traceback": result.traceback}


def store(task_id: str, value: Any, state: str, reply_to: str) -> None:
    """Send a state as a worker does."""
    request = _requests.Context(id=task_id, reply_to=reply_to, correlation_id=task_id)
    if state == "FAILURE":
        value = ValueError(value)
    app.backend.store_result(task_id, value, state, request=request)


_METHODS = {function.__name__: function for function in (send, get, store)}


def main() -> None:
    """Answer until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not get between the answers
    for line in sys.stdin:
        method, arguments = json.loads(line)
        try:
            answer: list[Any] = [True, _METHODS[method](**arguments)]
        except Exception:  # noqa: BLE001 - the test shall see it
            answer = [False, traceback.format_exc()]
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
