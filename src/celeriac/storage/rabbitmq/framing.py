"""Contents as they pass between py-amqp's frames and us: encoded once, and never a reason to lose the connection.

py-amqp decodes a message's headers inside its frame handler; one header that is not UTF-8 would raise there and end
the connection, and the message would come back after each reconnect. Here such a content arrives as damaged.
The handler is handed to py-amqp's `Connection` (its argument `frame_handler`) and follows section 2.3.5 of the AMQP
0-9-1 specification: a method, then a header, then as many bodies as the header says.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

import amqp
from amqp import spec
from amqp.exceptions import UnexpectedFrame

from celeriac.storage.rabbitmq.tables import Unusual, decode_properties, encode_properties

_METHOD, _HEADER, _BODY, _HEARTBEAT = 1, 2, 3, 8
_WITH_CONTENT: Final = frozenset({spec.Basic.Return, spec.Basic.Deliver, spec.Basic.GetOk})


class Content(amqp.Message):
    """A message's properties and body.

    Attributes:
        damage: what is wrong with its properties; they are empty then.
    """

    damage: str | None = None
    _encoded: bytes | None = None

    def encode(self) -> int:
        """Encode the properties now. Returns how many bytes they take.

        Raises:
            Exception: a value has no form in AMQP.
        """
        self._encoded = self._encode()
        return len(self._encoded)

    def _encode(self) -> bytes:
        try:
            return encode_properties(self.properties)
        except Unusual:
            return super()._serialize_properties()

    def _serialize_properties(self) -> bytes:
        return self._encode() if self._encoded is None else self._encoded

    def _load_properties(self, class_id: int, buf: Any, offset: int) -> int:
        try:
            return self._read(class_id, buf, offset)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with what others have sent
            self.properties, self.damage = {}, repr(error)
            return len(buf)

    def _read(self, class_id: int, buf: Any, offset: int) -> int:
        try:
            self.properties, end = decode_properties(buf, offset)
        except (Unusual, UnicodeDecodeError):
            return super()._load_properties(class_id, buf, offset)
        return end


def frame_handler(
    connection: amqp.Connection, callback: Callable[[int, tuple[int, int], Any, Content | None], object]
) -> Callable[[tuple[int, int, Any]], bool]:
    """Make what py-amqp calls for each frame: it puts contents together and tells `callback` of whole methods."""
    partial: dict[int, Content] = {}
    waiting: dict[int, int] = {}

    def on_frame(frame: tuple[int, int, Any]) -> bool:
        kind, channel, payload = frame
        connection.bytes_recv += 1
        if kind == _HEARTBEAT:
            return False
        if kind != waiting.get(channel, _METHOD):
            raise UnexpectedFrame(f"a frame of type {kind} came where one of type {waiting.get(channel)} was due")
        if kind == _METHOD:
            method = struct.unpack_from(">HH", payload, 0)
            if method in _WITH_CONTENT:
                partial[channel] = Content(b"", frame_method=method, frame_args=payload)
                waiting[channel] = _HEADER
                return False
            callback(channel, method, payload, None)
            return True
        content = partial[channel]
        if kind == _HEADER:
            content.inbound_header(payload)
        else:
            content.inbound_body(payload)
        if not content.ready:
            waiting[channel] = _BODY
            return False
        del partial[channel], waiting[channel]
        callback(channel, content.frame_method, content.frame_args, content)
        return True

    return on_frame
