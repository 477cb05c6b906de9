"""What supervisor, template and executors say to each other, and how it is framed on their sockets.

A frame is a 4-byte big-endian length and a msgpack body. Every frame type is a tagged array, so a type that only one
side knows fails loudly. Knows nothing of what the frames cause.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Generic, Protocol, TypeVar, cast

import msgspec

from celeriac.attempt import Job
from celeriac.loader import AppSpec
from celeriac.message import PackedMessage
from celeriac.outcome import Outcome

_LENGTH: Final = struct.Struct(">I")
_RECEIVE_BYTES: Final = 256 * 1024
#: How long frames are left in the socket while they come fast.
_PAUSE_SECONDS: Final = 0.001


class _Frame(msgspec.Struct, frozen=True, array_like=True):
    """Base of all frames."""


# -- supervisor to executor ------------------------------------------------------------------------


class PackedJob(msgspec.Struct, frozen=True, array_like=True):
    """A `Job` whose message is still packed. The fields are the job's."""

    tag: int
    packed: PackedMessage
    queue: str
    losses: int = 0
    time_limit: float | None = None
    soft_time_limit: float | None = None
    announce: bool = False
    priority: int = 0

    def unpack(self) -> Job:
        """The job.

        Raises:
            DecodeError: the message's head is damaged.
        """
        return Job(
            self.tag,
            self.packed.unpack(),
            self.queue,
            self.losses,
            self.time_limit,
            self.soft_time_limit,
            self.announce,
            self.priority,
        )


class Run(_Frame, frozen=True, array_like=True, tag=1):
    """Run these, in this order."""

    jobs: tuple[PackedJob, ...]


class TakeBack(_Frame, frozen=True, array_like=True, tag=2):
    """Give back what has not begun; answered by `Returned`."""


class Interrupt(_Frame, frozen=True, array_like=True, tag=3):
    """A time limit has passed: raise in the attempt `tag`, if it still runs.

    `hard` asks threads and coroutines to end at once (a process is killed instead); `limit` is in seconds.
    """

    job: int
    hard: bool
    limit: float


class Stop(_Frame, frozen=True, array_like=True, tag=4):
    """Give back what has not begun, finish what runs, and exit."""


# -- executor to supervisor ------------------------------------------------------------------------


class Ready(_Frame, frozen=True, array_like=True, tag=5):
    """The executor is set up and takes jobs."""

    pid: int


class Begins(_Frame, frozen=True, array_like=True, tag=15):
    """An attempt is about to begin, the first one after a pause (see `Done.idle`). Its message is not decoded yet."""

    job: int


class Started(_Frame, frozen=True, array_like=True, tag=6):
    """An attempt has begun, and with it the task's time (only sent for jobs with `announce`)."""

    job: int


class Done(_Frame, frozen=True, array_like=True, tag=7):
    """An attempt has ended.

    Attributes:
        job: which.
        outcome: how.
        seconds: what the executor spent on it in all.
        idle: nothing else was waiting, so the next attempt will be told by `Begins`. If False, the next one begins
            at once. This tells which attempt ran when a process dies.
    """

    job: int
    outcome: Outcome
    seconds: float
    idle: bool = False


class Returned(_Frame, frozen=True, array_like=True, tag=8):
    """These had not begun, and will not."""

    jobs: tuple[int, ...]


class Retiring(_Frame, frozen=True, array_like=True, tag=9):
    """The executor takes no more jobs and waits for `Stop`."""

    reason: str


# -- supervisor and template -----------------------------------------------------------------------


class ExecutorSetup(_Frame, frozen=True, array_like=True, tag=10):
    """What an executor is to be. The executor's end of its socket travels with this frame.

    Attributes:
        index: the executor's number in its worker, for its process name.
        kind: `process`, `thread` or `asyncio`.
        slots: attempts at a time.
        max_tasks: retire after so many attempts, or None.
        max_memory: retire when resident memory passes this many KiB, or None.
    """

    index: int
    kind: str
    slots: int
    max_tasks: int | None = None
    max_memory: int | None = None


class TemplateSetup(_Frame, frozen=True, array_like=True, tag=11):
    """What every executor of a worker shares."""

    app_spec: AppSpec
    hostname: str
    loglevel: int
    logfile: str | None = None


class TemplateReady(_Frame, frozen=True, array_like=True, tag=12):
    """The app is imported; executors can be forked."""


class TemplateFailed(_Frame, frozen=True, array_like=True, tag=13):
    """The app can not be imported."""

    error: str


class Exited(_Frame, frozen=True, array_like=True, tag=14):
    """Process `pid` has ended: a negative status is the signal that killed it."""

    pid: int
    status: int


ToExecutor = Run | TakeBack | Interrupt | Stop
FromExecutor = Ready | Begins | Started | Done | Returned | Retiring
ToTemplate = TemplateSetup | ExecutorSetup
FromTemplate = TemplateReady | TemplateFailed | Exited

_Received = TypeVar("_Received")
_Decoded_co = TypeVar("_Decoded_co", covariant=True)


class Decoder(Protocol[_Decoded_co]):
    """The part of `msgspec.msgpack.Decoder` that is used here."""

    def decode(self, buf: bytes | memoryview, /) -> _Decoded_co: ...


