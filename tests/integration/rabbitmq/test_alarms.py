"""Alarms for memory and disk space: nobody writes while the server is known to take no messages."""

from __future__ import annotations

import gc
import os
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait

import pytest

from celeriac import Celeriac
from celeriac.brokers.rabbitmq.broker import RabbitBroker
from celeriac.exceptions import OperationalError
from celeriac.storage.rabbitmq.links import Links, Parcel
from servers.rabbitmq import RabbitServer
from servers.tcp_proxy import TcpProxy
from servers.waiting import wait_until

from .links_support import BOUND, MAYBE, TIMEOUT, bodies, depth, fails, linked, parcel

NOTHING = "nothing was sent"


def disk_alarm(server: RabbitServer, on: bool) -> None:
    """Raise or end the alarm for disk space, as the monitor of the disk does."""
    change = "set_alarm" if on else "clear_alarm"
    alarm = "{resource_limit, disk, node()}"
    server.eval(f"rabbit_alarm:{change}({f'{{{alarm}, []}}' if on else alarm})")
    wait_until(lambda: ("disk" in server.eval("rabbit_alarm:get_alarms()")) is on, f"disk alarm: {on}")


@pytest.fixture(autouse=True)
def calm(rabbit_server: RabbitServer) -> Iterator[None]:
    """Whatever fails here, the next test finds no alarm."""
    yield
    rabbit_server.memory_alarm(False)
    disk_alarm(rabbit_server, False)


def named(body: bytes = b"x") -> Parcel:
    """One that can be recognised, as every task's can."""
    return parcel(body=body, correlation_id=uuid.uuid4().hex)


def is_waiting(links: Links, count: int = 1) -> Callable[[], bool]:
    """So many threads wait for the end of an alarm."""
    return lambda: links._alarm._waiting == count


def settled(links: Links, count: int) -> None:
    """The server has read all there was, and that many messages came of it."""
    links.publish([parcel("other")])
    wait_until(lambda: depth(links) >= count, f"{count} messages")
    assert depth(links) == count


@pytest.mark.parametrize("alarm", [RabbitServer.memory_alarm, disk_alarm])
def test_only_the_first_call_writes(
    rabbit_server: RabbitServer, rabbit_url: str, alarm: Callable[[RabbitServer, bool], None]
) -> None:
    with linked(rabbit_url, timeout=TIMEOUT) as links:
        alarm(rabbit_server, True)
        assert MAYBE in fails(links)
        for _ in range(2):
            assert NOTHING in fails(links)
        assert depth(links) == 0
        alarm(rabbit_server, False)
        links.publish([parcel()])
        settled(links, 2)


@pytest.mark.parametrize("dialogues", [False, True])
def test_who_hears_of_it_later_tells_those_who_publish(
    rabbit_server: RabbitServer, rabbit_url: str, dialogues: bool
) -> None:
    """RabbitMQ blocks a connection behind a header. A message without a body is whole by then, and confirmed."""
    with linked(rabbit_url, timeout=TIMEOUT, broker_pool_limit=1) as links:
        links.publish([parcel()])
        rabbit_server.memory_alarm(True)
        links.publish([parcel(body=b"")])
        for _ in range(2):
            if dialogues:
                assert depth(links) == 2
            assert NOTHING in fails(links)
        rabbit_server.memory_alarm(False)
        settled(links, 2)


def test_what_is_confirmed_in_time_has_succeeded(rabbit_server: RabbitServer, rabbit_url: str) -> None:
    with linked(rabbit_url) as links, ThreadPoolExecutor(8) as threads:
        rabbit_server.memory_alarm(True)
        first = threads.submit(links.publish, [parcel()])
        wait_until(lambda: links._alarm.is_on, "it is known")
        others = [threads.submit(links.publish, [parcel()]) for _ in range(7)]
        wait_until(is_waiting(links, 7), "all others wait")
        assert sum(link.connection.blocked is not None for link in links._pool.links()) == 1
        rabbit_server.memory_alarm(False)
        assert [future.result(BOUND) for future in (first, *others)] == [[]] * 8
        settled(links, 8)


