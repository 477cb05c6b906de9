"""Signals: who is called, with what, and that a listener does no harm."""

from __future__ import annotations

import gc
import logging
from typing import Any

import pytest

from celeriac import Celeriac
from celeriac.signals import Signal


def test_receivers_get_signal_sender_and_arguments() -> None:
    signal = Signal("something")
    seen: list[dict[str, Any]] = []

    @signal.connect
    def receive(**arguments: Any) -> str:
        seen.append(arguments)
        return "answer"

    assert signal.send("me", number=1) == [(receive, "answer")]
    assert seen == [{"signal": signal, "sender": "me", "number": 1}]


def test_without_receivers_the_signal_is_false_and_sends_to_nobody() -> None:
    signal = Signal("something")
    assert not signal.receivers
    assert not signal.has_listeners()
    assert signal.send("me") == []


def test_sender_filter_takes_a_task_for_its_name(app: Celeriac) -> None:
    @app.task(name="one")
    def one() -> None: ...

    @app.task(name="two")
    def two() -> None: ...

    signal = Signal("something")
    calls: list[object] = []

    @signal.connect(sender=one)
    def of_task(sender: object, **_: Any) -> None:
        calls.append(("task", sender))

    @signal.connect(sender="two")
    def of_name(sender: object, **_: Any) -> None:
        calls.append(("name", sender))

    signal.send(one)
    signal.send("one")
    signal.send(two)
    signal.send(None)
    assert calls == [("task", one), ("task", "one"), ("name", two)]


def test_other_senders_are_compared_by_identity() -> None:
    first, second = object(), object()
    signal = Signal("something")
    calls: list[object] = []

    @signal.connect(sender=first)
    def receive(sender: object, **_: Any) -> None:
        calls.append(sender)

    signal.send(second)
    signal.send(first)
    assert calls == [first]
    assert signal.has_listeners(first)
    assert not signal.has_listeners(second)


def test_a_receiver_that_raises_is_logged_and_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    signal = Signal("something")
    error = ValueError("boom")

    @signal.connect
    def broken(**_: Any) -> None:
        raise error

    @signal.connect
    def fine(**_: Any) -> int:
        return 1

    with caplog.at_level(logging.ERROR, logger="celeriac.signals"):
        assert signal.send("me") == [(broken, error), (fine, 1)]
    assert "broken" in caplog.text
    assert "boom" in caplog.text


def test_weak_receivers_vanish_with_their_last_reference() -> None:
    signal = Signal("something")

    def connect() -> None:
        def local(**_: Any) -> None: ...

        signal.connect(local)
        assert signal.receivers

    connect()
    gc.collect()
    assert not signal.receivers


def test_strong_receivers_stay() -> None:
    signal = Signal("something")

    def connect() -> None:
        def local(**_: Any) -> int:
            return 1

        signal.connect(local, weak=False)

    connect()
    gc.collect()
    assert [answer for _, answer in signal.send(None)] == [1]


class Listener:
    def hear(self, **_: Any) -> str:
        return "heard"


def test_bound_methods_live_as_long_as_their_object() -> None:
    signal = Signal("something")
    listener = Listener()
    signal.connect(listener.hear)
    assert [answer for _, answer in signal.send(None)] == ["heard"]
    del listener
    gc.collect()
    assert signal.send(None) == []


def test_the_same_receiver_is_connected_once() -> None:
    signal = Signal("something")

    def receive(**_: Any) -> None: ...

    signal.connect(receive)
    signal.connect(receive)
    assert len(signal.receivers) == 1


def test_dispatch_uid_replaces() -> None:
    signal = Signal("something")

    @signal.connect(dispatch_uid="only one")
    def first(**_: Any) -> int:
        return 1

    @signal.connect(dispatch_uid="only one")
    def second(**_: Any) -> int:
        return 2

    assert [answer for _, answer in signal.send(None)] == [2]
    assert signal.disconnect(dispatch_uid="only one")
    assert not signal.receivers
    assert first is not second


def test_disconnect_tells_whether_there_was_something() -> None:
    signal = Signal("something")
    listener = Listener()
    signal.connect(listener.hear)
    assert not signal.disconnect(listener.hear, sender="other")
    assert signal.disconnect(listener.hear)
    assert not signal.disconnect(listener.hear)
