import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Protocol

from .basic_message import Message
from .channel import Channel as ChannelType
from .sasl import SASL
from .spec import method_t

class AnyTransport(Protocol):
    # What a connection needs of its transport.

    connected: bool
    def connect(self) -> None: ...
    def close(self) -> None: ...
    def read_frame(self) -> tuple[int, int, bytes]: ...
    def write(self, s: bytes | memoryview, /) -> None: ...
    def having_timeout(self, timeout: float | None, /) -> AbstractContextManager[object]: ...

class Connection:
    Channel: ClassVar[type[ChannelType]]
    negotiate_capabilities: ClassVar[dict[str, bool]]
    _METHODS: ClassVar[dict[tuple[int, int], method_t]]
    library_properties: ClassVar[dict[str, Any]]
    #: Seconds, as agreed with the server; 0 for none.
    heartbeat: float
    client_heartbeat: float | None
    server_heartbeat: float | None
    last_heartbeat_sent: float
    last_heartbeat_received: float
    #: Counts of frames.
    bytes_sent: int
    bytes_recv: int
    frame_max: int
    channel_max: int
    host: str
    virtual_host: str
    confirm_publish: bool
    is_closing: bool
    channels: dict[int, ChannelType] | None
    client_properties: dict[str, Any]
    server_properties: dict[str, Any]
    mechanisms: list[bytes]
    on_blocked: Callable[[str], object] | None
    on_unblocked: Callable[[], object] | None
    on_inbound_frame: Callable[[tuple[int, int, bytes]], bool]
    transport: AnyTransport
    _transport: AnyTransport | None
    def __init__(
        self,
        host: str = ...,
        userid: str | None = ...,
        password: str | None = ...,
        login_method: str | None = ...,
        login_response: bytes | None = ...,
        authentication: SASL | tuple[SASL, ...] = ...,
        virtual_host: str = ...,
        locale: str = ...,
        client_properties: dict[str, Any] | None = ...,
        ssl: bool | dict[str, Any] = ...,
        connect_timeout: float | None = ...,
        channel_max: int | None = ...,
        frame_max: int | None = ...,
        heartbeat: float = ...,
        on_open: Callable[[Connection], object] | None = ...,
        on_blocked: Callable[[str], object] | None = ...,
        on_unblocked: Callable[[], object] | None = ...,
        confirm_publish: bool = ...,
        on_tune_ok: Callable[..., object] | None = ...,
        read_timeout: float | None = ...,
        write_timeout: float | None = ...,
        socket_settings: dict[int, int] | None = ...,
        frame_handler: Callable[
            [Connection, Callable[[int, tuple[int, int], bytes, Message | None], object]],
            Callable[[tuple[int, int, bytes]], bool],
        ] = ...,
        frame_writer: Callable[[Connection, AnyTransport], Callable[..., object]] = ...,
    ) -> None: ...
    def Transport(self, *args: object, **kwargs: object) -> AnyTransport: ...  # noqa: N802 - its name there
    def connect(self, callback: Callable[[], object] | None = ...) -> None: ...
    @property
    def connected(self) -> bool | None: ...
    def channel(
        self, channel_id: int | None = ..., callback: Callable[[ChannelType], object] | None = ...
    ) -> ChannelType: ...
    def drain_events(self, timeout: float | None = ...) -> None: ...
    def blocking_read(self, timeout: float | None = ...) -> bool: ...
    def send_heartbeat(self) -> None: ...
    def heartbeat_tick(self, rate: float = ...) -> None: ...
    def close(self, reply_code: int = ..., reply_text: str = ..., method_sig: tuple[int, int] = ...) -> None: ...
    def _warn_force_connect(self, attr: str) -> None: ...
    def _on_blocked(self, reason: str) -> None: ...
    def _on_unblocked(self) -> None: ...
    def collect(self) -> None: ...
    def on_inbound_method(
        self, channel_id: int, method_sig: tuple[int, int], payload: bytes, content: Message | None
    ) -> object: ...
    @property
    def sock(self) -> socket.socket: ...
    @property
    def server_capabilities(self) -> dict[str, Any]: ...
