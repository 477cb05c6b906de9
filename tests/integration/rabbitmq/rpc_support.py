"""Short words for the tests of results by reply queue beside this file."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from celeriac.backends.rpc import RpcBackend
from celeriac.config import Settings
from celeriac.outcome import ResultRecord
from celeriac.result_meta import encode_meta
from celeriac.storage.rabbitmq.reading import read_location
from servers.process import ServerProcess
from servers.waiting import wait_until

from .reply_app import BACKEND, BROKER, SETTINGS

_HERE = Path(__file__).parent

#: Seconds after which something that should happen soon counts as not happening.
PATIENCE = 30.0


@contextlib.contextmanager
def opened(url: str, *, transport: Mapping[str, Any] | None = None, **options: Any) -> Iterator[RpcBackend]:
    """A backend on a URL, with transport options and the constructor's own, disconnected at the end."""
    location = read_location(url, transport or {}, setting="result_backend", settings=Settings())
    backend = RpcBackend(location, **options)
    try:
        yield backend
    finally:
        backend.disconnect()


def done(task_id: str, client: RpcBackend | str | None, value: object = "done") -> ResultRecord:
    """A result that is ready, for `client` or for the queue of this name."""
    queue = client.reply_queue() if isinstance(client, RpcBackend) else client
    meta = encode_meta(task_id=task_id, status="SUCCESS", result=value, children=[])
    return ResultRecord(task_id, "SUCCESS", meta, None, queue)


def received(task_id: str, value: object = "done") -> ResultRecord:
    """What whoever asks for `done` gets."""
    return done(task_id, None, value)


@contextlib.contextmanager
def running_worker(folder: Path, broker: str, backend: str, **settings: Any) -> Iterator[ServerProcess]:
    """A worker of `reply_app` for the time of the block."""
    command = [sys.executable, "-m", "celeriac", "-A", "reply_app", "worker", "-l", "info", "-c", "2"]
    told = {BROKER: broker, BACKEND: backend, SETTINGS: json.dumps(settings)}
    environment = {**os.environ, **told, "PYTHONPATH": str(_HERE)}
    worker = ServerProcess(command, folder, environment=environment, log="worker.log")
    worker.start()
    try:
        wait_until(lambda: " ready." in worker.log or worker.has_ended(), "the worker is ready")
        assert not worker.has_ended(), worker.log
        yield worker
    finally:
        worker.stop()
