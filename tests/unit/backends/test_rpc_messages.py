"""Results as messages are Celery's, byte for byte."""

from __future__ import annotations

import base64
import struct
from datetime import datetime

import amqp
import pytest

from celeriac.backends.rpc.messages import ReplyForm, mark_of, mark_parcel, read_reply
from celeriac.exceptions import BackendError
from celeriac.outcome import ResultRecord
from celeriac.result_meta import encode_meta, split_compressed
from celeriac.storage.rabbitmq.framing import Content

#: Content headers and a body that a worker of Celery 5.7.0 sent: `rpc://`, then with `result_persistent`.
TRANSIENT = (
    "ADwAAAAAAAAAAACp/AAQYXBwbGljYXRpb24vanNvbgV1dGYtOAAAAAABACQ5ODA3YmRkYi0yYWRmLTQ1OWYtYWY0ZS1iZmNhNDEyMWU5NzM="
)
PERSISTENT = (
    "ADwAAAAAAAAAAACp/AAQYXBwbGljYXRpb24vanNvbgV1dGYtOAAAAAACACQxMDIyYjZiYy04NTRlLTRiZTEtODI2Ny05MDUzYzU1MDZiZDQ="
)
BODY = (
    b'{"status": "SUCCESS", "result": 5, "traceback": null, "children": [], '
    b'"date_done": "2026-11-22T07:26:13.506282+00:00", "task_id": "9807bddb-2adf-459f-af4e-bfca4121e973"}'
)


def record(task_id: str, date_done: str, *, serializer: str = "json", compression: str | None = None) -> ResultRecord:
    meta = encode_meta(
        task_id=task_id,
        status="SUCCESS",
        result=5,
        children=[],
        date_done=datetime.fromisoformat(date_done),
        serializer=serializer,
        compression=compression,
    )
    return ResultRecord(task_id, "SUCCESS", meta, None, "c1af9dc2-d768-38dc-8024-4762183901f6")


def content_header(content: amqp.Message) -> bytes:
    """The payload of the content header frame, as AMQP 0-9-1 has it."""
    return struct.pack(">HHQ", 60, 0, len(content.body)) + content._serialize_properties()


def status_of(meta: bytes) -> str:
    if not meta.startswith(b"{"):
        raise BackendError("not JSON")
    return "SUCCESS"


@pytest.mark.parametrize(
    ("persistent", "task_id", "date_done", "header"),
    [
        (False, "9807bddb-2adf-459f-af4e-bfca4121e973", "2026-11-22T07:26:13.506282+00:00", TRANSIENT),
        (True, "1022b6bc-854e-4be1-8267-9053c5506bd4", "2026-11-22T07:26:28.164348+00:00", PERSISTENT),
    ],
)
def test_the_bytes_of_a_result(persistent: bool, task_id: str, date_done: str, header: str) -> None:
    parcel = ReplyForm("json", persistent).parcel(record(task_id, date_done))
    assert parcel is not None
    assert (parcel.exchange, parcel.routing_key) == ("", "c1af9dc2-d768-38dc-8024-4762183901f6")
    assert content_header(parcel.content) == base64.b64decode(header)
    assert persistent or parcel.content.body == BODY


@pytest.mark.parametrize(
    ("serializer", "content_type", "encoding"),
    [
        ("json", "application/json", "utf-8"),
        ("pickle", "application/x-python-serialize", "binary"),
        ("msgpack", "application/x-msgpack", "binary"),
        ("yaml", "application/x-yaml", "utf-8"),
    ],
)
def test_the_content_type_is_that_of_the_serialiser(serializer: str, content_type: str, encoding: str) -> None:
    parcel = ReplyForm(serializer, False).parcel(record("1", "2026-11-22T07:26:13+00:00", serializer=serializer))
    assert parcel is not None
    properties = parcel.content.properties
    assert (properties["content_type"], properties["content_encoding"]) == (content_type, encoding)


def test_compression_is_named_as_in_every_message() -> None:
    sent = record("1", "2026-11-22T07:26:13+00:00", compression="zlib")
    parcel = ReplyForm("json", False).parcel(sent)
    assert parcel is not None
    assert parcel.content.headers == {"compression": "application/x-gzip"}
    assert parcel.content.body == split_compressed(sent.meta)[1]
    assert read_reply(parcel.content, lambda _: "SUCCESS") == ("1", ResultRecord("1", "SUCCESS", sent.meta))


@pytest.mark.parametrize("queue", [None, "x" * 256, "\u00fc" * 128])
def test_names_that_no_queue_can_have(queue: str | None) -> None:
    assert ReplyForm("json", False).parcel(ResultRecord("1", "SUCCESS", b"{}", None, queue)) is None


def test_what_comes_is_read() -> None:
    assert read_reply(Content(b"{}", correlation_id="1"), status_of) == ("1", ResultRecord("1", "SUCCESS", b"{}"))
    assert read_reply(Content(b"?", correlation_id="1"), status_of) == ("1", "not JSON")
    assert read_reply(Content(b"{}"), status_of) is None


def test_marks() -> None:
    parcel = mark_parcel("q", "name")
    assert mark_of(parcel.content) == "name"
    assert mark_of(Content(b"{}", correlation_id="1")) is None


@pytest.mark.parametrize("queue", [None, "x" * 256, "\ud800"])
def test_nothing_is_sent_to_what_can_be_no_queue(queue: str | None) -> None:
    """A task says where its result goes, and any program may have written that."""
    assert ReplyForm("json", persistent=False).parcel(ResultRecord("1", "SUCCESS", b"{}", None, queue)) is None
