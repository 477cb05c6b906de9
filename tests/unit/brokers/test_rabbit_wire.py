"""Messages as contents of AMQP and back."""

from __future__ import annotations

import pytest

from celeriac.brokers.rabbitmq.naming import DUE_HEADER, HEAD_HEADER, holding_of, presence_of
from celeriac.brokers.rabbitmq.wire import content_of, read_content
from celeriac.exceptions import StoreRefused
from celeriac.message import Loss, Message


def test_a_message_comes_out_as_it_went_in() -> None:
    sent = Message({"task": "t", "id": "1", "retries": 0}, {"reply_to": "r", "correlation_id": "1"}, b"[]")
    arrival = read_content(content_of(sent, 3), redelivered=False)
    got = arrival.packed.unpack()
    assert (got.headers, got.body, got.content_type) == (sent.headers, sent.body, sent.content_type)
    assert got.properties == {"reply_to": "r", "correlation_id": "1", "priority": 3, "delivery_mode": 2}
    assert (arrival.priority, arrival.history, arrival.due, arrival.hold) == (3, (), None, None)
    assert arrival.head is not None
    assert arrival.head.task == "t"


def test_losses_and_due_times_travel_and_do_not_show() -> None:
    losses = (Loss(1.0, "w", "killed"),)
    content = content_of(Message({"id": "1", DUE_HEADER: 5.0}, {}, b""), 0, losses, {DUE_HEADER: 7.5})
    arrival = read_content(content, redelivered=True)
    assert (arrival.history, arrival.due, arrival.redelivered) == (losses, 7.5, True)
    assert arrival.packed.unpack().headers == {"id": "1"}


@pytest.mark.parametrize("headers", [{"big": 2**80}, {"n" * 300: 1}, {"deep": {"big": [2**64]}}, {"odd": float("inf")}])
def test_what_a_table_can_not_hold_goes_as_json(headers: dict[str, object]) -> None:
    content = content_of(Message({"task": "t", **headers}, {}, b""), 0)
    assert list(content.properties["application_headers"]) == [HEAD_HEADER]
    got = read_content(content, redelivered=False).packed.unpack().headers
    assert got["task"] == "t"
    assert got.keys() == {"task", *headers}


def test_headers_that_fit_into_no_frame_are_refused() -> None:
    with pytest.raises(StoreRefused, match="put large values into the arguments"):
        content_of(Message({"task": "t", "x": "x" * 200_000}, {}, b""), 0)


def test_names_of_queues_fit_for_any_worker() -> None:
    assert holding_of("w", "q") == "celeriac.held.w.q"
    long_names = {holding_of("w" * 200 + end, "q" * 199) for end in "ab"} | {presence_of("\u00fc" * 200)}
    assert len(long_names) == 3
    assert all(len(name.encode()) <= 255 for name in long_names)
