"""The app that the tests of results by reply queue send to; its worker runs in a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from typing import Any

from celeriac import Celeriac

#: What the worker's process is told: its broker, where results go, and further settings.
BROKER, BACKEND, SETTINGS = "CELERIAC_TEST_BROKER", "CELERIAC_TEST_BACKEND", "CELERIAC_TEST_SETTINGS"


def make_app(broker: str, backend: str, **settings: Any) -> Celeriac:
    app = Celeriac("replies", broker=broker, backend=backend, set_as_current=False)
    app.conf.update(task_track_started=True, task_max_deliveries=2, worker_hard_limit_grace=0.1, **settings)
    declare(app)
    return app


def declare(app: Celeriac) -> None:
    @app.task(name="replies.add")
    def add(x: int, y: int) -> int:
        return x + y

    @app.task(name="replies.fail")
    def fail() -> None:
        raise ValueError("as asked")

    @app.task(bind=True, name="replies.again")
    def again(self: Any) -> int:
        if self.request.retries == 0:
            raise self.retry(countdown=0)
        return int(self.request.retries)

    @app.task(bind=True, name="replies.progress")
    def progress(self: Any) -> str:
        self.update_state(state="PROGRESS", meta={"done": 1})
        return "finished"

    @app.task(time_limit=0.2, name="replies.nap")
    def nap() -> None:
        time.sleep(30)

    @app.task(name="replies.die")
    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    @app.task(name="replies.ask_for")
    async def ask_for(x: int, y: int) -> int:
        return int(await app.tasks["replies.add"].delay(x, y).aget(timeout=20))

    @app.task(name="replies.many")
    async def many(count: int) -> int:
        sent = [app.tasks["replies.add"].delay(n, 1) for n in range(count)]
        return sum(await asyncio.gather(*(one.aget(timeout=20) for one in sent)))


if BROKER in os.environ:
    app = make_app(os.environ[BROKER], os.environ[BACKEND], **json.loads(os.environ[SETTINGS]))
