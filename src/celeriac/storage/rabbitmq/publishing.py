"""Confirmed publishing over one connection.

Owns the channel in confirm mode: what is written when, what the server's answers mean, and how long they are waited
for. Knows nothing of pools.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from struct import Struct
from typing import TYPE_CHECKING, Final

from amqp import spec
from amqp.exceptions import ChannelError

from celeriac.exceptions import OperationalError
from celeriac.storage.rabbitmq.parcels import Confirms, Parcel, pieces_of

if TYPE_CHECKING:
    import amqp

    from celeriac.storage.rabbitmq.dialling import Connection

_METHOD_FRAME: Final = 1
_ANSWER: Final = Struct(">HHQB")
_Returned = tuple[str, str, "amqp.Message"]


class SomeRefused(OperationalError):
    """The server has answered for all messages, and has not taken some.

    Attributes:
        parcels: those that it has not; all others are stored.
    """

    def __init__(self, text: str, parcels: Sequence[Parcel] = ()) -> None:
        super().__init__(text)
        self.parcels = tuple(parcels)


class AllRefused(SomeRefused):
    """The server has taken none of the messages, so they can be sent again."""


class Publisher:
    """Publishes over `connection`, on a channel of its own.

    Args:
        connection: nobody else may read from it meanwhile.
        patience: seconds without any answer after which to give up.

    Attributes:
        is_in_order: nothing is under way: all that was written has been answered for, or its channel is closed.
        is_written: all parcels of the last call were written, whether they were answered for or not.
    """

    def __init__(self, connection: Connection, patience: float) -> None:
        self._connection = connection
        self._patience = patience
        self._channel: amqp.Channel | None = None
        self._is_confirming = False
        self._last = 0
        self._confirms = Confirms(0)
        self._returned: list[_Returned] = []
        self.is_in_order = True
        self.is_written = False
        self._has_begun = False

    @property
    def is_in_doubt(self) -> bool:
        """Some of the last call's parcels were written, at least in part, and not answered for."""
        is_open = self._has_begun and not self.is_in_order
        return is_open and (not self._connection.wire.connected or self._confirms.missing > 0)

    def open(self) -> None:
        """Have the channel ready, so that the next call writes nothing but messages.

        Raises:
            OperationalError: the server does not answer.
            AMQPError, OSError: the connection is of no use any more.
        """
        if self._is_confirming and self._channel is not None and self._channel.channel_id is not None:
            return
        self.is_in_order = self.is_written = self._has_begun = False
        self._renew_deadline()
        try:
            self._open_channel()
        except TimeoutError as error:
            raise self._silence() from error
        finally:
            self._connection.wire.deadline = None
        self.is_in_order = True

    def publish(self, parcels: Sequence[Parcel]) -> list[Parcel]:
        """Write all, and wait for the server's answer for each. Returns those that came back as not to be routed.

        Should the server say meanwhile that it takes no messages, its answers are waited for all the same.

        Raises:
            OperationalError: the server takes no messages at the moment, has not answered, or has refused some.
            StoreRefused: one of them has no form.
            ChannelError: it has closed the channel; the next call works on a new one.
            AMQPError, OSError: the connection is of no use any more.
        """
        wire = self._connection.wire
        self._renew_deadline()
        try:
            self._send(parcels)
        except ChannelError:
            self._is_confirming = False  # py-amqp has opened it anew, as any new channel is: without confirms
            self.is_in_order = wire.connected
            raise
        except TimeoutError as error:
            if not wire.connected:  # it takes no more, and may have said why
                self.catch_up()
            raise self._silence() from error
        finally:
            wire.deadline = None
        return self.outcome(parcels)

    def catch_up(self) -> bool:
        """Without waiting, hear what the server has said since the last call failed.

        Returns:
            Whether all parcels of that call were written and are answered for: `outcome` says how.

        Raises:
            AMQPError, OSError: the connection is of no use any more.
        """
        wire = self._connection.wire
        try:
            with wire.having_timeout(0):
                while True:
                    self._read()
        except TimeoutError:
            pass  # that was all
        finally:
            wire.deadline = None
        if self.is_written and not self._confirms.missing:
            self._last = self._confirms.sent
            self.is_in_order = True
            return True
        return False

    def outcome(self, parcels: Sequence[Parcel]) -> list[Parcel]:
        """Those of `parcels`, all of which are answered for, that came back as not to be routed.

        Raises:
            OperationalError: the server has refused some.
        """
        if self._confirms.refused:
            raise self._refusal(parcels)
        return _sent_back(parcels, self._returned) if self._returned else []

    def _send(self, parcels: Sequence[Parcel]) -> None:
        channel = self._open_channel()
        wire, total = self._connection.wire, len(parcels)
        self.is_written = self._has_begun = False
        for piece, count in pieces_of(parcels, channel, self._connection.frame_max):
            self._confirms.sent = self._last + count
            self._has_begun = True
            self.is_in_order = False
            wire.write(piece)
            if count < total:
                self._read_what_is_there()
        self.is_written = True
        while self._confirms.missing:
            self._read()
        self._last = self._confirms.sent
        self.is_in_order = True

    def _open_channel(self) -> int:
        """Make sure of the channel. Its number."""
        if not self._is_confirming or self._channel is None or self._channel.channel_id is None:
            if self._channel is None or self._channel.channel_id is None:
                self._channel = self._connection.channel()
                returned = self._returned
                self._channel.events["basic_return"].add(lambda _, *what: returned.append(what))
            self._channel.confirm_select(nowait=True)
            self._is_confirming = True
            self._last = 0
        self._returned.clear()
        self._confirms = Confirms(self._last)
        number = self._channel.channel_id
        assert number is not None
        return number

    def _read(self) -> None:
        """Take one frame. Answers are most of them, and need no more than this."""
        kind, channel, payload = frame = self._connection.wire.read_frame()
        if kind == _METHOD_FRAME and self._channel is not None and channel == self._channel.channel_id:
            method = payload[:4]
            if method in {_ACK, _NACK}:
                _, _, number, bits = _ANSWER.unpack(payload)
                self._confirms.note(number, multiple=bool(bits & 1), refused=method == _NACK)
                self._renew_deadline()
                return
        self._connection.on_inbound_frame(frame)

    def _read_what_is_there(self) -> None:
        """Between two writes: answers, and whether the server still takes messages."""
        try:
            with self._connection.wire.having_timeout(0):
                while True:
                    self._read()
        except TimeoutError:
            self._renew_deadline()
        if self._connection.blocked is not None:
            self._wait_until_unblocked()

    def _wait_until_unblocked(self) -> None:
        """The server sends word when it takes messages again."""
        while self._connection.blocked is not None:
            self._read()

    def _renew_deadline(self) -> None:
        self._connection.wire.deadline = time.monotonic() + self._patience

    def _silence(self) -> OperationalError:
        address, reason = self._connection.server.address, self._connection.blocked
        if reason is not None:
            what = no_messages(address, reason)
        elif self._confirms.missing:
            what = f"{address} has not confirmed {self._confirms.missing} message(s)"
        else:
            what = f"{address} does not answer"
        return OperationalError(f"{what}; {waited(self._patience)}")

    def _refusal(self, parcels: Sequence[Parcel]) -> SomeRefused:
        refused, count = self._confirms.refused, len(parcels)
        text = (
            f"{self._connection.server.address} has refused {refused} of {count} message(s): a queue is full "
            "(x-max-length with x-overflow=reject-publish), has no leader yet, or could not write them"
        )
        if refused == count:
            return AllRefused(text, parcels)
        first = self._confirms.sent - count + 1
        not_taken = [parcels[number - first] for number in self._confirms.refused_numbers]
        return SomeRefused(f"{text}; others are stored", not_taken + _sent_back(parcels, self._returned))