TO_EXECUTOR: Final[Decoder[ToExecutor]] = msgspec.msgpack.Decoder(ToExecutor)
FROM_EXECUTOR: Final[Decoder[FromExecutor]] = msgspec.msgpack.Decoder(FromExecutor)
TO_TEMPLATE: Final[Decoder[ToTemplate]] = msgspec.msgpack.Decoder(ToTemplate)
FROM_TEMPLATE: Final[Decoder[FromTemplate]] = msgspec.msgpack.Decoder(FromTemplate)


_encoder: Final = msgspec.msgpack.Encoder()


def encode_frame(frame: ToExecutor | FromExecutor | ToTemplate | FromTemplate) -> bytes:
    """Return `frame` with its length in front."""
    body = _encoder.encode(frame)
    return _LENGTH.pack(len(body)) + body


class FrameSplitter(Generic[_Received]):
    """Cuts a stream of bytes into frames."""

    def __init__(self, decoder: Decoder[_Received]) -> None:
        self._decode = decoder.decode
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[_Received]:
        """Add `data` and return the frames that are complete by now."""
        buffer = self._buffer
        buffer += data
        frames: list[_Received] = []
        position = 0
        size = len(buffer)
        with memoryview(buffer) as view:
            while size - position >= 4:
                (length,) = _LENGTH.unpack_from(view, position)
                end = position + 4 + length
                if end > size:
                    break
                with view[position + 4 : end] as body:
                    frames.append(self._decode(body))
                position = end
        if position:
            del buffer[:position]
        return frames


class BlockingChannel(Generic[_Received]):
    """The executor's and the template's end: blocking reads in one thread, writes from any thread."""

    def __init__(self, sock: socket.socket, decoder: Decoder[_Received]) -> None:
        sock.setblocking(True)
        self._socket = sock
        self._splitter = FrameSplitter(decoder)
        self._write_lock = threading.Lock()

    def fileno(self) -> int:
        return self._socket.fileno()

    def receive(self) -> list[_Received] | None:
        """Wait for more frames; None when the other side is gone."""
        try:
            data = self._socket.recv(_RECEIVE_BYTES)
        except OSError:  # reset by the other side, or closed by a task that closes all it finds
            return None
        return self._splitter.feed(data) if data else None

    def receive_with_sockets(self) -> tuple[list[_Received] | None, list[int]]:
        """Like `receive`, with the file descriptors that came along (POSIX only)."""
        try:
            data, descriptors, _flags, _address = socket.recv_fds(self._socket, _RECEIVE_BYTES, 64)
        except ConnectionError:
            return None, []
        return (self._splitter.feed(data) if data else None), list(descriptors)

    def send(self, frame: FromExecutor | FromTemplate) -> bool:
        """Send one frame; False when the other side is gone."""
        data = encode_frame(frame)
        try:
            with self._write_lock:
                self._socket.sendall(data)
        except OSError:
            return False
        return True

    def close(self) -> None:
        self._socket.close()


class AsyncChannel(asyncio.Protocol, Generic[_Received]):
    """The supervisor's end: frames are handed over as they come, `on_lost` is called once at the end.

    Nothing that the other side sent before it died is lost, also when a write finds out first that it is dead.
    `is_open` turns false before these last frames are handed over.

    `on_frames` tells whether more are expected soon. While they come fast they are then left in the socket for a
    millisecond and taken together: a turn of the event loop for each would cost more than the tasks themselves.
    """

    def __init__(
        self, decoder: Decoder[_Received], on_frames: Callable[[list[_Received]], bool], on_lost: Callable[[], None]
    ) -> None:
        self._splitter = FrameSplitter(decoder)
        self._on_frames = on_frames
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._last_read = 0.0
        self._rest: socket.socket | None = None
        self.is_open = True

    @classmethod
    async def connect(
        cls,
        sock: socket.socket,
        decoder: Decoder[_Received],
        on_frames: Callable[[list[_Received]], bool],
        on_lost: Callable[[], None],
    ) -> AsyncChannel[_Received]:
        """Attach to a connected socket, which this channel then owns."""
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        channel: AsyncChannel[_Received] = cls(decoder, on_frames, on_lost)
        channel._rest = sock.dup()
        if sock.family == getattr(socket, "AF_UNIX", None):
            await loop.create_unix_connection(lambda: channel, sock=sock)
        else:
            await loop.create_connection(lambda: channel, sock=sock)
        return channel

    def send(self, frame: ToExecutor | ToTemplate) -> None:
        """Queue one frame; silently dropped when the connection is gone (`on_lost` tells)."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(encode_frame(frame))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's does not derive from it

    def data_received(self, data: bytes) -> None:
        frames = self._splitter.feed(data)
        more = bool(frames) and self._on_frames(frames)
        now = self._loop.time()
        if more and now - self._last_read < 2 * _PAUSE_SECONDS and self._transport is not None:
            self._transport.pause_reading()
            self._loop.call_later(_PAUSE_SECONDS, self._read_on)
        self._last_read = now

    def _read_on(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self.is_open = False
        self._transport = None
        self.read_rest()  # a failed write closes the transport without another look
        if self._rest is not None:
            self._rest.close()
            self._rest = None
        self._on_lost()

    def read_rest(self) -> None:
        """Hand over all that has come up to now, without waiting for a turn of the event loop."""
        data = bytearray()
        if self._rest is not None:
            with suppress(OSError):  # BlockingIOError: that is all
                while piece := self._rest.recv(_RECEIVE_BYTES):
                    data += piece
        frames = self._splitter.feed(bytes(data))
        if frames:
            self._on_frames(frames)

    def abort(self) -> None:
        """Close at once; what has come is still handed over."""
        if self._transport is not None:
            self._transport.abort()
