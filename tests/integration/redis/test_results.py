"""Results in Redis: Celery's bytes, SUCCESS is final, and what is left behind."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from celeriac.backends.redis import RedisBackend
from celeriac.exceptions import BackendError, StoreRefused
from celeriac.outcome import ResultRecord
from celeriac.result_meta import encode_meta
from servers.redis import RedisServer

from .results_support import connections, make_backend, until

CAPTURES = Path(__file__).parents[2] / "wire" / "captures" / "redis" / "result_commands"
SERIALIZERS = ["json", "msgpack", "pickle", "yaml"]

#: One backend, used by a parent and its children before and after the forks, in threads' and in loops' way.
FORKING = """
import asyncio, os, sys
from celeriac.backends import open_backend
from celeriac.outcome import ResultRecord

def record(name):
    return ResultRecord(name, "SUCCESS", b'{"status": "SUCCESS", "result": "%s"}' % name.encode())

def exchange(name):
    backend.store([record(name)])
    assert backend.wait_ready(name, 20) == backend.load(name) == record(name)

async def aexchange(name):
    waiting = asyncio.create_task(backend.await_ready(name, 20))
    await asyncio.sleep(0)
    await backend.astore([record(name)])
    assert await waiting == record(name)

backend = open_backend(sys.argv[1])
exchange("parent")
asyncio.run(aexchange("parent's loop"))
for n in range(3):
    if os.fork() == 0:
        failed = 1
        try:
            exchange(f"child {n}")
            asyncio.run(aexchange(f"loop of child {n}"))
            backend.disconnect()
            failed = 0
        finally:
            os._exit(failed)
    exchange(f"parent {n}")
    asyncio.run(aexchange(f"parent's loop {n}"))
for n in range(3):
    assert backend.wait_ready(f"loop of child {n}", 20)
    assert os.wait()[1] == 0
backend.disconnect()
print("ok")
"""

Make = Callable[..., RedisBackend]


def to_bytes(value: Any) -> bytes:
    return base64.b64decode(value["base64"]) if isinstance(value, dict) else str(value).encode()


def captured(name: str) -> list[list[bytes]]:
    """Celery's commands, in order."""
    commands = json.loads((CAPTURES / f"{name}.json").read_text())["commands"]
    return [[to_bytes(part) for part in command] for command in commands]


def record_of(command: list[bytes], serializer: str, backend: RedisBackend) -> ResultRecord:
    """What a SET or SETEX of Celery's stores."""
    task_id = command[1].decode().removeprefix("celery-task-meta-")
    ttl = float(command[2]) if command[0] == b"SETEX" else None
    return ResultRecord(task_id, backend._status(command[-1]), command[-1], ttl)


@pytest.fixture
def make(redis_url: str) -> Iterator[Make]:
    with ExitStack() as stack:

        def open_one(url: str = redis_url, **options: Any) -> RedisBackend:
            backend = make_backend(url, **options)
            stack.callback(backend.disconnect)
            return backend

        yield open_one


