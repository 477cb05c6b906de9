"""The state is read out of a stored meta, by short cut or in full, and never out of something else."""

from __future__ import annotations

import pickle

import pytest

from celeriac import serialization
from celeriac.backends.metas import read_status, script_mark
from celeriac.exceptions import BackendError
from celeriac.result_meta import encode_meta

SERIALIZERS = ["json", "msgpack", "pickle", "yaml"]
#: What could be taken for the state by a reader that is too hasty.
DECOY = {"status": "SUCCESS", "text": "\nstatus: SUCCESS\n", "raw": '{"status": "SUCCESS"'}


def status(meta: bytes, serializer: str = "json", limit: int = 10_000) -> str:
    return read_status(meta, serializer=serializer, accept=[serializer], inflated_size_limit=limit)


@pytest.mark.parametrize("compression", [None, "gzip"])
@pytest.mark.parametrize("serializer", SERIALIZERS)
@pytest.mark.parametrize("state", ["SUCCESS", "FAILURE", "STARTED", "PROGRESS-1", "in work", "\u00fc", "a: b", "no"])
def test_every_state_of_every_serializer(state: str, serializer: str, compression: str | None) -> None:
    meta = encode_meta(task_id="1", status=state, result=DECOY, serializer=serializer, compression=compression)
    assert status(meta, serializer) == state


@pytest.mark.parametrize("serializer", SERIALIZERS)
def test_the_state_may_come_last(serializer: str) -> None:
    meta = serialization.encode({"result": DECOY, "task_id": "1", "status": "RETRY"}, serializer).body
    assert status(meta, serializer) == "RETRY"


def test_json_that_only_python_reads() -> None:
    assert status(b'{"status": "SUCCESS", "result": NaN}') == "SUCCESS"
    assert status(b'{"status": "SUCCESS", "result": "\\ud800"}') == "SUCCESS"


def test_pickles_of_other_protocols_are_read_in_full() -> None:
    fields = {"status": "STARTED", "result": None}
    for protocol in (2, 5):
        assert status(pickle.dumps(fields, protocol=protocol), "pickle") == "STARTED"


def test_a_state_in_a_pickle_is_read_without_unpickling_it() -> None:
    meta = encode_meta(task_id="1", status="SUCCESS", result=None, serializer="pickle")
    assert read_status(meta, serializer="pickle", accept=["json"], inflated_size_limit=1) == "SUCCESS"
    with pytest.raises(BackendError, match="pickle"):
        read_status(pickle.dumps({"status": "A"}, 2), serializer="pickle", accept=["json"], inflated_size_limit=1)


@pytest.mark.parametrize(
    "garbage", [b"", b"garbage", b"[]", b"{}", b'{"status": 1}', b"\x00celery-compressed\x00x\x00", b"\xff"]
)
@pytest.mark.parametrize("serializer", SERIALIZERS)
def test_garbage_is_named(garbage: bytes, serializer: str) -> None:
    with pytest.raises(BackendError, match=f"result_serializer='{serializer}', which must be the same"):
        status(garbage, serializer)


def test_a_result_that_inflates_too_far_is_refused() -> None:
    meta = encode_meta(task_id="1", status="SUCCESS", result="x" * 5000, compression="gzip")
    assert status(meta) == "SUCCESS"
    with pytest.raises(BackendError, match="can not be read"):
        status(meta, limit=1000)


def test_marks_for_scripts() -> None:
    assert [script_mark(name) for name in SERIALIZERS] == SERIALIZERS
    assert script_mark("application/json") == "json"


def test_scripts_can_not_look_into_serializers_of_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    from celeriac.serialization import registry

    monkeypatch.setattr(registry, "_BY_NAME", dict(registry._BY_NAME))
    monkeypatch.setattr(registry, "_BY_CONTENT_TYPE", dict(registry._BY_CONTENT_TYPE))
    serialization.register(
        "mine", lambda value: repr(value).encode(), lambda body: {"status": body.decode()}, "text/mine"
    )
    assert script_mark("mine") is None
    assert status(b"SUCCESS", "mine") == "SUCCESS"
