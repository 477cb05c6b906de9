"""Waiting for results when Redis goes away, hangs or cuts the line, and when very many wait."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from functools import partial

import pytest

from celeriac.backends.redis import RedisBackend, hub
from celeriac.exceptions import BackendError, OperationalError
from celeriac.testing.conformance.support import Crew, in_loop, state
from servers.redis import RedisServer

from .results_support import PATIENCE, connections, done, listeners, make_backend, until, wait_in_thread

SHORT = {"socket_timeout": 1.0, "socket_connect_timeout": 1.0}


@pytest.fixture
def backend(redis_url: str) -> Iterator[RedisBackend]:
    made = make_backend(redis_url)
    yield made
    made.disconnect()


@pytest.fixture
def fragile(own_redis: RedisServer) -> Iterator[RedisBackend]:
    """On a server that the test may kill."""
    made = make_backend(own_redis.url(), transport=SHORT)
    yield made
    made.disconnect()


async def until_listening(backend: RedisBackend, task_id: str, count: int = 1) -> None:
    await asyncio.to_thread(until, lambda: listeners(backend, task_id) == count)


def is_heard(backend: RedisBackend, task_id: str) -> bool:
    return listeners(backend, task_id) == 1


def kill_listeners(server: RedisServer) -> None:
    assert server.call("CLIENT", "KILL", "TYPE", "pubsub") > 0


class TestOutages:
    def test_a_thread_waits_through_a_restart(self, own_redis: RedisServer, fragile: RedisBackend) -> None:
        crew = wait_in_thread(fragile, "a")
        until(lambda: listeners(fragile, "a") == 1)
        own_redis.kill()
        own_redis.restart()
        until(lambda: listeners(fragile, "a") == 1)
        fragile.store([done("a")])
        crew.join()

    @in_loop
    async def test_coroutines_wait_through_a_restart(self, own_redis: RedisServer, fragile: RedisBackend) -> None:
        tasks = [asyncio.create_task(fragile.await_ready(f"t{n}", PATIENCE)) for n in range(100)]
        await until_listening(fragile, "t99")
        await asyncio.to_thread(own_redis.kill)
        await asyncio.to_thread(own_redis.restart)
        await asyncio.to_thread(make_backend(own_redis.url()).store, [done(f"t{n}") for n in range(50)])
        await until_listening(fragile, "t99")
        await fragile.astore([done(f"t{n}") for n in range(50, 100)])
        assert await asyncio.gather(*tasks) == [done(f"t{n}") for n in range(100)]

    @in_loop
    async def test_a_server_that_stands_still_and_goes_on(self, own_redis: RedisServer, fragile: RedisBackend) -> None:
        crew = wait_in_thread(fragile, "a")
        waiting_one = asyncio.create_task(fragile.await_ready("a", PATIENCE))
        await until_listening(fragile, "a", 2)
        own_redis.pause()
        await asyncio.sleep(2.5)  # longer than any of the socket timeouts
        own_redis.resume()
        await asyncio.to_thread(make_backend(own_redis.url()).store, [done("a")])
        assert await waiting_one == done("a")
        await asyncio.to_thread(crew.join)

    def test_a_thread_does_not_wait_for_ever_for_the_server(self, own_redis: RedisServer) -> None:
        backend = make_backend(own_redis.url(), transport=SHORT, patience=0.5)
        own_redis.kill()
        started = time.monotonic()
        with pytest.raises(OperationalError, match="can not reach redis://"):
            backend.wait_ready("a", PATIENCE)
        assert 0.5 <= time.monotonic() - started < 5

    @in_loop
    async def test_nor_does_a_coroutine(self, own_redis: RedisServer) -> None:
        backend = make_backend(own_redis.url(), transport=SHORT, patience=0.5)
        waiting_one = asyncio.create_task(backend.await_ready("a", PATIENCE))
        await until_listening(backend, "a")
        own_redis.kill()
        started = time.monotonic()
        with pytest.raises(OperationalError, match="can not reach redis://"):
            await waiting_one
        assert 0.5 <= time.monotonic() - started < 5

    @in_loop
    async def test_an_outage_at_the_end_of_the_wait_is_told(
        self, own_redis: RedisServer, fragile: RedisBackend
    ) -> None:
        own_redis.kill()
        with pytest.raises(OperationalError):
            fragile.wait_ready("a", 0.2)
        with pytest.raises(OperationalError):
            await fragile.await_ready("a", 0.2)

    def test_a_warm_connection_that_was_lost_is_no_error(self, own_redis: RedisServer, fragile: RedisBackend) -> None:
        fragile.store([done("a")])
        for _ in range(3):
            assert fragile.wait_ready("a", PATIENCE) == done("a")
            own_redis.kill()
            own_redis.restart()


class TestLostConnections:
    def test_a_thread_whose_connection_is_killed(self, redis_server: RedisServer, backend: RedisBackend) -> None:
        for name in "ab":
            crew = wait_in_thread(backend, name)
            until(partial(is_heard, backend, name))
            kill_listeners(redis_server)
            until(partial(is_heard, backend, name))
            backend.store([done(name)])
            crew.join()

    @in_loop
    async def test_a_hub_whose_connection_is_killed(self, redis_server: RedisServer, backend: RedisBackend) -> None:
        for name in "ab":
            waiting_one = asyncio.create_task(backend.await_ready(name, PATIENCE))
            await until_listening(backend, name)
            kill_listeners(redis_server)
            await until_listening(backend, name)
            backend.store([done(name)])
            assert await waiting_one == done(name)

    @in_loop
    async def test_all_connections_are_killed_again_and_again(
        self, redis_server: RedisServer, backend: RedisBackend
    ) -> None:
        crew = wait_in_thread(backend, "a")
        waiting_one = asyncio.create_task(backend.await_ready("a", PATIENCE))
        for _ in range(5):
            await until_listening(backend, "a", 2)
            redis_server.call("CLIENT", "KILL", "SKIPME", "yes")
        redis_server.call("SET", "celery-task-meta-a", done("a").meta)
        assert await waiting_one == done("a")
        await asyncio.to_thread(crew.join)

    @in_loop
    async def test_what_is_stored_and_not_published_is_found(
        self, redis_server: RedisServer, backend: RedisBackend
    ) -> None:
        crew = wait_in_thread(backend, "a")
        waiting_one = asyncio.create_task(backend.await_ready("a", PATIENCE))
        await until_listening(backend, "a", 2)
        redis_server.call("SET", "celery-task-meta-a", done("a").meta)
        assert await waiting_one == done("a")
        await asyncio.to_thread(crew.join)

    @in_loop
    async def test_what_is_published_is_not_believed_blindly(
        self, redis_server: RedisServer, backend: RedisBackend
    ) -> None:
        crew = wait_in_thread(backend, "a")
        waiting_one = asyncio.create_task(backend.await_ready("a", PATIENCE))
        await until_listening(backend, "a", 2)
        for payload in (b"", b"garbage", b"\xff\x00", b"{}", state("a", "STARTED").meta):
            redis_server.call("PUBLISH", "celery-task-meta-a", payload)
        backend.store([done("a")])
        assert await waiting_one == done("a")
        await asyncio.to_thread(crew.join)

    @in_loop
    async def test_garbage_under_the_key_is_told_to_who_waits(
        self, redis_server: RedisServer, backend: RedisBackend
    ) -> None:
        waiting_one = asyncio.create_task(backend.await_ready("a", PATIENCE))
        await until_listening(backend, "a")
        redis_server.call("SET", "celery-task-meta-a", "garbage")
        with pytest.raises(BackendError, match="a stored result can not be read"):
            await waiting_one
        with pytest.raises(BackendError, match="a stored result can not be read"):
            await backend.await_ready("a", PATIENCE)


class TestCrowds:
    @in_loop
    async def test_thousands_wait_on_one_connection(self, redis_server: RedisServer, backend: RedisBackend) -> None:
        before = connections(redis_server)
        tasks = [asyncio.create_task(backend.await_ready(f"t{n}", PATIENCE)) for n in range(3000)]
        await until_listening(backend, "t2999")
        assert connections(redis_server) <= before + 2  # one listens, one asks
        await backend.astore([done(f"t{n}") for n in range(3000)])
        assert await asyncio.gather(*tasks) == [done(f"t{n}") for n in range(3000)]
        await asyncio.to_thread(until, lambda: redis_server.call("PUBSUB", "CHANNELS") == [])

    def test_more_threads_wait_than_there_are_connections(self, redis_server: RedisServer, redis_url: str) -> None:
        backend = make_backend(redis_url, transport={"max_connections": 3})
        before, crew, ready = connections(redis_server), Crew(), threading.Barrier(21)

        def wait(n: int) -> None:
            ready.wait(PATIENCE)
            assert backend.wait_ready(f"t{n}", PATIENCE) == done(f"t{n}")

        for n in range(20):
            crew.start(partial(wait, n))
        ready.wait(PATIENCE)
        until(lambda: len(redis_server.call("PUBSUB", "CHANNELS")) == 3)
        make_backend(redis_url).store([done(f"t{n}") for n in range(20)])
        crew.join()
        assert connections(redis_server) <= before + 3 + 3 + 1
        backend.disconnect()

    def test_who_waits_while_others_disconnect_goes_on(self, redis_server: RedisServer, redis_url: str) -> None:
        before, backend = connections(redis_server), make_backend(redis_url)
        crew = wait_in_thread(backend, "a")
        until(lambda: listeners(backend, "a") == 1)
        backend.disconnect()
        make_backend(redis_url).store([done("a")])
        crew.join()
        until(lambda: connections(redis_server) <= before + 1)

    @in_loop
    async def test_so_does_a_coroutine(self, redis_server: RedisServer, redis_url: str) -> None:
        before, backend = connections(redis_server), make_backend(redis_url)
        waiting_one = asyncio.create_task(backend.await_ready("a", PATIENCE))
        await until_listening(backend, "a")
        backend.disconnect()
        await asyncio.to_thread(backend.store, [done("a")])
        assert await waiting_one == done("a")
        backend.disconnect()
        await asyncio.to_thread(until, lambda: connections(redis_server) == before)
        assert await backend.await_ready("a", PATIENCE) == done("a")
        backend.disconnect()

    @in_loop
    async def test_an_idle_hub_hangs_up(
        self, redis_server: RedisServer, backend: RedisBackend, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(hub, "_LOOK_INTERVAL", 0.01)
        monkeypatch.setattr(hub, "_IDLE_LOOKS", 3)
        before = connections(redis_server)
        assert await backend.await_ready("a", 0.01) is None
        await asyncio.to_thread(until, lambda: connections(redis_server) <= before + 1)
        waiting_one = asyncio.create_task(backend.await_ready("a", PATIENCE))
        await until_listening(backend, "a")
        await backend.astore([done("a")])
        assert await waiting_one == done("a")

    @in_loop
    async def test_a_connection_that_falls_silent_is_made_anew(
        self, own_redis: RedisServer, fragile: RedisBackend, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(hub, "_LOOK_INTERVAL", 0.05)
        monkeypatch.setattr(hub, "_MOST_SILENT_LOOKS", 2)
        waiting_one = asyncio.create_task(fragile.await_ready("a", PATIENCE))
        await until_listening(fragile, "a")
        first = own_redis.call("CLIENT", "LIST", "TYPE", "pubsub").split()[0]
        own_redis.pause()
        await asyncio.sleep(0.5)  # several looks, all of them silent
        own_redis.resume()
        await until_listening(fragile, "a")
        assert own_redis.call("CLIENT", "LIST", "TYPE", "pubsub").split()[0] != first
        await fragile.astore([done("a")])
        assert await waiting_one == done("a")
