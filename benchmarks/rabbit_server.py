"""A private RabbitMQ node for those that need one, and what it tells of itself.

Its ports, name server (epmd), cookie and data are its own; the data are on the disk of the repository, as every
confirm of a persistent message waits for it. Knows no task queue.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
from typing import TYPE_CHECKING, Final

from scripts.servers import EPMD, RABBITMQ, RABBITMQ_CONTROL, find_program

from benchmarks.ports import lasting_port, wait_listens
from benchmarks.process import kill_tree, start, stop, tree_cpu, wait_gone

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Seconds for the node to start, and for one call of rabbitmqctl.
_PATIENCE: Final = 60.0
_NODE: Final = "bench@localhost"
_VHOST: Final = "bench"


class Node:
    """A node on a port of its own, from `start` to `close`; it can be ended and started again in between.

    Args:
        folder: for all that it writes.

    Attributes:
        port: where it listens for clients.

    Raises:
        RuntimeError: there is no RabbitMQ.
    """

    def __init__(self, folder: Path) -> None:
        programs = [find_program(names) for names in (RABBITMQ, RABBITMQ_CONTROL, EPMD)]
        self._program, self._control, self._epmd = (program or "" for program in programs)
        if not all(programs):
            raise RuntimeError("no rabbitmq-server; scripts/install-servers unpacks one")
        self.port = lasting_port()
        self._folder = folder
        self._environment = _environment(folder)
        self._names: subprocess.Popen[bytes] | None = None
        self._broker: subprocess.Popen[bytes] | None = None
        _write_files(folder, self.port)

    @property
    def pid(self) -> int:
        """Of the node's process."""
        return 0 if self._broker is None else self._broker.pid

    def start(self) -> None:
        """Start it, for the first time or again; returns when it listens.

        Raises:
            RuntimeError: it does not within a minute.
        """
        if self._names is None:
            port = self._environment["ERL_EPMD_PORT"]
            self._names = self._start([self._epmd, "-port", port, "-address", "127.0.0.1"], "epmd.log")
            wait_listens(int(port), self._names, "epmd", _PATIENCE)
        self._broker = self._start([self._program], "rabbitmq.log")
        wait_listens(self.port, self._broker, "rabbitmq-server", _PATIENCE)

    def wait_started(self) -> None:
        """Wait until all of it is up, which takes a second or two at least.

        Raises:
            RuntimeError: it is not within a minute.
        """
        if self.run("await_startup", "--timeout", str(int(_PATIENCE))).returncode:
            log = (self._folder / "rabbitmq.log").read_text(errors="replace")
            raise RuntimeError(f"rabbitmq-server does not start: {log[-600:]}")

    def stop(self) -> None:
        """End it as a service manager does; it closes its files first."""
        if self._broker is not None:
            self._broker.terminate()
            wait_gone([self._broker.pid], grace=20.0)
            stop(self._broker)
            self._broker = None

    def kill(self) -> None:
        """SIGKILL: what was not on the disk is gone."""
        if self._broker is not None:
            kill_tree(self._broker, [])
            self._broker = None

    def close(self) -> None:
        """End it and its name server."""
        self.stop()
        if self._names is not None:
            stop(self._names)
            self._names = None

    def ctl(self, *arguments: str) -> str:
        """What rabbitmqctl prints, in a second or two.

        Raises:
            RuntimeError: it failed.
        """
        done = self.run(*arguments)
        if done.returncode:
            raise RuntimeError(f"rabbitmqctl {arguments[0]} failed: {(done.stdout + done.stderr)[-400:]}")
        return done.stdout

    def version(self) -> str:
        """The server's version, and that of the Erlang it runs on."""
        release = self.ctl("eval", "list_to_binary(erlang:system_info(otp_release)).")
        return f"{self.ctl('version').strip()}, Erlang {release.strip().strip('<>')}".replace('"', "")

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run rabbitmqctl, whatever comes of it."""
        return subprocess.run(
            [self._control, "--quiet", "--node", _NODE, *arguments],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PATIENCE + 10,
            check=False,
        )

    def _start(self, command: list[str], log: str) -> subprocess.Popen[bytes]:
        return start(command, env=self._environment, cwd=self._folder, log=self._folder / log)


class RabbitMeter:
    """A running node, seen from outside. All that peers do happens in one virtual host, made anew by `clear`."""

    def __init__(self, node: Node) -> None:
        self.url = f"amqp://guest:guest@127.0.0.1:{node.port}/{_VHOST}"
        self._node = node
        self._made = False

    def version(self) -> str:
        """The server's version, and that of the Erlang it runs on."""
        return self._node.version()

    def cpu(self) -> float:
        """Seconds of processor time so far."""
        return tree_cpu(self._node.pid)

    def clear(self, queue_type: str | None = None) -> None:
        """Remove the virtual host with all that is in it, connections too, and make a new one.

        Args:
            queue_type: what queues are whose declaration names no type; None: classic, the server's default.
        """
        if self._made:
            self._node.ctl("delete_vhost", _VHOST)
        self._node.ctl("add_vhost", _VHOST, "--default-queue-type", queue_type or "classic")
        self._node.ctl("set_permissions", "-p", _VHOST, "guest", ".*", ".*", ".*")
        self._made = True


@contextlib.contextmanager
def rabbitmq(folder: Path) -> Iterator[RabbitMeter]:
    """Run a node for the time of the block.

    Args:
        folder: for all that it writes.

    Raises:
        RuntimeError: there is no RabbitMQ, or it does not start within a minute.
    """
    node = Node(folder)
    try:
        node.start()
        node.wait_started()
        yield RabbitMeter(node)
    finally:
        node.close()


def _write_files(folder: Path, port: int) -> None:
    cookie = folder / ".erlang.cookie"
    cookie.touch(mode=0o600)
    cookie.write_text(secrets.token_hex(16))
    cookie.chmod(0o400)
    lines = (
        f"listeners.tcp.local = 127.0.0.1:{port}",
        "log.console = true",
        "log.console.level = warning",
        "log.file = false",
        # Memory and disk are shared with the peers: what the node would do when they grow short is not measured here.
        "disk_free_limit.absolute = 10MB",
        "vm_memory_high_watermark.relative = 0.8",
    )
    (folder / "rabbitmq.conf").write_text("\n".join((*lines, "")))


def _environment(folder: Path) -> dict[str, str]:
    foreign = ("RABBITMQ_", "ERL_", "PYTHON")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return kept | {
        "HOME": str(folder),
        # The start script becomes the node, instead of staying its parent: signals reach it.
        "RUNNING_UNDER_SYSTEMD": "true",
        "RABBITMQ_NODENAME": _NODE,
        "RABBITMQ_DIST_PORT": str(lasting_port()),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "none.conf"),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "logs"),
        "RABBITMQ_LOGS": "-",
        "ERL_EPMD_PORT": str(lasting_port()),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_CRASH_DUMP": os.devnull,
    }
