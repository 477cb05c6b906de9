"""How headers and histories are stored."""

from __future__ import annotations

from typing import Any

import pytest

from celeriac.exceptions import DecodeError, EncodeError
from celeriac.message import Loss, Message, PackedMessage, decode_head, encode_head
from celeriac.storage.codec import decode_history, encode_history, priority_level


@pytest.mark.parametrize(
    "headers",
    [{}, {"a": None, "b": [1, {"c": 0.5}]}, {"big": 2**90}, {"\u00fc": "\U0001f955"}, {"lone": "\udc80"}],
)
def test_heads_come_back_as_they_were(headers: dict[str, Any]) -> None:
    assert decode_head(encode_head(Message(headers, {"p": 1}, b""))) == (headers, {"p": 1})


def test_what_has_no_json_form_is_an_error_that_says_so() -> None:
    with pytest.raises(EncodeError, match="JSON"):
        encode_head(Message({"x": object()}, {}, b""))
    circle: list[object] = []
    circle.append(circle)
    with pytest.raises(EncodeError):
        encode_head(Message({"x": circle}, {}, b""))


@pytest.mark.parametrize("blob", [b"", b"{", b"[1]", b"\xff\xfe", b"null", b"[[], []]", b'[{}, "x"]'])
def test_garbage_in_the_store_is_a_decode_error(blob: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_head(blob)


@pytest.mark.parametrize("more", [{}, {"big": 2**90}, {"lone": "\udc80"}, {"eta": None}])
def test_a_peek_sees_what_the_message_says(more: dict[str, Any]) -> None:
    headers = {"task": "t", "id": "1", "timelimit": [2, None], "ignore_result": True, **more}
    head = PackedMessage.pack(Message(headers, {"priority": 3}, b"body")).peek()
    assert (head.task, head.id, head.expires) == ("t", "1", None)
    assert (head.timelimit, head.ignore_result) == ([2, None], True)


def test_histories() -> None:
    assert encode_history(()) is None
    assert decode_history(None) == ()
    history = (Loss(1.5, "w", "reason \u00fc"), Loss(2.0, "v", ""))
    assert decode_history(encode_history(history)) == history


@pytest.mark.parametrize(("priority", "level"), [(-5, 0), (0, 0), (4, 4), (9, 9), (255, 9)])
def test_levels(priority: int, level: int) -> None:
    assert priority_level(priority) == level
