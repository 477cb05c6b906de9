"""A private RabbitMQ node for the peers that need one, and what it tells of itself.

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

from benchmarks.ports import free_port, wait_listens
from benchmarks.process import start, stop, tree_cpu, wait_gone

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

#: Seconds for the node to start, and for one call of rabbitmqctl.
_PATIENCE: Final = 60.0
_NODE: Final = "bench@localhost"
_VHOST: Final = "bench"


class RabbitMeter:
    """A running node, seen from outside. All that peers do happens in one virtual host, made anew by `clear`."""

    def __init__(self, port: int, pid: int, control: str, environment: Mapping[str, str]) -> None:
        self.url = f"amqp://guest:guest@127.0.0.1:{port}/{_VHOST}"
        self._pid = pid
        self._control = control
        self._environment = dict(environment)
        self._made = False

    def version(self) -> str:
        """The server's version, and that of the Erlang it runs on."""
        release = self._ctl("eval", "list_to_binary(erlang:system_info(otp_release)).")
        return f"{self._ctl('version').strip()}, Erlang {release.strip().strip('<>')}".replace('"', "")

    def cpu(self) -> float:
        """Seconds of processor time so far."""
        return tree_cpu(self._pid)

    def clear(self, queue_type: str | None = None) -> None:
        """Remove the virtual host with all that is in it, connections too, and make a new one.

        Args:
            queue_type: what queues are whose declaration names no type; None: classic, the server's default.
        """
        if self._made:
            self._ctl("delete_vhost", _VHOST)
        self._ctl("add_vhost", _VHOST, "--default-queue-type", queue_type or "classic")
        self._ctl("set_permissions", "-p", _VHOST, "guest", ".*", ".*", ".*")
        self._made = True

    def ready(self) -> bool:
        """Whether the node and its broker are up."""
        return not self._run("await_startup", "--timeout", str(int(_PATIENCE))).returncode

    def _ctl(self, *arguments: str) -> str:
        done = self._run(*arguments)
        if done.returncode:
            raise RuntimeError(f"rabbitmqctl {arguments[0]} failed: {(done.stdout + done.stderr)[-400:]}")
        return done.stdout

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self._control, "--quiet", "--node", _NODE, *arguments],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PATIENCE + 10,
            check=False,
        )


@contextlib.contextmanager
def rabbitmq(folder: Path) -> Iterator[RabbitMeter]:
    """Run a node for the time of the block.

    Args:
        folder: for all that it writes.

    Raises:
        RuntimeError: there is no RabbitMQ, or it does not start within a minute.
    """
    programs = [find_program(names) for names in (RABBITMQ, RABBITMQ_CONTROL, EPMD)]
    node, control, epmd = (program or "" for program in programs)
    if not all(programs):
        raise RuntimeError("no rabbitmq-server; scripts/install-servers unpacks one")
    port, environment = free_port(), _environment(folder)
    _write_files(folder, port)
    names = start(
        [epmd, "-port", environment["ERL_EPMD_PORT"], "-address", "127.0.0.1"],
        env=environment,
        cwd=folder,
        log=folder / "epmd.log",
    )
    log = folder / "rabbitmq.log"
    try:
        wait_listens(int(environment["ERL_EPMD_PORT"]), names, "epmd", _PATIENCE)
        broker = start([node], env=environment, cwd=folder, log=log)
        try:
            wait_listens(port, broker, "rabbitmq-server", _PATIENCE)
            meter = RabbitMeter(port, broker.pid, control, environment)
            if not meter.ready():
                raise RuntimeError(f"rabbitmq-server does not start: {log.read_text(errors='replace')[-600:]}")
            yield meter
        finally:
            _end(broker)
    finally:
        stop(names)


def _end(broker: subprocess.Popen[bytes]) -> None:
    """It closes its files first, for which `stop` alone may be too short."""
    broker.terminate()
    wait_gone([broker.pid], grace=20.0)
    stop(broker)


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
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "none.conf"),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "logs"),
        "RABBITMQ_LOGS": "-",
        "ERL_EPMD_PORT": str(free_port()),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_CRASH_DUMP": os.devnull,
    }
