"""A real worker and what other programs put into its queue: buried or failed with a reason, and the worker lives."""

from __future__ import annotations

import asyncio
import datetime as dt
import decimal
import json
from collections.abc import Callable, Mapping
from typing import Any

import amqp
import pytest

from celeriac.exceptions import CeleriacError
from integration.worker.conftest import DEADLINE, Bench, wait_until
from servers.amqp_channel import channel, connection_of

from .conftest import Place, StartBench
from .worker_support import each_ran_once

JSON = {"content_type": "application/json", "content_encoding": "utf-8"}


def headers(name: str, task: str = "worker_app.noted", **more: Any) -> dict[str, Any]:
    """As Celery writes them, the least of them."""
    return {"task": task, "id": name, "lang": "py", "root_id": name, "retries": 0, **more}


def body(name: str) -> str:
    return json.dumps([[name], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}])


def put(place: Place, content: str | bytes, table: Mapping[str, Any] | None, **properties: Any) -> None:
    given: dict[str, Any] = {**JSON, **properties}
    if table is not None:
        given["application_headers"] = dict(table)
    with channel(place.url) as talk:
        talk.basic_publish(amqp.Message(content, **given), routing_key="celery")


def put_raw(place: Place, head: bytes) -> None:
    """A message whose table of headers is these bytes."""
    with channel(place.url) as talk:
        frames = connection_of(talk)
        flags = (1 << 13).to_bytes(2, "big")  # headers alone
        table = len(head).to_bytes(4, "big") + head
        method = b"\0\x3c\0\x28" + b"\0\0" + b"\0" + b"\x06celery" + b"\0"
        content = b"\0\x3c\0\0" + (2).to_bytes(8, "big") + flags + table
        for kind, payload in ((1, method), (2, content), (3, b"{}")):
            number = int(talk.channel_id or 0).to_bytes(2, "big")
            frames.transport.write(bytes((kind,)) + number + len(payload).to_bytes(4, "big") + payload + b"\xce")
        assert talk.queue_declare("celery", passive=True) is not None  # the server has read it


def letters(bench: Bench) -> list[str]:
    """The reasons of the dead letters."""
    return [letter.reason for letter in asyncio.run(bench.tasks.app.broker.dead_letters())]


def field(name: bytes, value: bytes) -> bytes:
    return bytes((len(name),)) + name + value


NOT_UTF_8 = field(b"task", b"S" + (3).to_bytes(4, "big") + b"\xff\xfe\x80")
NAME_NOT_UTF_8 = field(b"\xff\xfe", b"S" + (1).to_bytes(4, "big") + b"x")
ODD: dict[str, Callable[[Place], None]] = {
    "no headers": lambda place: put(place, "{}", None),
    "empty headers": lambda place: put(place, "{}", {}),
    "headers that are not UTF-8": lambda place: put_raw(place, NOT_UTF_8),
    "names of headers that are not UTF-8": lambda place: put_raw(place, NAME_NOT_UTF_8),
    "a task that is a list": lambda place: put(place, body("odd"), {**headers("odd"), "task": ["x"]}),
    "a body that is no JSON": lambda place: put(place, b"\xff{", headers("odd")),
    "a body of another shape": lambda place: put(place, '"text"', headers("odd")),
    "an unknown content type": lambda place: put(place, body("odd"), headers("odd"), content_type="application/x-odd"),
    "an unknown task": lambda place: put(place, body("odd"), headers("odd", "worker_app.nothing")),
    "pickle": lambda place: put(place, b"\x80\x04N.", headers("odd"), content_type="application/x-python-serialize"),
    "an empty body": lambda place: put(place, b"", headers("odd")),
    "an eta that is no time": lambda place: put(place, body("odd"), headers("odd", eta="soon")),
}


@pytest.mark.parametrize("kind", ["quorum", "classic"])
def test_what_can_not_be_run_stops_nothing(place: Place, bench_at: StartBench, kind: str) -> None:
    bench = bench_at(place.url, task_default_queue_type=kind, task_create_missing_queue_type=kind)
    bench.tasks.noted.delay("first")
    for put_one in ODD.values():
        put_one(place)
    bench.tasks.noted.delay("last")
    worker = bench.start("-c", "2")
    each_ran_once(bench, ["first", "last"])
    wait_until(place.is_worked_off, "all is settled")
    assert bench.tasks.add.delay(1, 1).get(timeout=DEADLINE) == 2
    reasons = letters(bench)
    print("\n".join(reasons))
    assert len(reasons) == len(ODD)
    assert all(reasons)
    assert "Work is held up" not in worker.log
    assert "The thread of the connection" not in worker.log


def test_headers_of_odd_types_and_sizes_are_no_hindrance(place: Place, bench_at: StartBench) -> None:
    bench = bench_at(place.url)
    bench.tasks.noted.delay("first")
    odd = {
        "nothing": None,
        "truth": True,
        "when": dt.datetime(2026, 1, 2, 3, 4, 5),  # noqa: DTZ001 - AMQP has no time zones
        "exact": decimal.Decimal("1.50"),
        "large": 2**62,
        "half": 0.5,
        "bytes": b"\x00\xff",
        "list": [1, "two", None, {"three": 3}],
        "table": {"in": {"in": "in"}},
    }
    put(place, body("odd"), {**headers("odd"), **odd})
    put(place, body("number"), {**headers("number"), "id": 7})
    put(place, body("encoding").encode(), headers("encoding"), content_encoding="x-odd")  # JSON has but one
    put(place, body("huge"), {**headers("huge"), "x-huge": "x" * 100_000})
    worker = bench.start("-c", "1")
    each_ran_once(bench, ["first", "odd", "number", "encoding", "huge"])
    wait_until(place.is_worked_off, "all is settled")
    assert letters(bench) == []
    assert "Traceback" not in worker.log


def test_a_message_of_protocol_1_runs(place: Place, bench_at: StartBench) -> None:
    bench = bench_at(place.url)
    bench.tasks.noted.delay("first")
    old = {"task": "worker_app.noted", "id": "old", "args": ["old"], "kwargs": {}, "retries": 0, "eta": None}
    put(place, json.dumps(old), None)
    bench.start("-c", "1")
    each_ran_once(bench, ["first", "old"])
    wait_until(place.is_worked_off, "all is settled")


def test_what_has_expired_is_not_run(place: Place, bench_at: StartBench) -> None:
    bench = bench_at(place.url)
    bench.tasks.noted.delay("first")
    put(place, body("by-broker"), headers("by-broker"), expiration="1")
    put(place, body("by-worker"), headers("by-worker", expires="2020-01-01T00:00:00+00:00"))
    bench.start("-c", "1")
    assert bench.tasks.add.delay(1, 1).get(timeout=DEADLINE) == 2
    wait_until(place.is_worked_off, "all is settled")
    assert [bench.count(f"ran-{name}") for name in ("first", "by-broker", "by-worker")] == [1, 0, 0]
    with pytest.raises(CeleriacError, match="expired"):
        bench.tasks.app.AsyncResult("by-worker").get(timeout=DEADLINE)
    assert letters(bench) == []
