"""`celeriac chord` against a real SQLite store: what is shown of a chord, and ending one."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from celeriac import Celeriac, chord, group
from celeriac.chords import ChordShare, ChordStart, ClaimedChord
from celeriac.result import AsyncResult
from celeriac.result_meta import encode_part

Run = Callable[..., Result]


@pytest.fixture
def app(project: Path) -> Iterator[Celeriac]:
    """An app on the same database file as the project's."""
    app = Celeriac("peer", broker=f"sqlite:///{project}/shop.sqlite3", set_as_current=False)
    yield app
    app.close()


def _begin(app: Celeriac, size: int = 3) -> AsyncResult[Any]:
    """Send a chord; nobody runs it."""
    header = group(app.signature("shop.add", (n, 1), queue="adding") for n in range(size))
    result = chord(header, app.signature("shop.report"), app=app).apply_async()
    assert isinstance(result, AsyncResult)
    return result


def _header_of(result: AsyncResult[Any]) -> Any:
    return result.parent


def _come(app: Celeriac, result: AsyncResult[Any], index: int, value: object, state: str = "SUCCESS") -> str:
    """A member of its header has come to this; returns its id."""
    header = _header_of(result)
    task_id: str = header.results[index].id
    _share(app, header.id, task_id, index, encode_part(task_id, state, value))
    return task_id


def _share(app: Celeriac, group_id: str, task_id: str, index: int, part: bytes) -> None:
    share = ChordShare(group_id, task_id, index, part, b'{"task": "b", "options": {}}', None, "adding")
    asyncio.run(app.chord_store.add_shares([share]))


def _claim(app: Celeriac, queue: str = "adding") -> list[ClaimedChord]:
    return asyncio.run(app.chord_store.claim_chords([queue], 10, 30.0))


# -- list ----------------------------------------------------------------------------------------------------------


def test_list_shows_the_newest_first(run: Run, app: Celeriac) -> None:
    assert run("-A", "shop", "chord", "list").output == "No open chords.\n"
    assert run("-A", "shop", "-q", "chord", "list").output == ""
    old, new = _begin(app), _begin(app, 2)
    _come(app, old, 1, 5)
    lines = run("-A", "shop", "chord", "list").output.splitlines()
    assert lines[0].split("\t") == ["chord", "began", "done", "queue", "body", "state"]
    cells = [line.split("\t") for line in lines[1:]]
    assert [[one[0], *one[2:]] for one in cells] == [
        [_header_of(new).id, "0/2", "adding", f"shop.report[{new.id}]", "waits for members"],
        [_header_of(old).id, "1/3", "adding", f"shop.report[{old.id}]", "waits for members"],
    ]
    assert len(run("-A", "shop", "chord", "list", "-n", "1").output.splitlines()) == 2


def test_list_as_json(run: Run, app: Celeriac) -> None:
    result = _begin(app)
    _come(app, result, 0, 1)
    told = json.loads(run("-A", "shop", "chord", "list", "--json").output)
    began = told.pop("began")
    assert began.endswith("+00:00")
    assert told == {
        "group_id": _header_of(result).id,
        "size": 3,
        "done": 1,
        "missing": 2,
        "body": {"task": "shop.report", "id": result.id},
        "queue": "adding",
        "is_claimed": False,
        "reason": None,
    }


def test_list_says_what_complete_chords_wait_for(run: Run, app: Celeriac) -> None:
    result = _begin(app, 1)
    _come(app, result, 0, 1)
    assert run("-A", "shop", "chord", "list").output.endswith("complete\n")
    assert len(_claim(app)) == 1
    assert run("-A", "shop", "chord", "list").output.endswith("a worker makes the body\n")


# -- show ----------------------------------------------------------------------------------------------------------


def test_show_tells_what_members_have_come_to(run: Run, app: Celeriac) -> None:
    result = _begin(app)
    good = _come(app, result, 2, "x" * 5000)
    bad = _come(app, result, 0, ValueError("boom"), "FAILURE")
    shown = run("-A", "shop", "chord", "show", _header_of(result).id)
    lines = shown.stdout.splitlines()
    assert lines[0] == f"Chord    {_header_of(result).id}"
    assert lines[2:6] == [
        f"Body     shop.report[{result.id}]",
        "Queue    adding",
        "Done     2 of 3",
        "State    waits for members",
    ]
    assert lines[6:8] == ["member\tstate\tresult", f"{bad}\tFAILURE\tValueError('boom')"]
    assert lines[8].startswith(f"{good}\tSUCCESS\t'xxx")
    assert len(lines[8]) < 200
    assert "Who is missing is not known" in shown.stderr


