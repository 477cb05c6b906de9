"""`celeriac chord`: find chords that wait, look at what their members have come to, and end one that waits for ever."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

import click
import msgspec

from celeriac import states
from celeriac.app import Celeriac
from celeriac.backends.base import ChordStore
from celeriac.chords import ChordState
from celeriac.cli.context import CliContext, require_shared_broker
from celeriac.cli.exits import CommandFailed
from celeriac.cli.options import AT_LEAST_1, NAME, Command, Group, Option
from celeriac.cli.purge import counted
from celeriac.cli.tables import show_table
from celeriac.exceptions import ContentDisallowed, DecodeError, NotSupported
from celeriac.group_result import GroupResult
from celeriac.protocol.reprs import safe_repr
from celeriac.result import AsyncResult
from celeriac.result_meta import decode_part
from celeriac.serialization.json import decode_json

#: Characters of a result or an error that are shown.
_REPR_LENGTH: Final = 100
#: Chords that are looked at to find the one whose body has been named.
_MOST_BODIES: Final = 500


class _Member(msgspec.Struct, frozen=True):
    """A member of a header: its task, the state of that and in short what it has come to."""

    id: str
    state: str
    result: str | None = None


@click.group(cls=Group)
def command() -> None:
    """Find chords that wait, look at their members, and end one that waits for ever."""


@command.command("list", cls=Command)
@click.option("-n", "--limit", cls=Option, type=AT_LEAST_1, default=20, show_default=True)
@click.option("--json", "as_json", cls=Option, is_flag=True, help="One JSON object a line.")
@click.pass_obj
def list_chords(context: CliContext, limit: int, as_json: bool) -> None:
    """Show chords that have begun and are not over, the newest first."""
    with _opened(context) as (_, store):
        chords = store.open_chords(limit)
    if as_json:
        for chord in chords:
            click.echo(msgspec.json.encode(_as_dict(chord)).decode())
    elif chords:
        columns = ("Chord", "Began", "Done", "Queue", "Body", "State")
        show_table(columns, [_as_row(chord) for chord in chords], fancy=context.fancy)
    else:
        context.say("No open chords.")


@command.command("show", cls=Command)
@click.argument("group_id")
@click.option("--json", "as_json", cls=Option, is_flag=True, help="One JSON object.")
@click.pass_obj
def show(context: CliContext, group_id: str, as_json: bool) -> None:
    """Show how far the chord GROUP_ID is, and what each member has come to."""
    with _opened(context) as (app, store):
        chord = _known(store, group_id)
        members = [_member(app, part) for part in chord.parts]
        missing = _missing(app, chord, {member.id for member in members})
    if as_json:
        missing_members = None if missing is None else [{"id": one.id, "state": one.state} for one in missing]
        told = {**_as_dict(chord), "members": members, "missing_members": missing_members}
        click.echo(msgspec.json.encode(told).decode())
        return
    for line in _description(chord):
        click.echo(line)
    rows = [(one.id, one.state, one.result or "") for one in members]
    rows += [(one.id, one.state, "(missing)") for one in missing or ()]
    if rows:
        show_table(("Member", "State", "Result"), rows, fancy=context.fancy)
    if missing is None and not chord.is_complete:
        context.remark(
            "Who is missing is not known: that takes a header whose group was saved, by result.parent.save()."
        )


@command.command("end", cls=Command)
@click.argument("group_id")
@click.option("--reason", cls=Option, metavar="TEXT", help="What the ChordError says.")
@click.option("-Q", "--queue", cls=Option, type=NAME, help="The workers of this queue do it; by default the header's.")
@click.pass_obj
def end(context: CliContext, group_id: str, reason: str | None, queue: str | None) -> None:
    """End the chord GROUP_ID, which waits for members that will not come: its body fails with a ChordError.

    Errbacks are called, and chords around it get the failure, as if a member had failed. Members that still wait or run
    are left alone; what they come to counts for nothing. Nothing is asked.
    """
    with _opened(context) as (app, store):
        chord = _known(store, group_id)
        where = queue or chord.queue or app.conf.task_default_queue
        why = reason or f"the chord was ended by hand: {_missing_text(chord)}"
        if not store.break_chord(group_id, why, where):
            raise CommandFailed(_why_not(_known(store, group_id)))
    body = _body_name(chord) or "its body"
    click.echo(f"Ended chord {group_id}: {_missing_text(chord)}.")
    context.say(
        f"A worker of the queue {where} fails {body} with ChordError: {why}\n"
        "Members that still wait or run go on; what they come to counts for nothing."
    )
    if not (queue or chord.queue):
        context.remark(
            f"Its queue is not known. {where} is the default one: if no worker takes from it, name one by -Q."
        )


@contextmanager
def _opened(context: CliContext) -> Iterator[tuple[Celeriac, ChordStore]]:
    """The app, and where its chords are joined."""
    app = context.load_app()
    try:
        require_shared_broker(app)
        yield app, app.chord_store
    finally:
        app.close()


def _known(store: ChordStore, group_id: str) -> ChordState:
    """What is known of a chord.

    Raises:
        CommandFailed: nothing is; with what may have been meant.
    """
    chord = store.chord_state(group_id)
    if chord.size is not None or chord.parts:
        return chord
    for other in store.open_chords(_MOST_BODIES):
        if _body(other).get("id") == group_id:
            raise CommandFailed(f"{group_id} is the body of the chord {other.group_id}; use that id")
    raise CommandFailed(
        f"there is no chord {group_id}: it is over or has expired, or this is the id of its body or of a member. "
        "What is needed is the id of the header's group: that which `celeriac chord list` shows, or result.parent.id"
    )


def _missing_text(chord: ChordState) -> str:
    if chord.size is None:
        return f"{counted(chord.done, 'member')} came, and it never began"
    missing = max(0, chord.size - chord.done)
    return f"{missing} of {counted(chord.size, 'member')} {'was' if missing == 1 else 'were'} missing"


def _why_not(chord: ChordState) -> str:
    """Why it can not be ended."""
    if chord.is_complete:
        which = f"the queue {chord.queue}" if chord.queue else "the queue of its last member"
        return f"all members of {chord.group_id} have come: a worker of {which} makes its body; see that there is one"
    return (
        f"the body of {chord.group_id} is not known here: a program of Celery's has begun the chord, or a worker of "
        "Celery's makes the body just now. Such a chord can not be ended: what is kept of it expires, and whoever "
        "waits for its result needs a timeout"
    )


def _missing(app: Celeriac, chord: ChordState, known: set[str]) -> list[_Member] | None:
    """Members that have not come, if the group was saved."""
    try:
        saved = GroupResult.restore(chord.group_id, app=app)
        if saved is None:
            return None
        wanted = [one.id for one in saved.results if isinstance(one, AsyncResult) and one.id not in known]
        found = {record.task_id: record.status for record in app.backend.load_many(wanted)}
    except NotSupported:  # results are replies, or there are none
        return None
    return [_Member(task_id, found.get(task_id, states.PENDING)) for task_id in wanted]


def _member(app: Celeriac, part: bytes) -> _Member:
    conf = app.conf
    accept = conf.result_accept_content or conf.accept_content
    try:
        task_id, state, result = decode_part(part, serializer=conf.result_serializer, accept=accept)
    except (ContentDisallowed, DecodeError) as error:  # another result_serializer, for example
        return _Member("?", "?", f"can not be read: {error}")
    return _Member(task_id, state, _short(result))


def _short(result: object) -> str:
    return repr(result)[:_REPR_LENGTH] if isinstance(result, BaseException) else safe_repr(result, _REPR_LENGTH)


def _body(chord: ChordState) -> dict[str, str | None]:
    """Its name and its id."""
    if not chord.body:
        return {}
    node: dict[str, Any] = decode_json(chord.body)
    return {"task": node.get("task"), "id": (node.get("options") or {}).get("task_id")}


def _body_name(chord: ChordState) -> str:
    body = _body(chord)
    return f"{body['task']}[{body['id']}]" if body else ""


def _state(chord: ChordState) -> str:
    if chord.reason is not None:
        return f"ended: {chord.reason}"
    if chord.is_claimed:
        return "a worker makes the body"
    return "complete" if chord.is_complete else "waits for members"


def _description(chord: ChordState) -> Iterator[str]:
    yield f"Chord    {chord.group_id}"
    if chord.began is not None:
        yield f"Began    {_local(chord.began)}"
    if name := _body_name(chord):
        yield f"Body     {name}"
    if chord.queue:
        yield f"Queue    {chord.queue}"
    size = "?" if chord.size is None else chord.size
    yield f"Done     {chord.done} of {size}"
    yield f"State    {_state(chord)}"


def _as_row(chord: ChordState) -> tuple[str, ...]:
    began = "" if chord.began is None else _local(chord.began)
    return (chord.group_id, began, f"{chord.done}/{chord.size}", chord.queue, _body_name(chord), _state(chord))


def _as_dict(chord: ChordState) -> dict[str, Any]:
    return {
        "group_id": chord.group_id,
        "size": chord.size,
        "done": chord.done,
        "missing": None if chord.size is None else max(0, chord.size - chord.done),
        "body": _body(chord) or None,
        "queue": chord.queue or None,
        "began": None if chord.began is None else datetime.fromtimestamp(chord.began, UTC).isoformat(),
        "is_claimed": chord.is_claimed,
        "reason": chord.reason,
    }


def _local(moment: float) -> str:
    return datetime.fromtimestamp(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S")
