"""Results of several tasks by reply queue."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from celeriac import Celeriac, GroupResult, chain, chord, group
from celeriac.backends.rpc import RpcBackend
from celeriac.exceptions import ChordError, NotSupported, TimeoutError  # noqa: A004 - Celery's name
from celeriac.testing.conformance.support import Crew
from integration.workflows.running import running

from .rpc_support import PATIENCE, done, opened


@pytest.fixture
def app(rabbit_url: str) -> Iterator[Celeriac]:
    with Celeriac("groups", broker=rabbit_url, backend="rpc://") as made:
        made.task(name="task")(lambda: None)
        yield made


@pytest.fixture
def worker(rabbit_url: str) -> Iterator[RpcBackend]:
    with opened(rabbit_url) as backend:
        yield backend


def sent(app: Celeriac, count: int) -> GroupResult:
    """A group whose tasks are sent and never taken: the results are made here."""
    results = app.publish_many(app.signature("task") for _ in range(count))
    return GroupResult("g", results, app=app)


def finish(app: Celeriac, worker: RpcBackend, group: GroupResult) -> None:
    queue = app.backend
    assert isinstance(queue, RpcBackend)
    worker.store([done(member.id, queue, number) for number, member in enumerate(group)])


def test_many_that_have_come(app: Celeriac, worker: RpcBackend) -> None:
    group = sent(app, 1500)
    finish(app, worker, group)
    assert group.get(timeout=PATIENCE) == list(range(1500))
    assert group.successful()


def test_last_steps_of_chains_are_kept_however_many_others_come(app: Celeriac, worker: RpcBackend) -> None:
    app.conf.result_cache_max = 1
    task = app.signature("task", immutable=True)
    members = group(chain(task, task) for _ in range(5)).apply_async()
    finish(app, worker, members)
    assert members.get(timeout=PATIENCE) == list(range(5))
    assert [member.get(timeout=PATIENCE) for member in members] == list(range(5))


@pytest.mark.parametrize("ends_in", ["chain", "chord"])
def test_what_never_runs_is_told_wherever_messages_are(rabbit_url: str, ends_in: str) -> None:
    with running("memory://answers-elsewhere", f"rpc{rabbit_url.removeprefix('amqp')}") as site:
        bad, last = site.s("flow.fail", kwargs={"label": "bad", "run": "r"}), site.s("idle", immutable=True)
        result = chain(bad, last)() if ends_in == "chain" else chord([bad], last)()
        error = result.get(timeout=PATIENCE, propagate=False)
        assert isinstance(error, ValueError if ends_in == "chain" else ChordError)
        assert result.failed()


def test_threads_and_loops_are_woken(app: Celeriac, worker: RpcBackend) -> None:
    group, crew = sent(app, 50), Crew()

    def wait() -> None:
        assert GroupResult("g", list(group.results), app=app).get(timeout=PATIENCE) == list(range(50))

    async def iterate() -> None:
        arrived = [str(member) async for member in group.aiterate(timeout=PATIENCE)]
        assert sorted(arrived) == sorted(member.id for member in group)

    crew.start(wait)
    crew.start(lambda: asyncio.run(iterate()))
    finish(app, worker, group)
    crew.join()


def test_what_does_not_come(app: Celeriac) -> None:
    with pytest.raises(TimeoutError, match="2 of 2 results"):
        sent(app, 2).get(timeout=0.1)
    foreign = GroupResult("g", [app.AsyncResult("1"), app.AsyncResult("2")], app=app)
    with pytest.raises(TimeoutError, match="only to the process that sent the task"):
        foreign.get(timeout=0.1)


def test_what_is_not_stored_can_not_be_saved(app: Celeriac) -> None:
    group = sent(app, 1)
    with pytest.raises(NotSupported, match=r"group g can not be saved.*redis://"):
        group.save()
    with pytest.raises(NotSupported, match="rpc://"):
        app.GroupResult.restore("g")
    group.delete()
    assert app.backend.chords is None