def test_show_names_the_missing_of_a_saved_group(run: Run, app: Celeriac) -> None:
    result = _begin(app)
    header = _header_of(result)
    header.save()
    done = _come(app, result, 1, 5)
    shown = run("-A", "shop", "chord", "show", header.id)
    assert shown.stderr == ""
    ids = [one.id for one in header.results]
    assert shown.stdout.splitlines()[-3:] == [
        f"{done}\tSUCCESS\t5",
        f"{ids[0]}\tPENDING\t(missing)",
        f"{ids[2]}\tPENDING\t(missing)",
    ]
    told = json.loads(run("-A", "shop", "chord", "show", header.id, "--json").output)
    assert told["members"] == [{"id": done, "state": "SUCCESS", "result": "5"}]
    assert told["missing_members"] == [{"id": one, "state": "PENDING"} for one in (ids[0], ids[2])]


def test_show_of_shares_that_can_not_be_read(run: Run, app: Celeriac) -> None:
    result = _begin(app)
    _share(app, _header_of(result).id, "odd", 0, b"\xff")
    shown = run("-A", "shop", "chord", "show", _header_of(result).id)
    assert "can not be read: " in shown.stdout
    assert json.loads(run("-A", "shop", "chord", "show", _header_of(result).id, "--json").output)["missing"] == 2


@pytest.mark.parametrize("word", ["show", "end"])
def test_an_id_that_is_none_of_a_chord(run: Run, app: Celeriac, word: str) -> None:
    result = _begin(app)
    failed = run("-A", "shop", "chord", word, result.id)
    assert failed.exit_code == 1
    assert f"{result.id} is the body of the chord {_header_of(result).id}; use that id" in failed.stderr
    failed = run("-A", "shop", "chord", word, str(uuid.uuid4()))
    assert failed.exit_code == 1
    assert "it is over or has expired, or this is the id of its body or of a member" in failed.stderr
    assert _claim(app) == []


# -- end -----------------------------------------------------------------------------------------------------------


def test_end_has_the_body_fail(run: Run, app: Celeriac) -> None:
    result = _begin(app)
    _come(app, result, 0, 1)
    header = _header_of(result)
    reason = "the chord was ended by hand: 2 of 3 members were missing"
    ended = run("-A", "shop", "chord", "end", header.id)
    assert ended.exit_code == 0
    assert ended.output.splitlines() == [
        f"Ended chord {header.id}: 2 of 3 members were missing.",
        f"A worker of the queue adding fails shop.report[{result.id}] with ChordError: {reason}",
        "Members that still wait or run go on; what they come to counts for nothing.",
    ]
    assert run("-A", "shop", "chord", "list").output.rstrip().endswith("ended by hand: 2 of 3 members were missing")
    (claimed,) = _claim(app)
    assert claimed.reason == reason


def test_end_with_a_reason_at_another_queue(run: Run, app: Celeriac) -> None:
    header = _header_of(_begin(app, 1))
    ended = run("-A", "shop", "-q", "chord", "end", header.id, "--reason", "purged", "-Q", "other")
    assert ended.output == f"Ended chord {header.id}: 1 of 1 member was missing.\n"
    assert _claim(app) == []
    assert [one.reason for one in _claim(app, "other")] == ["purged"]


def test_end_of_a_complete_chord(run: Run, app: Celeriac) -> None:
    result = _begin(app, 1)
    _come(app, result, 0, 1)
    failed = run("-A", "shop", "chord", "end", _header_of(result).id)
    assert failed.exit_code == 1
    assert "all members" in failed.stderr
    assert "a worker of the queue adding makes its body" in failed.stderr
    assert [one.reason for one in _claim(app)] == [None]


def test_end_of_a_chord_whose_body_is_not_known(run: Run, app: Celeriac) -> None:
    app.chord_store.start_chords([ChordStart("g", 2)])
    failed = run("-A", "shop", "chord", "end", "g")
    assert failed.exit_code == 1
    assert "the body of g is not known here" in failed.stderr
    shown = run("-A", "shop", "chord", "show", "g")
    assert shown.stdout.splitlines() == ["Chord    g", "Done     0 of 2", "State    waits for members"]


def test_end_of_a_chord_that_never_began(run: Run, app: Celeriac) -> None:
    _share(app, "g", "a", 0, encode_part("a", "SUCCESS", 1))
    ended = run("-A", "shop", "chord", "end", "g")
    assert ended.stdout.startswith("Ended chord g: 1 member came, and it never began.\n")
    assert ended.stderr.startswith("Its queue is not known. celery is the default one")
    assert len(_claim(app, "celery")) == 1


def test_a_broker_of_one_process_is_refused(run: Run) -> None:
    failed = run("-b", "memory://", "chord", "list")
    assert failed.exit_code == 1
    assert "lives inside one process" in failed.stderr
