"""The frames of messages, and the server's answers for them."""

from __future__ import annotations

import random
import struct
from typing import Any

import pytest

from celeriac.exceptions import StoreRefused
from celeriac.storage.rabbitmq.framing import Content
from celeriac.storage.rabbitmq.parcels import Confirms, Parcel, frames_of, pieces_of


def frames(raw: bytes) -> list[tuple[int, int, bytes]]:
    """Taken apart again: type, channel, payload."""
    found, at = [], 0
    while at < len(raw):
        kind, channel, size = struct.unpack_from(">BHI", raw, at)
        assert raw[at + 7 + size] == 0xCE
        found.append((kind, channel, raw[at + 7 : at + 7 + size]))
        at += size + 8
    return found


@pytest.mark.parametrize("size", [0, 1, 4088, 4089, 8176, 10_000])
def test_a_body_takes_as_many_frames_as_it_needs(size: int) -> None:
    body = random.Random(size).randbytes(size)
    content = Content(body, message_id="m", application_headers={"a": 1})
    method, header, *bodies = frames(frames_of(Parcel("x", "key", content, mandatory=True), 7, 4096))
    assert method == (1, 7, b"\0\x3c\0\x28\0\0\x01x\x03key\x01")
    assert header[:2] == (2, 7)
    again = Content()
    again.inbound_header(header[2])
    assert again.body_size == size
    assert again.properties == {"message_id": "m", "application_headers": {"a": 1}}
    assert all(kind == 3 and channel == 7 and len(part) <= 4088 for kind, channel, part in bodies)
    assert b"".join(part for _, _, part in bodies) == body


def test_text_is_encoded() -> None:
    content = Content("ä")
    bodies = frames(frames_of(Parcel("", "q", content), 1, 4096))
    assert bodies[-1] == (3, 1, "ä".encode())
    assert content.properties["content_encoding"] == "utf-8"


@pytest.mark.parametrize(
    ("parcel", "words"),
    [
        (Parcel("", "q" * 256, Content(b"")), "routing key .* 256 bytes"),
        (Parcel("ä" * 128, "q", Content(b"")), "exchange .* 256 bytes"),
        (Parcel("", "\ud800", Content(b"")), "not text"),
        (Parcel("", "q", Content(b"", application_headers={"a": "x" * 5000})), "frame_max"),
    ],
)
def test_what_has_no_form_is_refused(parcel: Parcel, words: str) -> None:
    with pytest.raises(StoreRefused, match=words):
        frames_of(parcel, 1, 4096)


def test_pieces_are_of_a_size_to_write_at_once() -> None:
    parcels = [Parcel("", "q", Content(bytes(1000))) for _ in range(1000)]
    pieces = list(pieces_of(parcels, 1, 131_072))
    assert b"".join(piece for piece, _ in pieces) == b"".join(frames_of(parcel, 1, 131_072) for parcel in parcels)
    assert 5 <= len(pieces) <= 12
    counts = [count for _, count in pieces]
    assert counts == sorted(counts)
    assert counts[-1] == 1000


def test_large_messages_are_written_in_slices() -> None:
    parcels = [Parcel("", "q", Content(bytes(size))) for size in (10, 3_000_000, 10)]
    pieces = list(pieces_of(parcels, 1, 131_072))
    assert b"".join(piece for piece, _ in pieces) == b"".join(frames_of(parcel, 1, 131_072) for parcel in parcels)
    assert [count for _, count in pieces] == [0, 0, 2, 3]


def test_answers_in_any_order() -> None:
    generator = random.Random(1)
    for _ in range(200):
        confirms = Confirms(10)
        confirms.sent = 30
        left = set(range(11, 31))
        refused = 0
        while left:
            number, multiple, is_refused = (
                generator.choice(sorted(left)),
                generator.random() < 0.3,
                generator.random() < 0.2,
            )
            now = {one for one in left if one <= number} if multiple else {number}
            left -= now
            refused += len(now) * is_refused
            confirms.note(number, multiple=multiple, refused=is_refused)
            assert confirms.missing == len(left)
        assert confirms.refused == refused


def test_which_parcels_are_the_same() -> None:
    def parcel(key: str = "k", body: bytes = b"b", *, mandatory: bool = True, **properties: Any) -> Parcel:
        return Parcel("x", key, Content(body, application_headers={"a": [1]}, **properties), mandatory)

    one = parcel(correlation_id="c")
    assert one.is_same_as(parcel(correlation_id="c"))
    others = [parcel("l", correlation_id="c"), parcel(body=b"", correlation_id="c"), parcel(correlation_id="d")]
    assert not any(one.is_same_as(other) for other in [*others, parcel(correlation_id="c", mandatory=False)])
    assert one.has_id()
    assert parcel(message_id="m").has_id()
    assert not parcel(message_id="").has_id()
