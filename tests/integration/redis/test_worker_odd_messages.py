"""A real worker and what only hands, or other programs, put into its lists."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from integration.worker.conftest import DEADLINE, Bench, bench_on, wait_until
from servers.redis import RedisServer


@pytest.fixture
def bench(redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    with bench_on(redis_url, tmp_path, monkeypatch) as running:
        yield running


#: What JSON can say and no frame can: a lone surrogate.
ODD_TYPE = "application/\udcff"


def envelope(task: str, name: str, content_type: str = "application/json") -> str:
    """As Celery writes it."""
    properties: dict[str, Any] = {"body_encoding": "base64", "delivery_tag": name, "priority": 0}
    return json.dumps(
        {
            "body": base64.b64encode(json.dumps([[name], {}, {}]).encode()).decode(),
            "content-encoding": "utf-8",
            "content-type": content_type,
            "headers": {"task": f"worker_app.{task}", "id": name, "retries": 0},
            "properties": {**properties, "delivery_info": {"exchange": "", "routing_key": "celery"}},
        }
    )


@pytest.mark.parametrize("task", ["noted", pytest.param("early", id="acknowledged before it runs")])
def test_what_fits_no_frame_stops_nothing(bench: Bench, redis_server: RedisServer, task: str) -> None:
    good, odd = ["good-0", "good-1", "good-2"], ["odd-0", "odd-1", "odd-2"]
    for one, other in zip(odd, good, strict=True):
        redis_server.call("LPUSH", "celery", envelope(task, one, ODD_TYPE), envelope(task, other))
    worker = bench.start("-c", "1")
    app = bench.tasks.app
    for name in good:
        app.AsyncResult(name).get(timeout=DEADLINE)
        assert bench.count(f"ran-{name}") == 1
    for name in odd:
        with pytest.raises(UnicodeEncodeError):
            app.AsyncResult(name).get(timeout=DEADLINE)
    assert bench.tasks.add.delay(1, 1).get(timeout=DEADLINE) == 2
    letters = asyncio.run(app.broker.dead_letters())
    assert {letter.message.headers["id"] for letter in letters} == set(odd)
    assert all("it can not be handed to an executor: UnicodeEncodeError" in letter.reason for letter in letters)
    wait_until(lambda: redis_server.call("KEYS", "celeriac:held:*") == [], "nothing is held")
    assert "Traceback" not in worker.log