class TestCelerysBytes:
    @pytest.mark.parametrize("name", sorted(path.stem for path in CAPTURES.glob("*.json")))
    def test_we_store_and_publish_what_celery_does(self, name: str, make: Make, redis_server: RedisServer) -> None:
        serializer = name.removeprefix("serializer_") if name.startswith("serializer_") else "json"
        backend = make(serializer=serializer, accept=[serializer], compressed=name.startswith("compression_"))
        commands = captured(name)
        with redis_server.connection() as listener:
            listener.call("PSUBSCRIBE", "*")
            for store, publish in zip(commands[::2], commands[1::2], strict=True):
                record = record_of(store, serializer, backend)
                backend.store([record])
                assert listener.read() == [b"pmessage", b"*", *publish[1:]]
                assert redis_server.call("GET", store[1]) == store[-1]
                ttl = -1 if record.ttl is None else int(store[2])
                assert ttl - 1 <= redis_server.call("TTL", store[1]) <= ttl

    @pytest.mark.parametrize("name", sorted(path.stem for path in CAPTURES.glob("*.json")))
    def test_we_read_what_celery_stores(self, name: str, make: Make, redis_server: RedisServer) -> None:
        serializer = name.removeprefix("serializer_") if name.startswith("serializer_") else "json"
        backend = make(serializer=serializer, accept=[serializer])
        for store, _publish in zip(captured(name)[::2], captured(name)[1::2], strict=True):
            redis_server.call(*store)
            expected = record_of(store, serializer, backend)
            record = backend.load(expected.task_id)
            assert record is not None
            assert (record.status, record.meta) == (expected.status, expected.meta)
            assert record.ttl == (None if expected.ttl is None else pytest.approx(expected.ttl, abs=1))

    @pytest.mark.parametrize(("prefix", "key"), [("pfx_", "pfx_"), ("pfx", "pfx_"), ("a:", "a:")])
    def test_the_prefix_is_before_key_and_channel(
        self, prefix: str, key: str, make: Make, redis_server: RedisServer
    ) -> None:
        backend = make(transport={"global_keyprefix": prefix})
        record = ResultRecord("1", "SUCCESS", encode_meta(task_id="1", status="SUCCESS", result=1))
        with redis_server.connection() as listener:
            listener.call("SUBSCRIBE", f"{key}celery-task-meta-1")
            backend.store([record])
            assert listener.read()[2] == record.meta
        assert redis_server.call("KEYS", "*") == [f"{key}celery-task-meta-1".encode()]
        assert backend.load("1") == backend.wait_ready("1", 5) == record

    @pytest.mark.parametrize(("ttl", "stored"), [(None, -1), (0.2, 1), (1.0, 1), (60.9, 60), (86400.0, 86400)])
    def test_times_are_whole_seconds(
        self, ttl: float | None, stored: int, make: Make, redis_server: RedisServer
    ) -> None:
        meta = encode_meta(task_id="1", status="FAILURE", result=ValueError("x"))
        for _ in range(2):  # the first, and one that replaces another
            make().store([ResultRecord("1", "FAILURE", meta, ttl)])
            left = redis_server.call("PTTL", "celery-task-meta-1")
            assert left == -1 if stored < 0 else stored * 1000 - 900 < left <= stored * 1000

    def test_a_result_that_is_replaced_gets_its_own_time(self, make: Make) -> None:
        backend = make()
        meta = encode_meta(task_id="1", status="STARTED", result=None)
        backend.store([ResultRecord("1", "STARTED", meta, 50.0)])
        backend.store([ResultRecord("1", "STARTED", meta, None)])
        assert backend.load("1") == ResultRecord("1", "STARTED", meta, None)


