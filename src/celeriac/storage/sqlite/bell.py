"""Wakes who waits: one datagram to a UDP port of this machine, after the commit.

A waiter writes its port into a bell table and sleeps; the writer that has something for it deletes the row in its own
transaction and, once that is committed, sends a datagram. A busy worker has no row there and costs a writer nothing.
Datagrams may be lost (a writer killed after its commit, a full buffer): every waiter looks for itself now and then.
"""

from __future__ import annotations

import socket
import threading
import weakref
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from celeriac.storage.forks import renew_in_children

_HOST: Final = "127.0.0.1"
_LARGEST: Final = 65_536
#: Sockets kept for the next waiter, and those that may be open at once; who finds none polls.
_IDLE_LISTENERS: Final = 8
_MOST_LISTENERS: Final = 256


class Ringer:
    """Sends the datagrams. Thread-safe; one socket, made at the first ring."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None

    def ring(self, rings: Iterable[tuple[int, bytes]]) -> None:
        """Send each payload to its port. Never fails and never blocks: a bell that is not heard is only late."""
        if self._socket is None:
            self._socket = _open_socket()
            if self._socket is not None:
                weakref.finalize(self, self._socket.close)  # as a listener's
        if self._socket is None:
            return
        for port, payload in rings:
            with suppress(OSError):  # the waiter is gone, or its buffer is full and it will wake anyway
                self._socket.sendto(payload, (_HOST, port))


class Listener:
    """A waiter's end: a UDP socket on a free port of 127.0.0.1."""

    def __init__(self, bound: socket.socket) -> None:
        self.socket = bound
        self.port: int = bound.getsockname()[1]
        # Not __del__: of a cycle that is garbage the socket may be finalised first, and complain.
        self._closing = weakref.finalize(self, bound.close)

    def drain(self) -> list[bytes]:
        """Take all that has arrived, without waiting. What is in it may come from anybody on this machine."""
        payloads: list[bytes] = []
        while True:
            try:
                payloads.append(self.socket.recv(_LARGEST))
            except BlockingIOError:
                return payloads
            except OSError:
                continue  # some systems report here that an earlier datagram was not delivered

    def wait(self, seconds: float) -> None:
        """Sleep until something arrives, or for `seconds`."""
        self.socket.settimeout(max(seconds, 0.000_001))  # 0 would mean not to wait, and select() fails above fd 1023
        try:
            self.socket.recv(_LARGEST)
        except OSError:
            pass  # time to look; as above
        finally:
            self.socket.setblocking(False)

    def close(self) -> None:
        """Close the socket."""
        self._closing()


class ListenerPool:
    """Lends listeners, a bounded number of them. Thread-safe; a forked child gets listeners of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[Listener] = []
        self._lent = 0
        renew_in_children(self)

    def borrow(self) -> Listener | None:
        """A listener with nothing in it, or None when there are too many or there is no network at all."""
        with self._lock:
            if self._lent >= _MOST_LISTENERS:
                return None
            if self._idle:
                listener = self._idle.pop()
            else:
                bound = _open_socket(listening=True)
                if bound is None:
                    return None
                listener = Listener(bound)
            self._lent += 1
        listener.drain()
        return listener

    def give_back(self, listener: Listener) -> None:
        """Keep it for the next waiter, or close it."""
        with self._lock:
            self._lent = max(0, self._lent - 1)
            if len(self._idle) < _IDLE_LISTENERS:
                self._idle.append(listener)
                return
        listener.close()

    def close(self) -> None:
        """Close those that are not lent."""
        with self._lock:
            idle, self._idle = self._idle, []
        for listener in idle:
            listener.close()

    def after_fork_in_child(self) -> None:
        """The ports are the parent's; closing our copies of the sockets does not touch it."""
        self._lock = threading.Lock()
        self._idle, self._lent = [], 0


def _open_socket(*, listening: bool = False) -> socket.socket | None:
    try:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    except OSError:
        return None  # no IPv4 here, or no file descriptor left: waiters poll
    try:
        made.setblocking(False)
        if listening:
            made.bind((_HOST, 0))
    except OSError:
        made.close()
        return None
    return made
