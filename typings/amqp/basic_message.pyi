from typing import Any

from .channel import Channel

class Message:
    body: bytes | str | memoryview
    properties: dict[str, Any]
    #: Of a message that was delivered or got: consumer_tag, delivery_tag, redelivered, exchange, routing_key.
    delivery_info: dict[str, Any]
    channel: Channel | None
    frame_method: tuple[int, int]
    frame_args: bytes
    body_size: int
    body_received: int
    #: All of it has been read.
    ready: bool
    def __init__(
        self,
        body: bytes | str | memoryview = ...,
        children: None = ...,
        channel: Channel | None = ...,
        *,
        content_type: str | None = ...,
        content_encoding: str | None = ...,
        application_headers: dict[str, Any] | None = ...,
        delivery_mode: int | None = ...,
        priority: int | None = ...,
        correlation_id: str | None = ...,
        reply_to: str | None = ...,
        expiration: str | None = ...,
        message_id: str | None = ...,
        timestamp: int | None = ...,
        type: str | None = ...,  # noqa: A002 - its name there
        user_id: str | None = ...,
        app_id: str | None = ...,
        cluster_id: str | None = ...,
        frame_method: tuple[int, int] | None = ...,
        frame_args: bytes | None = ...,
    ) -> None: ...
    @property
    def headers(self) -> dict[str, Any] | None: ...
    @property
    def delivery_tag(self) -> int: ...
    def _serialize_properties(self) -> bytes: ...
    def _load_properties(self, class_id: int, buf: bytes, offset: int) -> int: ...
    def inbound_header(self, buf: bytes, offset: int = ...) -> int: ...
    def inbound_body(self, buf: bytes) -> None: ...
