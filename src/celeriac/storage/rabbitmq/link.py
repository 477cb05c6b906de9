"""One connection of those that threads share: what it publishes with, and its channel for dialogues.

Knows nothing of pools, and of who has it.
"""

from __future__ import annotations

import time
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from amqp.exceptions import AMQPError

from celeriac.storage.rabbitmq.publishing import Publisher

if TYPE_CHECKING:
    import amqp

    from celeriac.storage.rabbitmq.dialling import Connection

#: A frame of type 8, on channel 0, without payload.
_HEARTBEAT: Final = b"\x08\x00\x00\x00\x00\x00\x00\xce"


class Link:
    """A connection of the pool, its publisher, and its channel for dialogues."""

    def __init__(self, connection: Connection, patience: float) -> None:
        self.connection = connection
        self.publisher = Publisher(connection, patience)
        self._channel: amqp.Channel | None = None
        # py-amqp's objects know each other, so that only the collector of cycles would find them.
        self._end = weakref.finalize(self, connection.wire.drop)

    @property
    def is_blocked(self) -> bool:
        """The server has said over it that it takes no messages."""
        return self.connection.blocked is not None

    def channel(self) -> amqp.Channel:
        """A channel without confirms."""
        if self._channel is None:
            self._channel = self.connection.channel()
        return self._channel

    def forget_channel(self) -> None:
        """The server has closed it, and py-amqp opened it anew. What is known of its consumers is not true any more."""
        if self._channel is not None:
            self._channel.callbacks.clear()
            self._channel.cancel_callbacks.clear()
            self._channel.no_ack_consumers.clear()

    def is_good(self) -> bool:
        """Hear what the server had to say meanwhile: that messages are (not) welcome, or that this is the end."""
        try:
            while True:
                self.connection.blocking_read(0)
        except TimeoutError:
            return self.connection.wire.connected
        except (AMQPError, OSError):
            return False

    def knock(self) -> None:
        """Write a heartbeat, if any write can be trusted: else a peer that has gone without a word is never noticed."""
        if self.connection.wire.connected:
            self.connection.wire.deadline = time.monotonic()  # it must not wait
            with suppress(OSError):  # whoever reads next finds out
                self.connection.wire.write(_HEARTBEAT)
            self.connection.wire.deadline = None

    def close(self) -> None:
        """End it, with a goodbye if it is in order."""
        self.connection.close_quietly()
        self._end.detach()

    def leave(self) -> None:
        """In a forked child: close the child's copy of it."""
        self._end()
