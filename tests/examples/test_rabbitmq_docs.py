"""What the page on RabbitMQ says of permissions, queues and exchanges is what is needed and what is there."""

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from servers.rabbitmq import RabbitServer

RunPython = Callable[..., subprocess.CompletedProcess[str]]
StartWorker = Callable[[str], subprocess.Popen[str]]

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "use-rabbitmq.md").read_text(encoding="utf-8")

_TASKS = """
import os
import signal

from celeriac import Celeriac

app = Celeriac("work", broker=os.environ.get("WORK_BROKER", {worker!r}), backend={results!r})
app.conf.task_max_deliveries = 2


@app.task
def add(x, y):
    return x + y


@app.task
def note(value):
    print(value)


@app.task(bind=True, max_retries=1)
def again(self):
    if not self.request.retries:
        raise self.retry(countdown=1)
    return self.request.retries


@app.task
def die():
    os.kill(os.getpid(), signal.SIGKILL)
"""

_SENDING = """
from celeriac.exceptions import WorkerLostError
from work import add, again, die, note

assert add.delay(1, 2).get(timeout=20) == 3
assert add.apply_async((1, 2), countdown=1.1, priority=5, link=note.s()).get(timeout=20) == 3
assert again.delay().get(timeout=20) == 1
assert [one.get(timeout=20) for one in add.delay_many([(1, 1), (2, 2)])] == [2, 4]
try:
    die.delay().get(timeout=20)
except WorkerLostError:
    pass
else:
    raise AssertionError("it was to die")
"""

_LOOKING_AFTER = """
import asyncio
import time

from work import app


async def main():
    end = time.monotonic() + 20
    while not (letters := await app.broker.dead_letters("celery")):
        assert time.monotonic() < end
    assert await app.broker.requeue_dead_letters([letters[0].tag]) == 1
    assert await app.broker.depth("celery.elsewhere") == await app.broker.purge("celery.elsewhere") == 0
    await app.broker.purge_dead_letters()


asyncio.run(main())
"""

#: What is added to a pattern for queues of replies.
_REPLIES = "|^[0-9a-f-]{36}$"
#: A message that is never due here leaves the ladder in use.
_FUTURE = "from work import add; add.apply_async((1, 1), countdown=3600)"


@pytest.fixture
def permitted(rabbit_server: RabbitServer, rabbit_vhost: str) -> dict[str, str]:
    """The page's users, in a virtual host of this test's own: their URLs by name. Results come by reply queue."""
    rules = [shlex.split(line) for line in PAGE.splitlines() if line.startswith("rabbitmqctl set_permissions")]
    urls = {}
    for *_, user, configure, write, read in rules:
        name = f"{user}-{rabbit_vhost}"
        rabbit_server.add_user(name, "secret")
        own = _REPLIES if user == "sender" else ""  # the page says so
        rabbit_server.permit(name, rabbit_vhost, configure=configure + own, write=write + _REPLIES, read=read + own)
        urls[user] = rabbit_server.url(rabbit_vhost, user=name, password="secret")
    return urls


def test_the_users_may_do_all_that_is_needed(
    permitted: dict[str, str],
    rabbit_server: RabbitServer,
    rabbit_vhost: str,
    tmp_path: Path,
    run_python: RunPython,
    start_worker: StartWorker,
) -> None:
    (tmp_path / "work.py").write_text(_TASKS.format(worker=permitted["worker"], results="rpc://"), encoding="utf-8")
    worker = start_worker("work")
    wait_until_ready(tmp_path, worker)
    set_broker = f"import os; os.environ['WORK_BROKER'] = {permitted['sender']!r}\n"
    for program in (set_broker + _SENDING, _LOOKING_AFTER, set_broker + _FUTURE):
        done = run_python("-c", program)
        assert done.returncode == 0, done.stderr + (tmp_path / "worker.log").read_text()
    assert "set_permissions" not in (tmp_path / "worker.log").read_text()
    queues = rabbit_server.queues(rabbit_vhost)
    assert [name for name in queues if not _is_documented(name, "queue")] == []
    listed = rabbit_server.ctl("list_exchanges", "-p", rabbit_vhost, "--no-table-headers", "name").splitlines()
    exchanges = [name for name in listed if name and not name.startswith("amq.")]
    assert len(exchanges) > len(("celery", "celeriac.dead", "celery_delayed_delivery"))
    assert [name for name in exchanges if not _is_documented(name, "exchange")] == []


def wait_until_ready(folder: Path, worker: subprocess.Popen[str]) -> None:
    """The worker has declared its queues: a sender may not."""
    while " ready." not in (folder / "worker.log").read_text():
        with pytest.raises(subprocess.TimeoutExpired):  # a worker that ends says why
            worker.wait(0.1)


def _is_documented(name: str, kind: str) -> bool:
    """The page's table has it, where `<...>` stands for any name, and the last of the ladder for all of it."""
    table = PAGE.partition(f"\n| {kind} | ")[2].partition("\n\n")[0]
    forms = re.findall(r"`([^`]+)`", "\n".join(line.split("|")[1] for line in table.splitlines()[1:]))
    assert "<queue>" in forms  # it would match anything
    patterns = (re.escape(form) for form in forms if form != "<queue>")
    ladder = "celery_delayed_27" in forms and re.fullmatch(r"celery_delayed_(1?\d|2[0-7])", name)
    return bool(name == "celery" or ladder or any(re.fullmatch(re.sub("<[^>]*>", ".+", one), name) for one in patterns))
