"""One socket to a RabbitMQ server: read in large pieces, written whole, every wait with an end.

It takes the place of py-amqp's own transports, which ask the kernel three times for each frame and let a write wait
for ever. Knows of frames only where they end; what is in them is py-amqp's part.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from struct import Struct
from typing import Final

from amqp.exceptions import UnexpectedFrame

_GREETING: Final = b"AMQP\x00\x00\x09\x01"
_HEADER: Final = Struct(">BHI")
_FRAME_END: Final = 0xCE
_READ_BYTES: Final = 262_144


class Transport:
    """A TCP connection, with or without TLS, in the form in which py-amqp wants it.

    Args:
        host: name or address of the server.
        port: where it listens.
        tls: how to speak TLS; None: not at all.
        server_hostname: the name that its certificate must bear.
        read_seconds: how long a read waits, unless `having_timeout` says otherwise.
        write_seconds: how long one write may take.
        options: options of the socket at the level of TCP, by number.

    Attributes:
        connected: nothing has shown so far that the connection is gone.
        deadline: a reading of the monotonic clock after which nothing is waited for; None for no such end.
        sock: the socket; None before `connect` and after `close`.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        server_hostname: str | None = None,
        read_seconds: float,
        write_seconds: float,
        options: Mapping[int, int],
    ) -> None:
        self.host, self.port = host, port
        self.connected = False
        self.deadline: float | None = None
        self.sock: socket.socket | None = None
        self._tls, self._server_hostname = tls, server_hostname
        self._read_seconds, self._write_seconds = read_seconds, write_seconds
        self._answer_seconds = read_seconds
        self._options = options
        self._data, self._at = b"", 0
        self._gathered: bytearray | None = None

    def connect(self) -> None:
        """Connect until `deadline`, to the first of the host's addresses that answers.

        Raises:
            OSError: none does, or TLS can not be agreed on.
        """
        trouble: OSError | None = None
        for family, kind, protocol, _, address in socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM):
            try:
                self.sock = socket.socket(family, kind, protocol)
                self._open(self.sock, address)
            except BaseException as error:
                self.drop()
                if not isinstance(error, OSError):
                    raise
                trouble = error
            else:
                self.connected = True
                self.write(_GREETING)
                return
        raise trouble or OSError(f"{self.host} has no address")

    def _open(self, sock: socket.socket, address: tuple[object, ...]) -> None:
        sock.settimeout(self._seconds(self._read_seconds))
        sock.connect(address)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in self._options.items():
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
        if self._tls is not None:
            sock.settimeout(self._seconds(self._read_seconds))
            self.sock = self._tls.wrap_socket(sock, server_hostname=self._server_hostname)

    def read_frame(self) -> tuple[int, int, bytes]:
        """The next frame: its type, its channel and what is in it.

        Raises:
            TimeoutError: there is none in time; nothing is lost, the next call goes on from here.
            OSError: the connection is gone.
            UnexpectedFrame: this is not AMQP.
        """
        while True:
            have = len(self._data) - self._at
            if have >= _HEADER.size:
                kind, channel, size = _HEADER.unpack_from(self._data, self._at)
                begin = self._at + _HEADER.size
                if have >= size + _HEADER.size + 1:
                    end = begin + size
                    if self._data[end] != _FRAME_END:
                        raise UnexpectedFrame(f"a frame ends in {self._data[end]:#04x}")
                    self._at = end + 1
                    return kind, channel, self._data[begin:end]
            self._fill()

    def write(self, data: bytes | bytearray | memoryview, /) -> None:
        """Write all of `data`, or what is gathered of it.

        Raises:
            TimeoutError: not in time. Part of it may be written: the connection is of no use any more.
            OSError: the connection is gone.
        """
        if self._gathered is not None:
            self._gathered += data
            return
        sock = self._live_socket()
        sock.settimeout(self._seconds(self._write_seconds))
        try:
            sock.sendall(data)
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            self.connected = False
            raise TimeoutError("the server takes no more data") from None
        except OSError:
            self.connected = False
            raise

    @contextmanager
    def gathering(self) -> Iterator[None]:
        """Keep what is written inside the block, and write it as one at its end; nothing, if the block raises."""
        self._gathered = bytearray()
        try:
            yield
        except BaseException:
            self._gathered = None
            raise
        gathered, self._gathered = self._gathered, None
        if gathered:
            self.write(gathered)

    @contextmanager
    def having_timeout(self, timeout: float | None, /) -> Iterator[None]:
        """Inside the block a read waits for `timeout` seconds; None: as otherwise, 0: not at all."""
        if timeout is None:
            yield
            return
        before, self._read_seconds = self._read_seconds, timeout
        try:
            yield
        finally:
            self._read_seconds = before

    def awaiting_answers(self) -> AbstractContextManager[None]:
        """Inside the block a read waits as long as it does where `having_timeout` says nothing."""
        return self.having_timeout(self._answer_seconds)

    def close(self) -> None:
        """End the connection. What was written still reaches the server."""
        if self.sock is not None:
            with suppress(OSError):
                self.sock.shutdown(socket.SHUT_RDWR)
        self.drop()

    def drop(self) -> None:
        """Close this process's end of it only: another process that has it too, after a fork, keeps it."""
        sock, self.sock = self.sock, None
        self.connected = False
        if sock is not None:
            with suppress(OSError):
                sock.close()

    def _fill(self) -> None:
        sock = self._live_socket()
        sock.settimeout(self._seconds(self._read_seconds))
        try:
            data = sock.recv(_READ_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise TimeoutError("nothing to read") from None
        except TimeoutError:
            raise
        except OSError:
            self.connected = False
            raise
        if not data:
            self.connected = False
            raise ConnectionResetError("the server has closed the connection")
        self._data = self._data[self._at :] + data if self._at < len(self._data) else data
        self._at = 0

    def _live_socket(self) -> socket.socket:
        if self.sock is None:
            raise ConnectionResetError("the connection is closed")
        return self.sock

    def _seconds(self, seconds: float) -> float:
        return seconds if self.deadline is None else min(seconds, max(self.deadline - time.monotonic(), 0.0))
