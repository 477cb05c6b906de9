"""A private redis-server (or valkey-server): its configuration, its URL, and a way to talk to it past Celeriac.

Uses redis-py's bare connection for that, so that nothing is retried and nothing is translated.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

import redis.connection
from redis.exceptions import RedisError, ResponseError
from scripts.servers import REDIS

from .process import DEADLINE, ServerFailed, ServerProcess, free_port
from .programs import need_program
from .tls import Tls

_PORT_TAKEN: Final = "Address already in use"


class Conversation:
    """A bare connection; replies come as the server gives them: bytes, int, list or None."""

    def __init__(self, connection: Any) -> None:  # redis-py's connections bear no types
        self._connection = connection

    def send(self, *args: str | bytes | float) -> None:
        """Send a command and do not wait for its reply."""
        self._connection.send_command(*args)

    def read(self, within: float = 5.0) -> Any:
        """The next reply or push; `redis.exceptions.TimeoutError` after `within` seconds."""
        return self._connection.read_response(timeout=within, disconnect_on_error=False)

    def call(self, *args: str | bytes | float) -> Any:
        """Send a command; its reply."""
        self.send(*args)
        return self.read()

    def close(self) -> None:
        """Hang up."""
        self._connection.disconnect()


class RedisServer:
    """A server on a free loopback port, in a temporary folder; runs from the start of the block to its end.

    Args:
        appendonly: write every command to disk before it is answered, so that a killed server comes back with all.
        tls: speak TLS, and nothing else, on the port.
        password: what clients have to say.
        unix_socket: listen on a socket file too; see `socket_path`.
        sentinel: be a sentinel instead of a store.
        cluster: be a node of a cluster, without slots as yet.
        config: more lines of redis.conf, by name.

    Raises:
        ServerFailed: it does not answer within `DEADLINE` seconds; the end of its log is in the text.

    Example:
        with RedisServer(appendonly=True) as server:
            server.call("SET", "key", "value")
            server.kill()
            server.restart()
            assert server.call("GET", "key") == b"value"
    """

    def __init__(
        self,
        *,
        appendonly: bool = False,
        tls: Tls | None = None,
        password: str | None = None,
        unix_socket: bool = False,
        sentinel: bool = False,
        cluster: bool = False,
        config: Mapping[str, str] | None = None,
    ) -> None:
        self._program = need_program(REDIS)
        self._temporary = tempfile.TemporaryDirectory(prefix="redis-")
        self.folder = Path(self._temporary.name)
        self._appendonly = appendonly
        self._tls = tls
        self._password = password
        self._sentinel = sentinel
        self._cluster = cluster
        self._config = dict(config or {})
        #: The socket file, when the server listens on one.
        self.socket_path: Path | None = self.folder / "redis.sock" if unix_socket else None
        self.port = 0
        #: The port on which nodes of a cluster talk to each other.
        self.bus_port = 0
        self._file = self.folder / "redis.conf"
        command = [self._program, str(self._file), *(["--sentinel"] if sentinel else [])]
        self._process = ServerProcess(command, self.folder)

    # -- its life ------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Start it for the first time; another port is tried when somebody else was faster."""
        for _ in range(10):
            self.port = free_port()
            self._write_config()
            if self._start_here():
                return self
        raise ServerFailed(f"no port could be had in ten attempts\n{self.log[-2000:]}")

    def restart(self) -> None:
        """Start it again after `kill` or `stop`: the same port, folder and configuration file."""
        end = time.monotonic() + DEADLINE
        while not self._start_here():
            if time.monotonic() > end:
                raise ServerFailed(f"port {self.port} is taken by another process\n{self.log[-2000:]}")
            time.sleep(0.1)

    def kill(self) -> None:
        """End it with SIGKILL: what was not on disk is gone."""
        self._process.kill()

    def stop(self) -> None:
        """End it as a service manager does."""
        self._process.stop()

    def pause(self) -> None:
        """Let it stand still (SIGSTOP): it keeps its connections and answers nothing."""
        self._process.pause()

    def resume(self) -> None:
        """Let it go on after `pause`."""
        self._process.resume()

    def close(self) -> None:
        """End it and remove its folder."""
        self._process.kill()
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

    # -- how to reach it -----------------------------------------------------------------------------------

    @property
    def log(self) -> str:
        """All that it has written to its log."""
        return self._process.log

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        return self._process.pid

    def url(self, db: int = 0) -> str:
        """The URL for clients: `redis://`, or `rediss://` with TLS."""
        scheme = "rediss" if self._tls else "redis"
        password = f":{quote(self._password, safe='')}@" if self._password else ""
        return f"{scheme}://{password}127.0.0.1:{self.port}/{db}"

    def call(self, *args: str | bytes | float, db: int = 0) -> Any:
        """Send one command on a connection of its own; the reply as the server gives it.

        Raises:
            redis.exceptions.RedisError: the server refuses, or can not be reached within 5 s.
        """
        with self.connection(db) as connection:
            return connection.call(*args)

    @contextlib.contextmanager
    def connection(self, db: int = 0) -> Iterator[Conversation]:
        """A connection for several commands."""
        options: dict[str, Any] = {
            "host": "127.0.0.1",
            "port": self.port,
            "db": db,
            "password": self._password,
            "protocol": 2,
            "socket_timeout": 5.0,
            "socket_connect_timeout": 5.0,
        }
        kind: Any = redis.connection.Connection
        if self._tls:
            kind = redis.connection.SSLConnection
            options["ssl_ca_certs"] = str(self._tls.ca)
            options["ssl_certfile"] = str(self._tls.certificate)
            options["ssl_keyfile"] = str(self._tls.key)
            options["ssl_check_hostname"] = False
        conversation = Conversation(kind(**options))
        try:
            yield conversation
        finally:
            conversation.close()

    # -- inside --------------------------------------------------------------------------------------------

    def _write_config(self) -> None:
        port = {"port": "0", "tls-port": str(self.port)} if self._tls else {"port": str(self.port)}
        lines = {"bind": "127.0.0.1", **port, "dir": str(self.folder), "daemonize": "no", "protected-mode": "no"}
        if not self._sentinel:
            lines |= {"save": '""', "appendonly": "yes" if self._appendonly else "no", "appendfsync": "always"}
        if self._cluster:
            self.bus_port = free_port()
            lines |= {"cluster-enabled": "yes", "cluster-node-timeout": "2000", "cluster-port": str(self.bus_port)}
        if self._password:
            lines |= {"requirepass": self._password} | ({} if self._sentinel else {"masterauth": self._password})
        if self.socket_path:
            lines["unixsocket"] = str(self.socket_path)
        if self._tls:
            lines["tls-ca-cert-file"] = str(self._tls.ca)
            lines["tls-cert-file"] = str(self._tls.certificate)
            lines["tls-key-file"] = str(self._tls.key)
            lines["tls-auth-clients"] = "yes" if self._tls.clients_need_one else "no"
        lines |= self._config
        self._file.write_text("".join(f"{name} {value}\n" for name, value in lines.items()))

    def _start_here(self) -> bool:
        """Start on `port`; False when another process has it."""
        seen = len(self.log)
        self._process.start()
        end = time.monotonic() + DEADLINE
        while not self._answers():
            if self._process.has_ended():
                if _PORT_TAKEN in self.log[seen:]:
                    return False
                raise ServerFailed(f"{self._program} has ended\n{self.log[-2000:]}")
            if time.monotonic() > end:
                raise ServerFailed(f"{self._program} does not answer within {DEADLINE:g} s\n{self.log[-2000:]}")
            time.sleep(0.01)
        return True

    def _answers(self) -> bool:
        """Whether this very server (not a stranger on the same port) answers, with its data loaded."""
        try:
            info = self.call("INFO", "server")
            self.call("PING")
        except (RedisError, OSError) as error:
            if isinstance(error, ResponseError) and "LOADING" not in str(error):
                raise
            return False
        return not self._process.has_ended() and f"process_id:{self._process.pid}\r\n".encode() in info
