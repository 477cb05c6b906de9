"""Results by reply queue from real workers: every way in which a task can end is told to who sent it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from celeriac import Celeriac
from celeriac.exceptions import TimeLimitExceeded, TimeoutError, WorkerLostError  # noqa: A004 - Celery's name
from servers.rabbitmq import RabbitServer

from .reply_app import make_app
from .rpc_support import PATIENCE, running_worker


@pytest.fixture(scope="module", params=["sqlite", "amqp"])
def app(
    request: pytest.FixtureRequest, rabbit_server: RabbitServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Celeriac]:
    """An app with a worker: results go over the broker's RabbitMQ, or over one beside another broker."""
    folder, vhost = tmp_path_factory.mktemp("replies"), rabbit_server.add_vhost()
    url = rabbit_server.url(vhost)
    broker, backend = url, "rpc://"
    if request.param == "sqlite":
        broker, backend = f"sqlite:///{folder / 'queue.sqlite3'}", url.replace("amqp:", "rpc:")
    with running_worker(folder, broker, backend), make_app(broker, backend) as made:
        yield made
    rabbit_server.remove_vhost(vhost)


def test_success(app: Celeriac) -> None:
    result = app.tasks["replies.add"].delay(2, 3)
    assert result.get(timeout=PATIENCE) == 5
    assert (result.state, result.children) == ("SUCCESS", [])


def test_failure(app: Celeriac) -> None:
    result = app.tasks["replies.fail"].delay()
    with pytest.raises(ValueError, match="as asked"):
        result.get(timeout=PATIENCE)
    assert result.traceback is not None


def test_retry_and_states_of_its_own(app: Celeriac) -> None:
    assert app.tasks["replies.again"].delay().get(timeout=PATIENCE) == 1
    assert app.tasks["replies.progress"].delay().get(timeout=PATIENCE) == "finished"


def test_what_the_supervisor_reports(app: Celeriac) -> None:
    with pytest.raises(TimeLimitExceeded):
        app.tasks["replies.nap"].delay().get(timeout=PATIENCE)
    with pytest.raises(WorkerLostError):
        app.tasks["replies.die"].delay().get(timeout=PATIENCE)
    unknown = app.send_task("replies.nobody_knows_it")
    with pytest.raises(Exception, match="nobody_knows_it"):
        unknown.get(timeout=PATIENCE)


def test_results_of_links_come_to_the_first_sender(app: Celeriac) -> None:
    add = app.tasks["replies.add"]
    result = add.apply_async((2, 3), link=add.s(10))
    assert result.get(timeout=PATIENCE) == 5
    assert result.children is not None
    assert result.children[0].get(timeout=PATIENCE) == 15


def test_a_task_asks_for_results_of_its_own(app: Celeriac) -> None:
    assert app.tasks["replies.ask_for"].delay(2, 3).get(timeout=PATIENCE) == 5
    assert app.tasks["replies.many"].delay(50).get(timeout=PATIENCE) == sum(range(50)) + 50


def test_asyncio(app: Celeriac) -> None:
    async def ask() -> None:
        sent = await app.apublish_many(app.tasks["replies.add"].s(n, 1) for n in range(300))
        assert await asyncio.gather(*(one.aget(timeout=PATIENCE) for one in sent)) == [n + 1 for n in range(300)]
        assert await sent[0].astate() == "SUCCESS"

    asyncio.run(ask())


def test_many(app: Celeriac) -> None:
    sent = app.publish_many(app.tasks["replies.add"].s(n, 1) for n in range(2000))
    assert [one.get(timeout=PATIENCE) for one in sent] == [n + 1 for n in range(2000)]


def test_what_is_not_wanted_is_not_waited_for(app: Celeriac) -> None:
    result = app.tasks["replies.add"].apply_async((1, 1), ignore_result=True)
    assert result.get(timeout=PATIENCE) is None


def test_another_process_asks_in_vain(app: Celeriac) -> None:
    with pytest.raises(TimeoutError, match="only to the process that sent the task"):
        app.AsyncResult("of another process").get(timeout=0.1)
    with pytest.raises(TimeoutError, match="state PENDING"):
        app.AsyncResult("of another process").get(timeout=0.1)
