"""Messages on their way out: what the captures do not show."""

from __future__ import annotations

import os
import socket
from collections import UserDict, deque
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.exceptions import EncodeError, MessageTooLarge
from celeriac.message import Message
from celeriac.protocol import MessageTemplate, read_invocation, task_message
from celeriac.protocol.options import MessageOptions

LIMIT = 1_000_000
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary() | st.dates(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


def send(*args: Any, options: MessageOptions | None = None, **kwargs: Any) -> Message:
    return task_message(task="add", task_id="id-1", args=args, kwargs=kwargs, size_limit=LIMIT, **(options or {}))


@given(st.lists(VALUES, max_size=4), st.dictionaries(st.text(), VALUES, max_size=4))
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_call_comes_back(compression: str | None, args: list[object], kwargs: dict[str, object]) -> None:
    message = task_message(
        task="add", task_id="id-1", args=args, kwargs=kwargs, size_limit=LIMIT, compression=compression
    )
    invocation = read_invocation(message, accept=["json"], inflated_size_limit=LIMIT)
    assert (invocation.args, invocation.kwargs) == (args, kwargs)
    assert (invocation.task, invocation.id) == ("add", "id-1")


def test_a_process_is_named_as_celery_names_it() -> None:
    assert send().headers["origin"] == f"gen{os.getpid()}@{socket.gethostname()}"


def test_a_forked_process_has_a_name_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    send()
    monkeypatch.setattr(os, "getpid", lambda: 4711)
    assert send().headers["origin"] == f"gen4711@{socket.gethostname()}"


def test_messages_of_one_template_share_nothing() -> None:
    template = MessageTemplate(task="add", size_limit=LIMIT, stamps={"tenant": ["acme"]}, stamped_headers=["tenant"])
    first, second = template.message("1", (), {}), template.message("2", (), {})
    first.headers["timelimit"][0] = 5
    first.headers["stamps"]["more"] = 1
    first.properties["priority"] = 9
    assert second.headers["timelimit"] == [None, None]
    assert second.headers["stamps"] == {"tenant": ["acme"]}
    assert second.properties["priority"] == 0
    assert template.message("3", (), {}).headers["stamps"] == {"tenant": ["acme"]}


@pytest.mark.parametrize("args", ["text", b"bytes", 5, None, {1, 2}, {"a": 1}])
def test_args_must_be_a_sequence(args: Any) -> None:
    with pytest.raises(TypeError, match="the args of task add must be a list or tuple"):
        task_message(task="add", task_id="1", args=args, kwargs={}, size_limit=LIMIT)


def test_other_sequences_and_mappings_are_taken() -> None:
    message = task_message(task="add", task_id="1", args=deque([1]), kwargs=UserDict(a=1), size_limit=LIMIT)
    assert message.body.startswith(b'[[1], {"a": 1}, ')
    with pytest.raises(TypeError, match="the kwargs of task add must be a mapping"):
        task_message(task="add", task_id="1", args=(), kwargs=[("a", 1)], size_limit=LIMIT)  # type: ignore[arg-type]


class Model:
    pass


@pytest.mark.parametrize("serializer", ["json", "msgpack", "yaml"])
def test_the_argument_that_can_not_be_sent_is_named(serializer: str) -> None:
    options: MessageOptions = {"serializer": serializer}
    with pytest.raises(EncodeError, match=rf"task 'add' can not be sent: args\[1\] is a Model, which {serializer} can"):
        send(1, Model(), options=options)
    with pytest.raises(EncodeError, match=r"kwargs\['user'\]\['pets'\]\[0\] is a Model"):
        send(user={"pets": [Model()]}, options=options)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"callbacks": [{"task": "x", "args": [Model()]}]}, "link[0]['args'][0]"),
        ({"errbacks": [{"task": "x", "args": [Model()]}]}, "link_error[0]['args'][0]"),
        ({"chain": [{"task": "x", "args": [Model()]}]}, "chain[0]['args'][0]"),
        ({"chord": {"task": "x", "args": [Model()]}}, "chord['args'][0]"),
        ({"chord": {"task": "x", "args": [Model()]}, "serializer": "msgpack"}, "chord['args'][0]"),
    ],
)
def test_the_signature_that_can_not_be_sent_is_named(options: MessageOptions, name: str) -> None:
    with pytest.raises(EncodeError) as caught:
        send(options=options)
    assert f"task 'add' can not be sent: {name} is a Model" in str(caught.value)


def test_a_body_over_the_limit_is_refused_with_its_size() -> None:
    with pytest.raises(MessageTooLarge) as caught:
        task_message(task="add", task_id="1", args=("x" * 1000,), kwargs={}, size_limit=1000)
    text = str(caught.value)
    assert "the message of task 'add' is 1079 bytes, the limit task_message_size_limit is 1000" in text
    assert "pass a reference" in text


def test_the_size_is_that_after_compression() -> None:
    message = task_message(task="add", task_id="1", args=("x" * 1000,), kwargs={}, size_limit=200, compression="zlib")
    assert len(message.body) < 200
    with pytest.raises(MessageTooLarge):
        task_message(
            task="add", task_id="1", args=(os.urandom(1000).hex(),), kwargs={}, size_limit=200, compression="zlib"
        )


class Tenant(StrEnum):
    ACME = "acme"


def test_headers_are_plain_data() -> None:
    headers = send(options={"headers": {"tenant": Tenant.ACME, "list": (1, {"k": (True,)})}}).headers
    assert type(headers["tenant"]) is str
    assert headers["list"] == [1, {"k": [True]}]


@pytest.mark.parametrize("option", ["headers", "properties", "stamps"])
def test_headers_that_no_broker_can_carry_are_named(option: str) -> None:
    for value, where in ((datetime.now(UTC), "['when']"), ({"a": [{1}]}, "['when']['a'][0]"), ({1: 2}, "['when']")):
        with pytest.raises(EncodeError) as caught:
            send(options=cast("MessageOptions", {option: {"when": value}}))
        assert str(caught.value).startswith(f"{option}{where}")


@pytest.mark.parametrize("name", ["id", "task", "lang", "compression"])
def test_headers_of_the_protocol_can_not_be_replaced(name: str) -> None:
    with pytest.raises(EncodeError, match=f"header '{name}' belongs to the protocol"):
        send(options={"headers": {name: "x"}})


def test_the_expiration_is_what_is_left() -> None:
    now = datetime(2030, 1, 1, tzinfo=UTC)
    naive = datetime(2030, 1, 1, 0, 1)  # noqa: DTZ001 - a naive time is UTC
    assert send(options={"expires": naive, "now": now}).properties["expiration"] == "60000"
    assert send(options={"expires": now, "now": now + timedelta(days=1)}).properties["expiration"] == "0"
    left = int(send(options={"expires": datetime.now(UTC) + timedelta(hours=1)}).properties["expiration"])
    assert 3_500_000 < left <= 3_600_000


def test_levels_of_the_reprs() -> None:
    message = send([[1]], a=[[1]], options={"repr_maxlevels": 2})
    assert (message.headers["argsrepr"], message.headers["kwargsrepr"]) == ("([[...]],)", "{'a': [[...]]}")


def test_an_unknown_serializer_or_compression_is_named() -> None:
    with pytest.raises(EncodeError, match="no serializer 'xml'"):
        send(options={"serializer": "xml"})
    with pytest.raises(EncodeError, match="no compression 'rar'"):
        send(options={"compression": "rar"})
