"""A real worker that loses its connection, a channel, a queue, what waits in it, or its permissions. The server lives.

What runs meanwhile goes on; when its message comes back to the same worker, it is not run again.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from celeriac.exceptions import OperationalError
from integration.worker.conftest import DEADLINE, wait_until
from servers.amqp_channel import channel
from servers.amqp_proxy import AmqpPoint, AmqpProxy, method
from servers.erlang import quoted
from servers.redis import RedisServer

from .conftest import Place, StartBench
from .worker_support import complaints, each_ran_once, noticed, patiently, quiet, works_again

QUEUES = ("celery", "celeriac.suspects.celery")
#: Acknowledges over the channels that consume what they were not sent, as if their client had done it.
#: For the consuming channels of one virtual host; those of other tests may be ending.
_CHANNEL_ERROR = """
[gen_server2:cast(C, {method, {'basic.ack', 4711, false}, none, noflow}) || C <- rabbit_channel:list(),
  [{consumer_count, N}, {vhost, V}] <- [catch rabbit_channel:info(C, [consumer_count, vhost])], N > 0, V =:= <<"%s">>]
"""


@pytest.fixture
def proxy(place: Place) -> Iterator[AmqpProxy]:
    """Before the shared node."""
    with AmqpProxy(place.server.port) as running:
        yield running


def through(proxy: AmqpProxy, place: Place) -> str:
    """The URL that leads through the proxy."""
    return place.url.replace(f":{place.server.port}/", f":{proxy.port}/")


def delete_queues(place: Place) -> None:
    with channel(place.url) as talk:
        for name in QUEUES:
            talk.queue_delete(name)


@pytest.mark.parametrize("backend", ["sqlite", "redis", "rpc"])
@pytest.mark.parametrize("kind", ["quorum", pytest.param("classic", marks=pytest.mark.long)])
def test_what_runs_while_the_connection_is_lost_runs_once(
    place: Place, proxy: AmqpProxy, bench_at: StartBench, redis_server: RedisServer, kind: str, backend: str
) -> None:
    url = {"redis": redis_server.url(), "rpc": "rpc://"}.get(backend)
    settings = {"result_backend": url} if url else {}
    bench = bench_at(place.url, task_default_queue_type=kind, task_create_missing_queue_type=kind, **settings)
    worker = bench.start("-c", "2", CELERIAC_TEST_BROKER=through(proxy, place))
    results = [bench.tasks.gated.apply_async((name,), link=bench.tasks.noted.si(name)) for name in "ab"]
    for name in "ab":
        bench.pid_of(f"begin-{name}")
    assert proxy.cut()
    wait_until(lambda: place.held() == 2, "the worker has got both back")
    bench.open("a")
    assert results[0].get(timeout=DEADLINE) == "a"
    each_ran_once(bench, ["a"])
    wait_until(lambda: place.held() == 1, "what follows was confirmed: it comes twice, if a connection is cut before")
    proxy.refuse()
    proxy.cut()
    noticed(worker)
    bench.open("b")
    wait_until(lambda: bench.count("end-b"), "it ends while the server is out of reach")
    proxy.admit()
    assert results[1].get(timeout=DEADLINE) == "b"
    each_ran_once(bench, ["a", "b"])
    wait_until(place.is_worked_off, "all is settled")
    assert [bench.count(f"begin-{name}") for name in "ab"] == [1, 1]
    quiet(worker)


@pytest.mark.parametrize("kind", ["quorum", pytest.param("classic", marks=pytest.mark.long)])
def test_connections_that_the_server_closes_under_load(place: Place, bench_at: StartBench, kind: str) -> None:
    bench = bench_at(place.url, task_default_queue_type=kind, task_create_missing_queue_type=kind)
    worker = bench.start("-c", "2")
    names = []
    for number in range(4):
        batch = [f"{number}-{one}" for one in range(100)]
        for name in batch:
            bench.tasks.noted.delay(name)
        bench.pid_of(f"ran-{batch[10]}")
        place.server.close_all_connections()
        names += batch
    works_again(bench, "connections were closed")
    each_ran_once(bench, names, timeout=60.0)  # 400 tasks and four connections that begin anew, on a busy machine
    wait_until(place.is_worked_off, "all is settled")
    assert "Traceback" not in worker.log


@pytest.mark.parametrize("point", [AmqpPoint.CUT_BEFORE, AmqpPoint.CUT_AFTER], ids=["before", "after"])
def test_connections_cut_at_methods(place: Place, proxy: AmqpProxy, bench_at: StartBench, point: AmqpPoint) -> None:
    bench = bench_at(place.url)
    worker = bench.start("-c", "2", CELERIAC_TEST_BROKER=through(proxy, place))
    cuts = [
        method("basic.ack", way="requests"),
        method("basic.deliver"),
        method("basic.publish"),
        method("basic.ack", way="replies"),
        method("basic.consume"),
        method("queue.declare"),
        method("basic.get-empty"),
    ]
    names = []
    for number, at in enumerate(cuts):
        cut = proxy.at(at, point)
        batch = [f"{number}-{one}" for one in range(10)]
        for name in batch:
            bench.tasks.noted.apply_async((name,), link=bench.tasks.noted.si(f"{name}-next"))
        names += batch
        if number < 4:
            cut.wait(DEADLINE)
        else:
            proxy.cut()  # what is said when it comes back
            cut.wait(DEADLINE)
    each_ran_once(bench, names)
    # What follows comes twice when its confirm was lost.
    wait_until(lambda: all(bench.count(f"ran-{name}-next") for name in names), "all that follows has run")
    wait_until(place.is_worked_off, "all is settled")
    assert "Traceback" not in worker.log


def test_a_second_run_elsewhere_does_not_change_the_result(
    place: Place, proxy: AmqpProxy, bench_at: StartBench
) -> None:
    bench = bench_at(place.url)
    cut_off = bench.start("-c", "1", "-n", "first@%h", CELERIAC_TEST_BROKER=through(proxy, place))
    result = bench.tasks.gated_each.delay("twice")
    first = bench.pid_of("begin-twice")
    proxy.refuse()
    proxy.cut()
    bench.start("-c", "1", "-n", "second@%h")
    wait_until(lambda: bench.count("begin-twice") == 2, "it runs elsewhere")
    second = bench.pid_of("begin-twice")
    bench.open(f"twice-{second}")
    assert result.get(timeout=DEADLINE) == second
    wait_until(place.is_worked_off, "all is settled")
    bench.open(f"twice-{first}")
    wait_until(lambda: bench.count("end-twice") == 2, "the first run has ended")
    proxy.admit()
    wait_until(lambda: "Work goes on" in cut_off.log, "the first worker is back")
    assert bench.tasks.app.AsyncResult(result.id).get(timeout=DEADLINE) == second


def test_a_channel_error(place: Place, bench_at: StartBench) -> None:
    bench = bench_at(place.url)
    worker = bench.start("-c", "2")
    result = bench.tasks.gated.delay("during")
    bench.pid_of("begin-during")
    names = [str(number) for number in range(50)]
    for name in names:
        bench.tasks.noted.delay(name)
    # Again until it is heard: a consumer that is being replaced just now takes it with it.
    wait_until(
        lambda: place.server.eval(_CHANNEL_ERROR % place.vhost) and "unknown delivery tag" in worker.log,
        "the worker has heard of it",
    )
    works_again(bench, "a channel error")
    bench.open("during")
    assert result.get(timeout=DEADLINE) == "during"
    each_ran_once(bench, names)
    wait_until(place.is_worked_off, "all is settled")
    assert bench.count("begin-during") == 1
    quiet(worker)


@pytest.mark.parametrize("kind", ["quorum", pytest.param("classic", marks=pytest.mark.long)])
def test_deleted_queues_are_there_again(place: Place, bench_at: StartBench, kind: str) -> None:
    bench = bench_at(place.url, task_default_queue_type=kind, task_create_missing_queue_type=kind)
    worker = bench.start("-c", "2")
    result = bench.tasks.gated.delay("during")
    bench.pid_of("begin-during")
    delete_queues(place)
    works_again(bench, "queues were deleted")
    bench.open("during")
    assert result.get(timeout=DEADLINE) == "during"
    works_again(bench, "what had run was settled")
    wait_until(lambda: place.queues().keys() >= set(QUEUES), "both are there")
    assert {place.queues()[name].kind for name in QUEUES} == {kind}
    wait_until(place.is_worked_off, "all is settled")
    assert bench.count("begin-during") == 1
    quiet(worker)


def test_a_purged_queue(place: Place, bench_at: StartBench) -> None:
    bench = bench_at(place.url)
    worker = bench.start("-c", "1")
    result = bench.tasks.gated.delay("during")
    bench.pid_of("begin-during")
    for number in range(1000):
        bench.tasks.noted.delay(str(number))
    with channel(place.url) as talk:
        talk.queue_purge("celery")
    bench.open("during")
    assert result.get(timeout=DEADLINE) == "during"
    works_again(bench, "a purge")
    wait_until(place.is_worked_off, "all is settled")
    assert bench.count("begin-during") == 1
    assert sum(name.startswith("ran-") for name, _ in bench.events()) < 100
    assert complaints(worker) == []


@pytest.mark.parametrize("left", ["nothing", "the virtual host"])
def test_permissions_taken_away_and_given_back(place: Place, bench_at: StartBench, left: str) -> None:
    server, vhost = place
    user = f"worker-{vhost}"
    server.add_user(user, "secret")
    server.permit(user, vhost)
    bench = bench_at(place.url)
    worker = bench.start("-c", "1", CELERIAC_TEST_BROKER=server.url(vhost, user=user, password="secret"))
    result = bench.tasks.gated.delay("during")
    bench.pid_of("begin-during")
    if left == "nothing":
        words = ", ".join(quoted(word) for word in (user, vhost, "tests"))
        server.eval(f"rabbit_auth_backend_internal:clear_permissions({words})")
    else:
        server.permit(user, vhost, configure="^$", write="^$", read="^$")
    server.close_all_connections()
    noticed(worker)
    bench.open("during")
    wait_until(lambda: bench.count("end-during"), "it ends meanwhile")
    server.permit(user, vhost)
    works_again(bench, "permissions were given back")
    assert result.get(timeout=DEADLINE) == "during"
    wait_until(place.is_worked_off, "all is settled")
    assert bench.count("begin-during") == 1
    assert "set_permissions" in worker.log
    assert "secret" not in worker.log
    quiet(worker)
    assert patiently(lambda: bench.tasks.add.delay(1, 1)).get(timeout=DEADLINE) == 2


def test_a_caller_without_permission_is_told(place: Place, bench_at: StartBench) -> None:
    server, vhost = place
    user = f"reader-{vhost}"
    server.add_user(user, "secret")
    server.permit(user, vhost, configure="^$", write="^$")
    bench = bench_at(server.url(vhost, user=user, password="secret"))
    with pytest.raises(OperationalError, match="set_permissions"):
        bench.tasks.add.apply_async((1, 1), retry=False)