def no_messages(address: str, reason: str) -> str:
    """That the server takes none, in words."""
    return f"{address} takes no messages at the moment ({reason}): it needs more memory or disk space"


def waited(seconds: float) -> str:
    """How long for an answer, in words."""
    return f"waited {seconds:g} s, which the transport option confirm_timeout can change"


_ACK: Final = bytes((0, spec.Basic.Ack[0], 0, spec.Basic.Ack[1]))
_NACK: Final = bytes((0, spec.Basic.Nack[0], 0, spec.Basic.Nack[1]))


def _sent_back(parcels: Sequence[Parcel], returned: Sequence[_Returned]) -> list[Parcel]:
    """The parcels that came back, which they do in the order in which they were sent."""
    found: list[Parcel] = []
    waiting = iter([parcel for parcel in parcels if parcel.mandatory])
    for exchange, routing_key, content in returned:
        for parcel in waiting:
            if (parcel.exchange, parcel.routing_key) == (exchange, routing_key) and _is_same(parcel.content, content):
                found.append(parcel)
                break
    return found


def _is_same(sent: amqp.Message, came: amqp.Message) -> bool:
    body = sent.body.encode() if isinstance(sent.body, str) else sent.body
    return body == came.body and sent.properties.get("message_id") == came.properties.get("message_id")
