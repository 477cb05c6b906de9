"""The servers of the tests do what the tests rely on."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path

import pytest
from redis.exceptions import AuthenticationError, ConnectionError, TimeoutError  # noqa: A004
from scripts.servers import REDIS

from servers.process import DEADLINE
from servers.programs import need_program
from servers.redis import RedisServer

ROOT = Path(__file__).resolve().parents[3]


def test_the_shared_server_is_empty_at_the_start_of_a_test(redis_server: RedisServer, redis_url: str) -> None:
    assert redis_url == f"redis://127.0.0.1:{redis_server.port}/0"
    redis_server.call("SET", "key", "value", db=3)
    assert redis_server.call("GET", "key", db=3) == b"value"
    assert redis_server.call("DBSIZE") == 0


def test_a_killed_server_comes_back_on_its_port_with_its_data(own_redis: RedisServer) -> None:
    own_redis.call("SET", "key", "value")
    url = own_redis.url()
    own_redis.kill()
    with pytest.raises(ConnectionError):
        own_redis.call("PING")
    own_redis.restart()
    assert own_redis.url() == url
    assert own_redis.call("GET", "key") == b"value"


def test_a_paused_server_keeps_silent_and_goes_on(own_redis: RedisServer) -> None:
    with own_redis.connection() as connection:
        assert connection.call("PING") == b"PONG"
        own_redis.pause()
        connection.send("PING")
        with pytest.raises(TimeoutError):
            connection.read(within=0.2)
    own_redis.resume()
    assert own_redis.call("PING") == b"PONG"


def test_a_password_is_in_the_url_and_needed() -> None:
    with RedisServer(password="s3/cret") as server:
        assert server.url(2) == f"redis://:s3%2Fcret@127.0.0.1:{server.port}/2"
        assert server.call("PING") == b"PONG"
        server._password = None
        with pytest.raises(AuthenticationError):
            server.call("PING")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its parent's death")
def test_a_server_ends_when_the_test_process_is_killed() -> None:
    need_program(REDIS)
    program = "from servers.redis import RedisServer; s = RedisServer().start(); print(s.pid, flush=True); input()"
    tests = subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with tests:
        assert tests.stdout is not None
        server = os.pidfd_open(int(tests.stdout.readline()))
        try:
            tests.kill()
            assert select.select([server], [], [], DEADLINE)[0], "the server outlives its test process"
        finally:
            os.close(server)