def test_the_same_call_again_waits_for_what_it_has_written(rabbit_server: RabbitServer, rabbit_url: str) -> None:
    with linked(rabbit_url, timeout=TIMEOUT) as links, ThreadPoolExecutor(3) as threads:
        parcels = [named(b"1"), named(b"2")]
        rabbit_server.memory_alarm(True)
        assert MAYBE in fails(links, *parcels)
        assert MAYBE in fails(links, *parcels)
        assert NOTHING in fails(links, *parcels[:1])
        same = threads.submit(links.publish, parcels)
        other = threads.submit(links.publish, [named(b"3")])
        wait_until(is_waiting(links, 2), "both wait")
        rabbit_server.memory_alarm(False)
        assert (same.result(BOUND), other.result(BOUND)) == ([], [])
        assert sorted(bodies(links)) == [b"1", b"2", b"3"]
        links.publish(parcels)  # that is a new call
        assert bodies(links) == [b"1", b"2"]


def test_the_same_call_hears_late_what_came_of_it(rabbit_server: RabbitServer, rabbit_url: str) -> None:
    with linked(rabbit_url, timeout=TIMEOUT) as links:
        lost = parcel("nowhere", mandatory=True, message_id="m")
        rabbit_server.memory_alarm(True)
        fails(links, lost)
        rabbit_server.memory_alarm(False)
        assert links.publish([lost]) == [lost]


def test_threads_write_once_each_at_most(rabbit_server: RabbitServer, rabbit_url: str) -> None:
    """Eight threads publish all the time, an alarm comes and goes: each message is there once that was confirmed."""
    with linked(rabbit_url, timeout=TIMEOUT) as links, ThreadPoolExecutor(8) as threads:
        stop, failed = threading.Event(), threading.Barrier(9, timeout=BOUND)

        def publish(name: int) -> tuple[set[bytes], set[bytes]]:
            stored, doubtful, number, has_failed = set[bytes](), set[bytes](), 0, False
            while not stop.is_set():
                body = b"%d-%d" % (name, number)
                number += 1
                try:
                    links.publish([named(body)])
                    stored.add(body)
                except OperationalError as error:
                    if NOTHING not in str(error):
                        doubtful.add(body)
                    if not has_failed:
                        has_failed = True
                        failed.wait()
            return stored, doubtful

        running = [threads.submit(publish, name) for name in range(8)]
        wait_until(lambda: depth(links) > 100, "it goes well")
        rabbit_server.memory_alarm(True)
        failed.wait()
        rabbit_server.memory_alarm(False)
        before = depth(links)
        wait_until(lambda: depth(links) > before + 100, "it goes on")
        stop.set()
        outcomes = [future.result(BOUND) for future in running]
        stored = set[bytes]().union(*(one for one, _ in outcomes))
        doubtful = set[bytes]().union(*(one for _, one in outcomes))
        assert len(doubtful) <= 8
        links.publish([parcel("other")])
        wait_until(lambda: not links._alarm.is_on, "all is read")
        found = bodies(links)
        assert len(found) == len(set(found))
        assert stored <= set(found) <= stored | doubtful


