"""Every captured result is read, and is written again from what was read: the same bytes."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from celeriac import exceptions
from celeriac.exceptions import CeleriacError, DecodeError, RemoteError
from celeriac.result_meta import decode_meta, encode_meta, failure_record
from celeriac.states import EXCEPTION_STATES

CAPTURES = Path(__file__).with_name("captures")
RESULTS = sorted(
    str(path.relative_to(CAPTURES))
    for pattern in ("redis/result/*.json", "redis/result_settings/*.json", "versions/*/redis/result/*.json")
    for path in CAPTURES.glob(pattern)
)
PLAIN_FIELDS = ("status", "result", "traceback", "children", "date_done", "group_id", "parent_id", "task_id")
CLIENT_CASES = json.loads((CAPTURES / "redis" / "tolerance" / "client_results.json").read_text())["cases"]

Loader = Callable[[str], list[bytes]]


def serializer_of(name: str) -> str:
    stem = Path(name).stem
    return stem.removeprefix("serializer_") if stem.startswith("serializer_") else "json"


def rewrite(fields: dict[str, Any], **options: Any) -> bytes:
    extended = {name: value for name, value in fields.items() if name not in PLAIN_FIELDS}
    date_done = fields["date_done"]
    return encode_meta(
        task_id=fields["task_id"],
        status=fields["status"],
        result=fields["result"],
        traceback=fields["traceback"],
        children=fields["children"],
        date_done=datetime.fromisoformat(date_done) if date_done else None,
        group_id=fields.get("group_id"),
        parent_id=fields.get("parent_id"),
        extended=extended,
        **options,
    )


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_is_read_and_written_again(name: str, metas: Loader) -> None:
    serializer = serializer_of(name)
    stored = metas(name)
    assert stored
    for meta in stored:
        fields = decode_meta(meta, serializer=serializer, accept=[serializer])
        if fields["status"] in EXCEPTION_STATES:
            assert fields["result"] is None or isinstance(fields["result"], Exception)
        if name.endswith("compression_gzip.json"):
            assert rewrite(fields, compression="gzip") == meta
        elif serializer in {"pickle", "yaml"}:  # same values; memo and line breaks are left to the libraries
            again = decode_meta(rewrite(fields, serializer=serializer), serializer=serializer, accept=[serializer])
            assert repr(again) == repr(fields)
        else:
            assert rewrite(fields, serializer=serializer) == meta


@pytest.mark.parametrize(
    ("name", "cls", "args"),
    [
        ("failure", ValueError, ("boom", 42)),
        ("failure_hard_limit", exceptions.TimeLimitExceeded, (1,)),
        ("failure_soft_limit", exceptions.SoftTimeLimitExceeded, ()),
        ("failure_unknown_task", exceptions.NotRegistered, ("no.such.task",)),
        ("failure_arguments", TypeError, ("add() missing 1 required positional argument: 'y'",)),
        ("expired", exceptions.TaskRevokedError, ("expired",)),
        ("revoked", exceptions.TaskRevokedError, ("revoked",)),
        ("terminated", exceptions.TaskRevokedError, ("terminated",)),
    ],
)
def test_exceptions_come_back_as_themselves(
    name: str, cls: type[Exception], args: tuple[object, ...], metas: Loader
) -> None:
    failed = [decode_meta(meta, accept=["json"]) for meta in metas(f"redis/result/{name}.json")]
    results = [fields["result"] for fields in failed if fields["status"] in {"FAILURE", "REVOKED"}]
    assert results
    for result in results:
        assert type(result) is cls
        assert result.args == args


@pytest.mark.parametrize(
    ("name", "cls"),
    [
        ("failure_worker_lost", exceptions.WorkerLostError),
        ("retry_exhausted", exceptions.MaxRetriesExceededError),
        ("failure_encode", exceptions.EncodeError),
        ("reject", exceptions.Reject),
        ("chord_failure", exceptions.ChordError),
    ],
)
def test_celerys_own_exceptions_are_ours(name: str, cls: type[Exception], metas: Loader) -> None:
    found = [decode_meta(meta, accept=["json"])["result"] for meta in metas(f"redis/result/{name}.json")]
    assert cls in [type(result) for result in found]


def test_a_class_that_is_not_here_has_a_stand_in(metas: Loader) -> None:
    [meta] = metas("redis/result/failure_custom.json")
    result = decode_meta(meta, accept=["json"])["result"]
    assert isinstance(result, RemoteError)
    assert (type(result).__module__, type(result).__qualname__) == ("wireapp", "AppError.Nested")
    assert result.args == ("nested", {"a": 1})


@pytest.mark.parametrize("name", ["failure_hard_limit", "expired"])
def test_a_failure_that_the_supervisor_reports_is_written_as_celerys(name: str, metas: Loader) -> None:
    meta = metas(f"redis/result/{name}.json")[-1]
    fields = decode_meta(meta, accept=["json"])
    now = datetime.fromisoformat(fields["date_done"])
    record = failure_record(fields["task_id"], fields["result"], status=fields["status"], now=now, ttl=86400.0)
    assert record.meta == meta
    assert (record.task_id, record.status, record.ttl) == (fields["task_id"], fields["status"], 86400.0)


@pytest.mark.parametrize("name", sorted(CLIENT_CASES))
def test_hand_made_results_are_read_or_refused_but_never_break_the_reader(name: str) -> None:
    meta = CLIENT_CASES[name]["value_written"].encode()
    if name == "not_json":
        with pytest.raises(DecodeError, match="not valid json"):
            decode_meta(meta, accept=["json"])
        return
    fields = decode_meta(meta, accept=["json"])
    assert {"status", "result", "traceback", "children", "date_done", "task_id"} <= fields.keys()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("failure_full", "ValueError('boom', 42)"),
        ("failure_unknown_class", "OurError('boom')"),
        ("failure_message_string", "ValueError('boom')"),
        ("failure_no_module", "ValueError('boom')"),
        ("failure_no_type", "RemoteError('boom')"),
        ("failure_string", "RemoteError('boom')"),
        ("failure_null", "None"),
        ("failure_not_exception", "system('echo')"),
        ("revoked", "TaskRevokedError('revoked')"),
        ("retry_state", "KeyError('x')"),
        ("retry_null", "None"),
    ],
)
def test_hand_made_failures(name: str, expected: str) -> None:
    result = decode_meta(CLIENT_CASES[name]["value_written"].encode(), accept=["json"])["result"]
    assert repr(result) == expected


def test_a_constructor_that_refuses_the_arguments_does_not_hide_the_class() -> None:
    meta = CLIENT_CASES["failure_bad_ctor"]["value_written"].encode()
    result = decode_meta(meta, accept=["json"])["result"]
    assert isinstance(result, UnicodeDecodeError | CeleriacError)
    assert result.args == ("x",)
