"""A private RabbitMQ node: its configuration, its URL, and what tests do to it and ask it past Celeriac.

Its name server (epmd), cookie, ports and data are its own, so that it meets no other node of this machine.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import secrets
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self
from urllib.parse import quote

from scripts.servers import EPMD, RABBITMQ, RABBITMQ_CONTROL

from .erlang import ErlangError, Evaluator, quoted
from .process import DEADLINE, ServerFailed, ServerProcess, free_port
from .programs import need_program
from .tls import Tls
from .waiting import wait_until

#: Seconds for a node to start: several times what it takes on two busy cores.
START_DEADLINE: Final = 60.0
#: Who is logged by the node as having done something.
_ACTOR: Final = '<<"tests">>'
_NODE: Final = "rabbit@localhost"
_PORT_TAKEN: Final = ("eaddrinuse", "in use by another", "dist_port_already_used")
# What a quorum queue tells of itself is up to 5 s old, so its leader is asked. Whoever has got a message with basic.get
# is one of its consumers until that is settled, but without a word on acknowledgements.
_QUEUE_CHANGES: Final = ("no_leader", "noproc", "{exit,{normal,", "{exit,{shutdown,")
_QUEUES: Final = """
rabbit_json:encode([begin
  {resource, _, queue, Name} = amqqueue:get_name(Q),
  Kind = amqqueue:get_type(Q),
  [{messages_ready, R}, {messages_unacknowledged, U}] =
    rabbit_amqqueue:info(Q, [messages_ready, messages_unacknowledged]),
  {Ready, Held} = case Kind of
    rabbit_quorum_queue ->
      Count = fun(S) -> {rabbit_fifo:query_messages_ready(S), rabbit_fifo:query_messages_checked_out(S)} end,
      case ra:consistent_query(amqqueue:get_pid(Q), Count, 500) of {ok, Counts, _} -> Counts; _ -> throw(no_leader) end;
    _ -> {R, U}
  end,
  Consumers = [C || C <- rabbit_amqqueue:consumers(Q), is_boolean(element(3, C))],
  [Name, atom_to_binary(Kind), Ready, Held, length(Consumers)]
end || Q <- rabbit_amqqueue:list(VHOST)])
"""


class QueueState(NamedTuple):
    """What a queue holds now."""

    #: `classic`, `quorum` or `stream`.
    kind: str
    ready: int
    #: Delivered and not settled.
    unacknowledged: int
    consumers: int


class RabbitServer:
    """A node on free loopback ports, in a temporary folder; runs from the start of the block to its end.

    Args:
        tls: speak TLS, and nothing else, on the port.
        consumer_timeout: seconds that a delivery may stay unsettled before its channel is closed. The node looks after
            it four times within that time, instead of once a minute.
        config: more lines of rabbitmq.conf, by name; they replace those that are there.
        settings: more settings of the application `rabbit` as in advanced.config, by name, the values in Erlang's
            notation.

    Raises:
        ServerFailed: it does not answer within `START_DEADLINE` seconds; the end of its log is in the text.

    Example:
        with RabbitServer(consumer_timeout=5.0) as server:
            url = server.url(server.add_vhost())
            ...
            server.kill()
            server.restart()
    """

    def __init__(
        self,
        *,
        tls: Tls | None = None,
        consumer_timeout: float | None = None,
        config: Mapping[str, str] | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._program = need_program(RABBITMQ)
        self._control = need_program(RABBITMQ_CONTROL)
        self._temporary = tempfile.TemporaryDirectory(prefix="rabbitmq-", ignore_cleanup_errors=True)
        self.folder = Path(self._temporary.name)
        self._tls = tls
        self._config = dict(config or {})
        self._settings = dict(settings or {})
        if consumer_timeout is not None:
            self._config["consumer_timeout"] = str(round(consumer_timeout * 1000))
            self._settings["channel_tick_interval"] = str(round(consumer_timeout * 250))
        self._evaluator = Evaluator(self.folder / "control")
        self._environment: dict[str, str] = {}
        self._names = itertools.count(1)
        self.port = 0
        local = ("-kernel", "inet_dist_use_interface", "{127,0,0,1}")
        command = [self._program, *local, *self._evaluator.arguments]
        self._process = ServerProcess(command, self.folder, environment=self._environment)
        self._epmd: ServerProcess | None = None

    # -- its life ------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Start it for the first time; other ports are tried when somebody else was faster."""
        for _ in range(5):
            self.port = free_port()
            self._write_files()
            self._start_epmd()
            if self._start_here():
                return self
        raise ServerFailed(f"no ports could be had in five attempts\n{self.log[-4000:]}")

    def restart(self) -> None:
        """Start it again after `kill` or `stop`: the same ports, folder and configuration."""
        end = time.monotonic() + START_DEADLINE
        while not self._start_here():
            if time.monotonic() > end:
                raise ServerFailed(f"a port of the node is taken by another process\n{self.log[-4000:]}")

    def kill(self) -> None:
        """End it with SIGKILL: what was not on disk is gone.

        Where quorum queues are is written to disk first. RabbitMQ does that twice a second, and a server that was
        killed before it has a queue that never works again; no client can do anything about that.
        """
        with contextlib.suppress(OSError, ErlangError):  # it has ended by itself, or stands still
            self.eval("[dets:sync(Table) || Table <- dets:all()]", within=2.0)
        self._end()

    def stop(self) -> None:
        """End it as a service manager does: connections are closed first."""
        self._evaluator.close()
        self._process.stop()

    def pause(self) -> None:
        """Let it stand still (SIGSTOP): it keeps its connections and answers nothing."""
        self._process.pause()

    def resume(self) -> None:
        """Let it go on after `pause`."""
        self._process.resume()

    def close(self) -> None:
        """End it and remove its folder."""
        self._end()
        if self._epmd is not None:
            self._epmd.kill()
        self._temporary.cleanup()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- what is done to it --------------------------------------------------------------------------------

    def stop_app(self) -> None:
        """`rabbitmqctl stop_app`: the broker is away, its Erlang node stays."""
        self.eval("rabbit:stop()")

    def start_app(self) -> None:
        """`rabbitmqctl start_app`; returns when clients can connect."""
        self.eval("rabbit:start()", within=START_DEADLINE)
        wait_until(self._accepts, "the broker accepts connections after start_app")

    def memory_alarm(self, on: bool) -> None:
        """Raise or end the alarm that blocks every connection that publishes."""
        self.eval(f"vm_memory_monitor:set_vm_memory_high_watermark({'0.00001' if on else '0.9'})")
        wait_until(lambda: ("memory" in self.eval("rabbit_alarm:get_alarms()")) is on, f"memory alarm: {on}")

    def close_all_connections(self, reason: str = "closed by a test") -> int:
        """Close every connection of a client with CONNECTION_FORCED; how many there were."""
        closing = f'rabbit_networking:close_connection(C, "{reason}")'
        return int(self.eval(f"length([{closing} || C <- rabbit_networking:connections()])"))

    def add_vhost(self, name: str | None = None) -> str:
        """Make a virtual host in which guest may do all; its name, a new one when none is given."""
        name = name if name is not None else f"test-{next(self._names)}"
        self.eval(f"rabbit_vhost:add({quoted(name)}, {_ACTOR})")
        self.permit("guest", name)
        return name

    def remove_vhost(self, name: str) -> None:
        """Remove a virtual host with its queues; its connections are closed."""
        self.eval(f"rabbit_vhost:delete({quoted(name)}, {_ACTOR})")

    def add_user(self, name: str, password: str) -> None:
        """Make a user, who may do nothing as yet: see `permit`."""
        self.eval(f"rabbit_auth_backend_internal:add_user({quoted(name)}, {quoted(password)}, {_ACTOR})")

    def permit(
        self, user: str, vhost: str = "/", *, configure: str = ".*", write: str = ".*", read: str = ".*"
    ) -> None:
        """Let `user` configure, write and read what matches these patterns."""
        words = ", ".join(quoted(word) for word in (user, vhost, configure, write, read))
        self.eval(f"rabbit_auth_backend_internal:set_permissions({words}, {_ACTOR})")

    # -- how to reach it -----------------------------------------------------------------------------------

    def url(self, vhost: str = "/", *, user: str = "guest", password: str = "guest") -> str:
        """The URL for clients: `amqp://`, or `amqps://` with TLS; the default virtual host as Celery writes it."""
        scheme = "amqps" if self._tls else "amqp"
        path = vhost if vhost == "/" else quote(vhost, safe="")
        return f"{scheme}://{quote(user, safe='')}:{quote(password, safe='')}@127.0.0.1:{self.port}/{path}"

    @property
    def log(self) -> str:
        """All that it has written to its log."""
        return self._process.log

    @property
    def pid(self) -> int:
        """The process id of the running node."""
        return self._process.pid

    def queues(self, vhost: str = "/") -> dict[str, QueueState]:
        """What the queues of a virtual host hold now, by name."""
        rows = json.loads(wait_until(lambda: self._queues(vhost), "every queue can be asked"))
        prefix, suffix = "rabbit_", "_queue"
        return {name: QueueState(kind.removeprefix(prefix).removesuffix(suffix), *rest) for name, kind, *rest in rows}

    def connections(self, vhost: str) -> int:
        """How many connections clients have to a virtual host; one that a client has just closed may still be there."""
        found = f"[{{vhost, {quoted(vhost)}}}] <- [catch rabbit_networking:connection_info(C, [vhost])]"
        return int(self.eval(f"length([C || C <- rabbit_networking:connections(), {found}])"))

    def eval(self, code: str, *, within: float = DEADLINE) -> str:
        """Evaluate Erlang in the node, in about a millisecond; see `Evaluator.evaluate`."""
        return self._evaluator.evaluate(code, within=within)

    def ctl(self, *args: str, within: float = DEADLINE) -> str:
        """Run rabbitmqctl, which takes a second or so; what it printed.

        Raises:
            ServerFailed: it failed; what it said is in the text.
        """
        done = subprocess.run(
            [self._control, "-q", "-n", _NODE, *args],
            env=self._environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=within,
            check=False,
        )
        if done.returncode:
            raise ServerFailed(f"rabbitmqctl {' '.join(args)}: {done.stdout}{done.stderr}")
        return done.stdout

    # -- inside --------------------------------------------------------------------------------------------

    def _end(self) -> None:
        self._evaluator.close()
        self._process.kill()

    def _write_files(self) -> None:
        cookie = self.folder / ".erlang.cookie"
        cookie.unlink(missing_ok=True)
        cookie.touch(mode=0o600)
        cookie.write_text(secrets.token_hex(16))
        cookie.chmod(0o400)
        (self.folder / "rabbitmq.conf").write_text("".join(f"{name} = {value}\n" for name, value in self._lines()))
        settings = ", ".join(f"{{{name}, {value}}}" for name, value in self._settings.items())
        (self.folder / "advanced.config").write_text(f"[{{rabbit, [{settings}]}}].\n")
        self._environment.clear()
        self._environment.update(self._variables())

    def _lines(self) -> list[tuple[str, str]]:
        address = f"127.0.0.1:{self.port}"
        lines = {"listeners.tcp.local": address, "log.console": "true", "log.file": "false"}
        if self._tls:
            del lines["listeners.tcp.local"]
            lines |= {
                "listeners.tcp": "none",
                "listeners.ssl.local": address,
                "ssl_options.cacertfile": str(self._tls.ca),
                "ssl_options.certfile": str(self._tls.certificate),
                "ssl_options.keyfile": str(self._tls.key),
                "ssl_options.verify": "verify_peer" if self._tls.clients_need_one else "verify_none",
                "ssl_options.fail_if_no_peer_cert": "true" if self._tls.clients_need_one else "false",
            }
        # A full disk is not what tests are about, and memory is shared with whatever else runs here.
        lines |= {"disk_free_limit.absolute": "10MB", "vm_memory_high_watermark.relative": "0.9"}
        return list((lines | self._config).items())

    def _variables(self) -> dict[str, str]:
        foreign = ("RABBITMQ_", "ERL_")
        mine = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        return mine | {
            "HOME": str(self.folder),
            # The script becomes the node, instead of staying its parent: then signals reach it.
            "RUNNING_UNDER_SYSTEMD": "true",
            "RABBITMQ_NODENAME": _NODE,
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_CONF_ENV_FILE": str(self.folder / "none.conf"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self.folder / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "logs"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 +A 4 +sbwt none",
            "ERL_EPMD_PORT": str(free_port()),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_CRASH_DUMP": os.devnull,
        }

    def _queues(self, vhost: str) -> str | None:
        try:
            return self.eval(_QUEUES.replace("VHOST", quoted(vhost)))
        except ErlangError as error:
            if any(sign in str(error).splitlines()[-1] for sign in _QUEUE_CHANGES):
                return None
            raise

    def _start_epmd(self) -> None:
        """Without it the node starts one that outlives it."""
        if self._epmd is not None:
            self._epmd.kill()
        port = self._environment["ERL_EPMD_PORT"]
        command = [need_program(EPMD), "-port", port, "-address", "127.0.0.1"]
        self._epmd = ServerProcess(command, self.folder, environment=self._environment, log="epmd.log")
        self._epmd.start()
        wait_until(lambda: _listens(int(port)), "epmd answers")

    def _start_here(self) -> bool:
        """Start on the ports; False when another process has one of them."""
        seen = len(self.log)
        self._process.start()
        end = time.monotonic() + START_DEADLINE
        while not self._answers():
            if self._process.has_ended():
                if any(sign in self.log[seen:] for sign in _PORT_TAKEN):
                    return False
                raise ServerFailed(f"{self._program} has ended\n{self.log[-4000:]}")
            if time.monotonic() > end:
                raise ServerFailed(f"{self._program} does not answer within {START_DEADLINE:g} s\n{self.log[-4000:]}")
            time.sleep(0.02)
        return True

    def _answers(self) -> bool:
        """Whether this very node (the socket file is in its own folder) is up and accepts clients."""
        try:
            running = self.eval("rabbit:is_running()") == "true"
        except (OSError, ErlangError):
            return False
        return running and self._accepts()

    def _accepts(self) -> bool:
        return _listens(self.port)


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5.0):
        return True
    return False