class TestSuccessIsFinal:
    @pytest.mark.parametrize("compression", [None, "gzip"])
    @pytest.mark.parametrize("serializer", SERIALIZERS)
    def test_whatever_the_serializer(self, serializer: str, compression: str | None, make: Make) -> None:
        options: dict[str, Any] = {"serializer": serializer, "compression": compression}
        first = ResultRecord("a", "SUCCESS", encode_meta(task_id="a", status="SUCCESS", result=1, **options))
        second = ResultRecord("a", "SUCCESS", encode_meta(task_id="a", status="SUCCESS", result=2, **options))
        failed = ResultRecord("a", "FAILURE", encode_meta(task_id="a", status="FAILURE", result=None, **options))
        other = ResultRecord("b", "STARTED", encode_meta(task_id="b", status="STARTED", result=None, **options))
        done = ResultRecord("b", "SUCCESS", encode_meta(task_id="b", status="SUCCESS", result=None, **options))
        for compressed in (False, True):  # the script looks, or the client
            backend = make(serializer=serializer, accept=[serializer], compressed=compressed)
            backend.store([failed, first, failed, other, done, second])
            assert backend.load("a") == first
            assert backend.load("b") == done
            backend.forget("a")
            backend.forget("b")

    @pytest.mark.parametrize(
        "stored",
        [
            b'{"task_id": "a", "result": null, "status": "SUCCESS"}',
            b'{"status":"SUCCESS","result":1}',
            b'{"status": "SUCCESS", "result": ' + b"[" * 5000 + b"]" * 5000 + b"}",
            b'{"task_id": "a", "result": NaN, "status": "SUCCESS"}',
            b'\n{ "status" : "SUCCESS" }',
        ],
    )
    def test_whoever_wrote_it(self, stored: bytes, make: Make, redis_server: RedisServer) -> None:
        redis_server.call("SET", "celery-task-meta-a", stored)
        make().store([ResultRecord("a", "FAILURE", encode_meta(task_id="a", status="FAILURE", result=None))])
        assert redis_server.call("GET", "celery-task-meta-a") == stored

    def test_a_state_inside_the_result_does_not_count(self, make: Make) -> None:
        backend = make()
        for serializer in SERIALIZERS:
            decoy = {"status": "SUCCESS", "text": "\nstatus: SUCCESS\n"}
            meta = encode_meta(task_id="a", status="PROGRESS", result=decoy, serializer=serializer)
            after = encode_meta(task_id="a", status="RETRY", result=None, serializer=serializer)
            backend = make(serializer=serializer, accept=[serializer])
            backend.store([ResultRecord("a", "PROGRESS", meta), ResultRecord("a", "RETRY", after)])
            assert backend.load("a") == ResultRecord("a", "RETRY", after)
            backend.forget("a")

    def test_what_is_dropped_is_not_published(self, make: Make, redis_server: RedisServer) -> None:
        backend = make()
        success = ResultRecord("a", "SUCCESS", encode_meta(task_id="a", status="SUCCESS", result=1))
        failed = ResultRecord("a", "FAILURE", encode_meta(task_id="a", status="FAILURE", result=None))
        backend.store([success])
        with redis_server.connection() as listener:
            listener.call("SUBSCRIBE", "celery-task-meta-a", "celery-task-meta-b")
            listener.read()
            backend.store([failed, ResultRecord("b", "FAILURE", failed.meta)])
            assert listener.read()[1] == b"celery-task-meta-b"


class TestGarbage:
    def test_what_is_no_result_is_named(self, make: Make, redis_server: RedisServer) -> None:
        redis_server.call("SET", "celery-task-meta-a", "garbage")
        for read in (make().load, lambda task_id: make().wait_ready(task_id, 5)):
            with pytest.raises(BackendError, match=r"a stored result can not be read: .* result_serializer='json'"):
                read("a")

    def test_a_result_takes_the_place_of_garbage(self, make: Make, redis_server: RedisServer) -> None:
        redis_server.call("SET", "celery-task-meta-a", "garbage")
        record = ResultRecord("a", "SUCCESS", encode_meta(task_id="a", status="SUCCESS", result=1))
        backend = make()
        backend.store([record])
        assert backend.load("a") == record

    def test_a_key_of_another_type_spoils_nothing_else(self, make: Make, redis_server: RedisServer) -> None:
        redis_server.call("RPUSH", "celery-task-meta-a", "x")
        backend = make()
        records = [ResultRecord(n, "SUCCESS", encode_meta(task_id=n, status="SUCCESS", result=1)) for n in "abc"]
        with pytest.raises(StoreRefused, match="WRONGTYPE"):
            backend.store(records)
        assert backend.load("c") == records[2]
        with pytest.raises(StoreRefused, match="WRONGTYPE"):
            backend.load("a")
        with pytest.raises(StoreRefused, match="WRONGTYPE"):
            backend.wait_ready("a", 5)


class TestConnections:
    def test_nothing_is_opened_before_it_is_used_or_left_after_disconnect(
        self, make: Make, redis_server: RedisServer
    ) -> None:
        before = connections(redis_server)
        backend = make()
        assert connections(redis_server) == before
        backend.store([ResultRecord("a", "SUCCESS", encode_meta(task_id="a", status="SUCCESS", result=1))])
        assert backend.wait_ready("a", 5) is not None
        assert connections(redis_server) > before
        backend.disconnect()
        until(lambda: connections(redis_server) == before)

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
    def test_forked_children_have_connections_of_their_own(self, redis_url: str, redis_server: RedisServer) -> None:
        before = connections(redis_server)
        program = [sys.executable, "-W", "error", "-c", FORKING, redis_url]
        run = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
        assert (run.returncode, run.stdout, run.stderr) == (0, "ok\n", "")
        until(lambda: connections(redis_server) == before)
