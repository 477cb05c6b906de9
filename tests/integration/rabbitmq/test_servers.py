"""The RabbitMQ nodes of the tests do what the tests rely on."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import amqp
import pytest
from amqp.exceptions import AccessRefused, ConnectionForced, NotAllowed, PreconditionFailed
from scripts.servers import RABBITMQ

import servers.rabbitmq
from servers.amqp_channel import channel, connection_of
from servers.authority import make_certificates
from servers.process import DEADLINE, ServerFailed, free_port
from servers.programs import need_program
from servers.rabbitmq import QueueState, RabbitServer

ROOT = Path(__file__).resolve().parents[3]
QUORUM = {"x-queue-type": "quorum"}


@pytest.fixture(scope="module")
def node() -> Iterator[RabbitServer]:
    """A node that tests here may disturb, if they leave it running."""
    with RabbitServer(consumer_timeout=1.0) as server:
        yield server


def publish(talk: amqp.Channel, queue: str, count: int = 1) -> None:
    for _ in range(count):
        talk.basic_publish(amqp.Message("body", delivery_mode=2), routing_key=queue)


def fill(url: str) -> None:
    """A classic and a quorum queue with a persistent message each."""
    with channel(url) as talk:
        talk.queue_declare("classic", durable=True, auto_delete=False)
        talk.queue_declare("quorum", durable=True, auto_delete=False, arguments=QUORUM)
        publish(talk, "classic")
        publish(talk, "quorum")


def held(server: RabbitServer, vhost: str) -> dict[str, tuple[str, int]]:
    return {name: (state.kind, state.ready) for name, state in server.queues(vhost).items()}


FILLED = {"classic": ("classic", 1), "quorum": ("quorum", 1)}


@pytest.mark.parametrize("number", [1, 2])
def test_each_test_has_a_virtual_host_with_nothing_in_it(
    number: int, rabbit_server: RabbitServer, rabbit_vhost: str, rabbit_url: str
) -> None:
    assert rabbit_url == f"amqp://guest:guest@127.0.0.1:{rabbit_server.port}/{rabbit_vhost}"
    assert rabbit_server.queues(rabbit_vhost) == {}
    fill(rabbit_url)


def test_a_virtual_host_goes_with_its_queues(rabbit_server: RabbitServer) -> None:
    vhost = rabbit_server.add_vhost()
    fill(rabbit_server.url(vhost))
    rabbit_server.remove_vhost(vhost)
    with pytest.raises(NotAllowed), channel(rabbit_server.url(vhost)):
        pass


def test_queues_tell_what_they_hold_now(rabbit_server: RabbitServer, rabbit_vhost: str, rabbit_url: str) -> None:
    fill(rabbit_url)
    with channel(rabbit_url) as talk:
        for name in ("classic", "quorum"):
            publish(talk, name, 2)
            assert talk.basic_get(name) is not None
        talk.basic_qos(0, 1, False)
        talk.basic_consume("quorum", callback=lambda _: None)
        assert rabbit_server.queues(rabbit_vhost) == {
            "classic": QueueState("classic", ready=2, unacknowledged=1, consumers=0),
            "quorum": QueueState("quorum", ready=1, unacknowledged=2, consumers=1),
        }
        assert rabbit_server.connections(rabbit_vhost) == 1


def test_a_user_may_do_what_was_permitted(rabbit_server: RabbitServer, rabbit_vhost: str) -> None:
    rabbit_server.add_user("some/body", "s3:cret")
    url = rabbit_server.url(rabbit_vhost, user="some/body", password="s3:cret")
    with pytest.raises(NotAllowed), channel(url):
        pass
    rabbit_server.permit("some/body", rabbit_vhost, configure="^mine")
    with channel(url) as talk:
        talk.queue_declare("mine")
        with pytest.raises(AccessRefused):
            talk.queue_declare("yours")


def test_rabbitmqctl_and_erlang_reach_the_node(rabbit_server: RabbitServer, rabbit_vhost: str) -> None:
    assert rabbit_vhost in rabbit_server.ctl("list_vhosts").split()
    assert rabbit_server.eval("node()") == "rabbit@localhost"
    with pytest.raises(ServerFailed, match="no_such_command"):
        rabbit_server.ctl("no_such_command")


@pytest.mark.parametrize("end", ["kill", pytest.param("stop", marks=pytest.mark.long)])
def test_it_comes_back_on_its_port_with_its_data(node: RabbitServer, end: str) -> None:
    vhost = node.add_vhost()
    url = node.url(vhost)
    fill(url)
    getattr(node, end)()
    with pytest.raises(ConnectionRefusedError), channel(url):
        pass
    node.restart()
    assert node.url(vhost) == url
    assert held(node, vhost) == FILLED
    fill(url)


def test_the_application_stops_and_starts_alone(node: RabbitServer) -> None:
    vhost, process = node.add_vhost(), node.pid
    fill(node.url(vhost))
    node.stop_app()
    with pytest.raises(ConnectionRefusedError), channel(node.url(vhost)):
        pass
    node.start_app()
    assert node.pid == process
    assert held(node, vhost) == FILLED


def test_a_paused_node_keeps_silent_and_goes_on(node: RabbitServer) -> None:
    node.pause()
    with socket.create_connection(("127.0.0.1", node.port), timeout=DEADLINE) as talk:
        talk.sendall(b"AMQP\x00\x00\x09\x01")
        assert not select.select([talk], [], [], 0.2)[0]
        node.resume()
        assert talk.recv(1) == b"\x01"


def test_a_memory_alarm_blocks_who_publishes(node: RabbitServer) -> None:
    seen: list[str] = []
    with channel(node.url(node.add_vhost()), confirms=False) as talk:
        connection_of(talk).on_blocked = lambda *_: seen.append("blocked")
        connection_of(talk).on_unblocked = lambda *_: seen.append("unblocked")
        node.memory_alarm(True)
        publish(talk, "nowhere")
        connection_of(talk).drain_events(timeout=DEADLINE)
        node.memory_alarm(False)
        connection_of(talk).drain_events(timeout=DEADLINE)
    assert seen == ["blocked", "unblocked"]


def test_all_connections_are_closed_at_once(node: RabbitServer) -> None:
    with channel(node.url()) as first, channel(node.url()) as second:
        assert node.close_all_connections("for a test") == 2
        for talk in (first, second):
            with pytest.raises(ConnectionForced, match="for a test"):
                connection_of(talk).drain_events(timeout=DEADLINE)


def test_an_unsettled_delivery_closes_its_channel_after_the_timeout(node: RabbitServer) -> None:
    with channel(node.url()) as talk:
        talk.queue_declare("queue", durable=True, auto_delete=False, arguments=QUORUM)
        publish(talk, "queue")
        talk.basic_consume("queue", callback=lambda _: None)
        connection_of(talk).drain_events(timeout=DEADLINE)  # the delivery
        with pytest.raises(PreconditionFailed, match="delivery acknowledgement on channel 1 timed out"):
            connection_of(talk).drain_events(timeout=DEADLINE)


@pytest.mark.long
def test_tls_is_spoken_to_who_shows_a_certificate(tmp_path: Path) -> None:
    files = make_certificates(tmp_path / "authority", clients_need_one=True)
    with RabbitServer(tls=files) as server:
        url = server.url()
        assert url == f"amqps://guest:guest@127.0.0.1:{server.port}//"
        with channel(url, tls=files) as talk:
            talk.queue_declare("queue")
        with pytest.raises(OSError), channel(url):  # noqa: PT011 (how it is cut depends on the moment)
            pass


@pytest.mark.long
def test_a_taken_port_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        ports = [stranger.getsockname()[1]]
        monkeypatch.setattr(servers.rabbitmq, "free_port", lambda: ports.pop() if ports else free_port())
        with RabbitServer() as server:
            assert server.port != stranger.getsockname()[1]
            assert server.connections("/") == 0


@pytest.mark.long
def test_a_node_that_does_not_start_shows_its_log() -> None:
    with pytest.raises(ServerFailed, match="no_such_setting"):
        RabbitServer(config={"no_such_setting": "1"}).__enter__()


def descendants(ancestor: int) -> dict[str, list[int]]:
    """The processes that one has started, and those that they have started, by the name of their program."""
    parents: dict[int, tuple[int, str]] = {}
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):  # it has just ended
            about = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
            parents[int(about["Pid"])] = int(about["PPid"]), about["Name"]
    found: dict[str, list[int]] = {}
    family = {ancestor}
    while new := {pid for pid, (parent, _) in parents.items() if parent in family} - family:
        family |= new
    for pid in family - {ancestor}:
        found.setdefault(parents[pid][1], []).append(pid)
    return found


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="only Linux tells a process of its parent's death")
def test_all_processes_of_a_node_end_when_the_test_process_is_killed() -> None:
    need_program(RABBITMQ)
    program = "from servers.rabbitmq import RabbitServer; s = RabbitServer().start(); print(s.pid, flush=True); input()"
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())  # nobody is left to remove the node's
        tests = subprocess.Popen(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", "TMPDIR": folder},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        stack.enter_context(tests)
        stack.callback(tests.kill)
        assert tests.stdout is not None
        tests.stdout.readline()
        found = descendants(tests.pid)
        assert {"beam.smp", "epmd", "erl_child_setup"} <= found.keys()
        handles = [os.pidfd_open(pid) for pids in found.values() for pid in pids]
        for handle in handles:
            stack.callback(os.close, handle)
        tests.kill()
        for handle in handles:
            assert select.select([handle], [], [], DEADLINE)[0], "a process of the node outlives its test process"
