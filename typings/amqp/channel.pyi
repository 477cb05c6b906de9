from collections.abc import Callable
from typing import Any, Literal, NamedTuple, overload

from .basic_message import Message
from .connection import Connection

class queue_declare_ok_t(NamedTuple):  # noqa: N801 - its name there
    queue: str
    message_count: int
    consumer_count: int

class Channel:
    #: None once it is closed.
    channel_id: int | None
    connection: Connection | None
    is_open: bool
    is_closing: bool
    #: `basic_ack`, `basic_nack`: called with (delivery_tag, multiple); `basic_return`: (error, exchange, key, message).
    events: dict[str, set[Callable[..., object]]]
    callbacks: dict[str, Callable[[Message], object]]
    cancel_callbacks: dict[str, Callable[[str], object]]
    no_ack_consumers: set[str]
    def __init__(
        self,
        connection: Connection,
        channel_id: int | None = ...,
        auto_decode: bool = ...,
        on_open: Callable[[Channel], object] | None = ...,
    ) -> None: ...
    def open(self) -> None: ...
    def close(self, reply_code: int = ..., reply_text: str = ..., method_sig: tuple[int, int] = ...) -> None: ...
    def collect(self) -> None: ...
    def _do_revive(self) -> None: ...
    def wait(
        self,
        method: tuple[int, int] | list[tuple[int, int]],
        callback: Callable[..., object] | None = ...,
        timeout: float | None = ...,
        returns_tuple: bool = ...,
    ) -> Any: ...
    def send_method(
        self,
        sig: tuple[int, int],
        format: str | None = ...,  # noqa: A002 - its name there
        args: tuple[Any, ...] | None = ...,
        content: Message | None = ...,
        wait: tuple[int, int] | list[tuple[int, int]] | None = ...,
        callback: Callable[..., object] | None = ...,
        returns_tuple: bool = ...,
    ) -> Any: ...
    def exchange_declare(
        self,
        exchange: str,
        type: str,  # noqa: A002 - its name there
        passive: bool = ...,
        durable: bool = ...,
        auto_delete: bool = ...,
        nowait: bool = ...,
        arguments: dict[str, Any] | None = ...,
    ) -> None: ...
    def exchange_delete(self, exchange: str, if_unused: bool = ..., nowait: bool = ...) -> None: ...
    def exchange_bind(
        self,
        destination: str,
        source: str = ...,
        routing_key: str = ...,
        nowait: bool = ...,
        arguments: dict[str, Any] | None = ...,
    ) -> None: ...
    def exchange_unbind(
        self,
        destination: str,
        source: str = ...,
        routing_key: str = ...,
        nowait: bool = ...,
        arguments: dict[str, Any] | None = ...,
    ) -> None: ...
    @overload
    def queue_declare(
        self,
        queue: str = ...,
        passive: bool = ...,
        durable: bool = ...,
        exclusive: bool = ...,
        auto_delete: bool = ...,
        nowait: Literal[False] = ...,
        arguments: dict[str, Any] | None = ...,
    ) -> queue_declare_ok_t: ...
    @overload
    def queue_declare(
        self,
        queue: str = ...,
        passive: bool = ...,
        durable: bool = ...,
        exclusive: bool = ...,
        auto_delete: bool = ...,
        *,
        nowait: Literal[True],
        arguments: dict[str, Any] | None = ...,
    ) -> None: ...
    def queue_bind(
        self,
        queue: str,
        exchange: str = ...,
        routing_key: str = ...,
        nowait: bool = ...,
        arguments: dict[str, Any] | None = ...,
    ) -> None: ...
    def queue_unbind(
        self,
        queue: str,
        exchange: str,
        routing_key: str = ...,
        nowait: bool = ...,
        arguments: dict[str, Any] | None = ...,
    ) -> None: ...
    #: These two return how many messages went with it; None with nowait.
    def queue_delete(
        self, queue: str = ..., if_unused: bool = ..., if_empty: bool = ..., nowait: bool = ...
    ) -> int | None: ...
    def queue_purge(self, queue: str = ..., nowait: bool = ...) -> int | None: ...
    def basic_qos(self, prefetch_size: int, prefetch_count: int, a_global: bool) -> None: ...
    def basic_consume(
        self,
        queue: str = ...,
        consumer_tag: str = ...,
        no_local: bool = ...,
        no_ack: bool = ...,
        exclusive: bool = ...,
        nowait: bool = ...,
        callback: Callable[[Message], object] | None = ...,
        arguments: dict[str, Any] | None = ...,
        on_cancel: Callable[[str], object] | None = ...,
    ) -> str: ...
    def basic_cancel(self, consumer_tag: str, nowait: bool = ...) -> None: ...
    def basic_get(self, queue: str = ..., no_ack: bool = ...) -> Message | None: ...
    def basic_ack(self, delivery_tag: int, multiple: bool = ...) -> None: ...
    def basic_reject(self, delivery_tag: int, requeue: bool) -> None: ...
    def basic_recover(self, requeue: bool = ...) -> None: ...
    #: Nothing is waited for, unless the connection has confirm_publish.
    def basic_publish(
        self,
        msg: Message,
        exchange: str = ...,
        routing_key: str = ...,
        mandatory: bool = ...,
        immediate: bool = ...,
        timeout: float | None = ...,
        confirm_timeout: float | None = ...,
    ) -> None: ...
    def _basic_publish(
        self,
        msg: Message,
        exchange: str = ...,
        routing_key: str = ...,
        mandatory: bool = ...,
        immediate: bool = ...,
        timeout: float | None = ...,
    ) -> None: ...
    def confirm_select(self, nowait: bool = ...) -> None: ...
    def _on_basic_return(
        self, reply_code: int, reply_text: str, exchange: str, routing_key: str, message: Message
    ) -> None: ...
