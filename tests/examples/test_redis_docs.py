"""What the page on Redis says of rights and keys is what a worker needs and leaves."""

import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from servers.redis import RedisServer

RunPython = Callable[..., subprocess.CompletedProcess[str]]
StartWorker = Callable[[str], subprocess.Popen[str]]

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "use-redis.md").read_text(encoding="utf-8")

_TASKS = """
import os
import signal
import time

from celeriac import Celeriac

app = Celeriac("work", broker={url!r})
app.conf.broker_transport_options = {{"global_keyprefix": "proj:"}}
app.conf.task_max_deliveries = 2
app.conf.task_track_started = True


@app.task
def add(x, y):
    return x + y


@app.task
def note(value):
    print(value)


@app.task(bind=True, max_retries=1)
def again(self):
    if not self.request.retries:
        raise self.retry(countdown=0.1)
    return self.request.retries


@app.task
def die():
    os.kill(os.getpid(), signal.SIGKILL)
"""

_PROGRAM = """
import asyncio

from celeriac.exceptions import WorkerLostError
from work import add, again, app, die, note

assert add.delay(1, 2).get(timeout=20) == 3
assert add.apply_async((1, 2), countdown=0.2, priority=5, link=note.s()).get(timeout=20) == 3
assert again.delay().get(timeout=20) == 1
assert [one.get(timeout=20) for one in add.delay_many([(1, 1), (2, 2)])] == [2, 4]
try:
    die.delay().get(timeout=20)
except WorkerLostError:
    pass
else:
    raise AssertionError("it was to die")


async def main():
    result = await add.adelay(3, 4)
    assert await result.aget(timeout=20) == 7
    await result.aforget()
    [letter] = await app.broker.dead_letters("celery")
    assert await app.broker.requeue_dead_letters([letter.tag]) == 1
    assert await app.broker.depth("elsewhere") == await app.broker.purge("elsewhere") == 0
    assert await app.broker.purge_dead_letters() in {0, 1}


asyncio.run(main())
"""


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """One whose users are this test's own."""
    with RedisServer() as server:
        yield server


def _acl_rule() -> list[str]:
    found = re.search(r"^```text\n(ACL SETUSER .*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None
    return shlex.split(found[1])


def test_the_acl_user_may_do_all_that_is_needed(
    server: RedisServer, tmp_path: Path, run_python: RunPython, start_worker: StartWorker
) -> None:
    server.call(*_acl_rule())
    url = server.url(1).replace("redis://", "redis://proj:secret@")
    (tmp_path / "work.py").write_text(_TASKS.format(url=url), encoding="utf-8")
    start_worker("work")
    done = run_python("-c", _PROGRAM)
    assert done.returncode == 0, done.stderr + (tmp_path / "worker.log").read_text()
    refused = [entry[entry.index(b"object") + 1] for entry in server.call("ACL", "LOG")]
    assert refused == []
    assert {key[:5] for key in server.call("KEYS", "*", db=1)} == {b"proj:"}
    undocumented = [key for key in server.call("KEYS", "*", db=1) if not _is_documented(key.decode()[5:])]
    assert undocumented == []


def _is_documented(key: str) -> bool:
    """The page's table has it, where `<...>` stands for any name."""
    table = PAGE.partition("## What is in Redis")[2].partition("\n## ")[0]
    forms = re.findall(r"`([^`]+)`", "\n".join(line.split("|")[1] for line in table.splitlines() if "|" in line))
    forms.remove("<queue>")  # it would match anything
    patterns = (re.escape(form.replace(r"\x06\x16", "\x06\x16")) for form in forms)
    return key == "celery" or any(re.fullmatch(re.sub(r"<[^>]*>", ".+", pattern), key) for pattern in patterns)
