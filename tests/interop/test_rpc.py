"""Results by reply queue between Celeriac and the real Celery, in both directions."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from scripts.environments import Environment

from celeriac import Celeriac
from celeriac.backends.rpc import RpcBackend
from celeriac.outcome import ResultRecord
from celeriac.result_meta import decode_meta, encode_meta
from integration.rabbitmq.reply_app import make_app
from integration.rabbitmq.rpc_support import PATIENCE, opened, running_worker
from servers.process import ServerProcess
from servers.rabbitmq import RabbitServer
from servers.waiting import wait_until

_TESTS: Final = Path(__file__).resolve().parents[1]
#: Seconds for a Celery worker to start.
_START: Final = 40.0
#: Of one kind for both: either side may be the first to declare it.
_SETTINGS: Final = {"task_default_queue": "replies", "task_default_queue_type": "classic"}


class CeleryProgram:
    """A program with the real Celery that sends tasks, or sends results as a worker does."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def call(self, method: str, **arguments: Any) -> Any:
        """Ask and wait for the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([method, arguments]) + "\n")
        self._process.stdin.flush()
        good, value = json.loads(self._process.stdout.readline())
        assert good, value
        return value


def variables(url: str, **settings: Any) -> dict[str, str]:
    told = {"INTEROP_BROKER": url, "INTEROP_SETTINGS": json.dumps({**_SETTINGS, **settings})}
    return {**os.environ, **told, "PYTHONPATH": str(_TESTS), "C_FORCE_ROOT": "1"}


@contextlib.contextmanager
def celery_program(environment: Environment, url: str, **settings: Any) -> Iterator[CeleryProgram]:
    with subprocess.Popen(
        [environment.python, "-m", "interop.celery_replies"],
        cwd=_TESTS,
        env=variables(url, **settings),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield CeleryProgram(process)
        finally:
            process.kill()


@pytest.fixture(scope="module")
def url(rabbit_server: RabbitServer) -> Iterator[str]:
    vhost = rabbit_server.add_vhost()
    yield rabbit_server.url(vhost)
    rabbit_server.remove_vhost(vhost)


@pytest.fixture(scope="module")
def celery(celery_environment: Environment, url: str) -> Iterator[CeleryProgram]:
    with celery_program(celery_environment, url) as program:
        yield program


@pytest.fixture
def backend(url: str) -> Iterator[RpcBackend]:
    with opened(url) as made:
        yield made


def reply(sent: dict[str, str], status: str, result: object, **options: Any) -> ResultRecord:
    meta = encode_meta(task_id=sent["id"], status=status, result=result, children=[], **options)
    return ResultRecord(sent["id"], status, meta, None, sent["reply_to"])


class TestBackends:
    """Nobody runs the tasks: results are sent by hand."""

    def test_celery_gets_what_celeriac_sends(self, celery: CeleryProgram, backend: RpcBackend) -> None:
        sent = celery.call("send", name="replies.add", args=[2, 3], queue="nobody")
        backend.store([reply(sent, "STARTED", {"pid": 1}), reply(sent, "SUCCESS", 5)])
        assert celery.call("get", task_id=sent["id"]) == {"state": "SUCCESS", "value": "5", "traceback": None}

    def test_failures(self, celery: CeleryProgram, backend: RpcBackend) -> None:
        sent = celery.call("send", name="replies.fail", args=[], queue="nobody")
        backend.store([reply(sent, "FAILURE", ValueError("as asked"), traceback="line 1")])
        seen = celery.call("get", task_id=sent["id"])
        assert seen == {"state": "FAILURE", "value": "ValueError('as asked')", "traceback": "line 1"}

    @pytest.mark.parametrize("compression", ["zlib", "bzip2"])
    def test_compressed(self, celery: CeleryProgram, backend: RpcBackend, compression: str) -> None:
        sent = celery.call("send", name="replies.add", args=[2, 3], queue="nobody")
        backend.store([reply(sent, "SUCCESS", "x" * 5000, compression=compression)])
        assert celery.call("get", task_id=sent["id"])["value"] == repr("x" * 5000)

    @pytest.mark.parametrize("serializer", ["json", "pickle", "yaml", "msgpack"])
    def test_serialisers(self, celery_environment: Environment, url: str, serializer: str) -> None:
        settings = {"result_serializer": serializer, "accept_content": ["json", serializer]}
        with (
            celery_program(celery_environment, url, **settings) as program,
            opened(url, serializer=serializer, accept=["json", serializer]) as backend,
        ):
            sent = program.call("send", name="replies.add", args=[2, 3], queue="nobody")
            backend.store([reply(sent, "SUCCESS", {"a": [1, None]}, serializer=serializer)])
            assert program.call("get", task_id=sent["id"])["value"] == "{'a': [1, None]}"
            kept = backend.expect(["1"])
            program.call("store", task_id="1", value={"a": 1}, state="SUCCESS", reply_to=backend.reply_queue())
            record = backend.wait_ready("1", PATIENCE)
            assert record is not None
            assert decode_meta(record.meta, serializer=serializer, accept=[serializer])["result"] == {"a": 1}
            assert kept

    def test_celeriac_gets_what_celery_sends(self, celery: CeleryProgram, backend: RpcBackend) -> None:
        kept = backend.expect(["1", "2"])
        queue = backend.reply_queue()
        celery.call("store", task_id="1", value="working", state="PROGRESS", reply_to=queue)
        found = backend.load("1")
        assert found is not None
        assert found.status == "PROGRESS"
        celery.call("store", task_id="1", value=[1, "\u00fc"], state="SUCCESS", reply_to=queue)
        celery.call("store", task_id="2", value="as asked", state="FAILURE", reply_to=queue)
        good, bad = (backend.wait_ready(name, PATIENCE) for name in ("1", "2"))
        assert good is not None
        assert bad is not None
        assert decode_meta(good.meta, accept=["json"])["result"] == [1, "\u00fc"]
        assert repr(decode_meta(bad.meta, accept=["json"])["result"]) == "ValueError('as asked')"
        assert kept


class TestWorkers:
    def test_celery_asks_a_celeriac_worker(self, celery: CeleryProgram, url: str, tmp_path: Path) -> None:
        with running_worker(tmp_path, url, "rpc://", **{**_SETTINGS, "task_default_queue": "celeriac"}):
            sent = celery.call("send", name="replies.add", args=[2, 3], queue="celeriac")
            assert celery.call("get", task_id=sent["id"])["value"] == "5"
            sent = celery.call("send", name="replies.fail", args=[], queue="celeriac")
            assert celery.call("get", task_id=sent["id"])["state"] == "FAILURE"
            sent = celery.call("send", name="replies.again", args=[], queue="celeriac")
            assert celery.call("get", task_id=sent["id"])["value"] == "1"

    def test_celeriac_asks_a_celery_worker(self, celery_environment: Environment, url: str, tmp_path: Path) -> None:
        with celery_worker(celery_environment, url, tmp_path), make_app(url, "rpc://", **_SETTINGS) as app:
            assert app.tasks["replies.add"].delay(2, 3).get(timeout=PATIENCE) == 5
            with pytest.raises(ValueError, match="as asked"):
                app.tasks["replies.fail"].delay().get(timeout=PATIENCE)
            assert app.tasks["replies.again"].delay().get(timeout=PATIENCE) == 1
            _ask_for_many(app, 30)  # several each second is what Celery's worker does


def _ask_for_many(app: Celeriac, count: int) -> None:
    sent = app.publish_many(app.tasks["replies.add"].s(n, 1) for n in range(count))
    assert [one.get(timeout=PATIENCE) for one in sent] == [n + 1 for n in range(count)]


@contextlib.contextmanager
def celery_worker(environment: Environment, url: str, folder: Path) -> Iterator[ServerProcess]:
    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat")
    command = [environment.program("celery"), "-A", "interop.celery_replies", "worker", "-P", "solo", *quiet]
    worker = ServerProcess([*command, "-l", "info"], folder, environment=variables(url), log="celery.log")
    worker.start()
    try:
        wait_until(lambda: " ready." in worker.log or worker.has_ended(), "Celery's worker is ready", deadline=_START)
        assert not worker.has_ended(), worker.log
        yield worker
    finally:
        worker.stop()