@pytest.mark.parametrize("threads", [1, 8])
def test_delay_sends_each_task_once(rabbit_server: RabbitServer, rabbit_url: str, threads: int) -> None:
    """With the usual policy for tries: four, of which an alarm takes all, or the first ones."""
    app = Celeriac("alarmed", broker=rabbit_url, set_as_current=False)
    app.conf.broker_transport_options = {"confirm_timeout": 0.4}
    app.conf.task_default_queue = "q"

    @app.task(name="noted")
    def noted(word: str) -> None:
        """Never run."""

    def delay(word: str) -> Future[object]:
        return pool.submit(noted.delay, word)

    with linked(rabbit_url) as links, ThreadPoolExecutor(threads) as pool:
        try:
            rabbit_server.memory_alarm(True)
            given_up = [delay(f"given up {number}") for number in range(threads)]
            wait(given_up, BOUND * 2)
            assert all(isinstance(future.exception(0), OperationalError) for future in given_up)
            successes = [delay(f"done {number}") for number in range(threads)]
            assert isinstance(app.broker, RabbitBroker)
            wait_until(is_waiting(app.broker._links, threads), "all wait")
            rabbit_server.memory_alarm(False)
            wait(successes, BOUND)
            assert not any(future.exception(0) for future in successes)
            rabbit_server.memory_alarm(True)
            one = delay("in the middle")
            assert not wait([one], 0.6).done  # its second try has begun
            rabbit_server.memory_alarm(False)
            one.result(BOUND)
            links.publish([parcel("other")])
            found = b"".join(sorted(bodies(links)))
        finally:
            app.close()
    assert [found.count(b"done %d" % number) for number in range(threads)] == [1] * threads
    assert found.count(b"in the middle") == 1
    assert all(found.count(b"given up %d" % number) <= 1 for number in range(threads))


def test_a_large_call_that_is_written_in_part(rabbit_server: RabbitServer, rabbit_url: str) -> None:
    """More than the sockets take: the connection is of no use any more, but it still hears of the alarm's end."""
    with linked(rabbit_url, timeout=TIMEOUT) as links:
        rabbit_server.memory_alarm(True)
        fails(links, named(bytes(40_000_000)))
        assert NOTHING in fails(links)
        rabbit_server.memory_alarm(False)
        links.publish([parcel(body=b"next")])
        assert bodies(links) == [b"next"]


def test_a_lost_connection_is_noticed_by_those_who_wait(rabbit_server: RabbitServer, rabbit_url: str) -> None:
    with TcpProxy(rabbit_server.port) as proxy:
        url = rabbit_url.replace(f":{rabbit_server.port}/", f":{proxy.port}/")
        with linked(url, timeout=TIMEOUT) as links, ThreadPoolExecutor(1) as thread:
            links.publish([parcel()])
            rabbit_server.memory_alarm(True)
            fails(links)
            waiting = thread.submit(links.publish, [parcel()])
            wait_until(is_waiting(links), "it waits")
            assert proxy.cut() >= 1
            rabbit_server.memory_alarm(False)
            assert waiting.result(BOUND) == []
            assert 2 <= depth(links) <= 3  # what was under way may be lost, or come


def test_a_forked_child_waits_for_itself(rabbit_server: RabbitServer, rabbit_url: str) -> None:
    with linked(rabbit_url, timeout=TIMEOUT) as links:
        links.publish([parcel()])
        rabbit_server.memory_alarm(True)
        fails(links)
        child = os.fork()
        if child == 0:
            try:
                says = fails(links)
                links.close()
                gc.collect()
                os._exit(0 if MAYBE in says else 2)
            except BaseException:  # noqa: BLE001 - it must not go on as a second test run
                os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        assert NOTHING in fails(links)
        rabbit_server.memory_alarm(False)
        settled(links, 3)


def test_closing_during_an_alarm(rabbit_server: RabbitServer, rabbit_url: str) -> None:
    with linked(rabbit_url, timeout=TIMEOUT) as links, ThreadPoolExecutor(1) as thread:
        links.publish([parcel()])
        rabbit_server.memory_alarm(True)
        fails(links)
        waiting = thread.submit(links.publish, [parcel()])
        wait_until(is_waiting(links), "it waits")
        links.close()
        with pytest.raises(OperationalError, match=NOTHING):
            waiting.result(BOUND)
        links.close()
        assert not links._alarm._kept
        rabbit_server.memory_alarm(False)
        settled(links, 2)


def test_connections_do_not_stay_behind(rabbit_server: RabbitServer, rabbit_url: str) -> None:
    with linked(rabbit_url, timeout=TIMEOUT) as links:
        for _ in range(3):
            rabbit_server.memory_alarm(True)
            fails(links)
            rabbit_server.memory_alarm(False)
            links.publish([parcel()])
        wait_until(lambda: not links._alarm._kept and len(links._pool.links()) == 1, "one is left")
        assert not links._alarm.is_suspected
