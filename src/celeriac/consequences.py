"""What a run means for the workflow around it: what is sent next, what its chord learns, who is told of a failure.

Owns Celery's rules about that: a task that succeeds sends its links and the next step of its chain, and gives its share
to its chord; one that fails takes the rest of its chain with it. All of it becomes part of the run's outcome, so it is
written in one step with its result and its acknowledgement.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from celeriac import states
from celeriac.calling import announce, announce_sent, note_child
from celeriac.canvas.freezing import NOWHERE, Freezer, Place
from celeriac.canvas.signature import Signature
from celeriac.canvas.steps import (
    CHAIN,
    CHORD,
    GROUP,
    Node,
    as_list,
    check_depth,
    kind_of,
    members_of,
    tasks_of,
    with_one_end,
)
from celeriac.chords import ChordBreak, ChordGrowth, ChordShare, ChordStart, member_name
from celeriac.exceptions import DecodeError
from celeriac.message import MIN_PRIORITY, Publication
from celeriac.outcome import Flow, ResultRecord
from celeriac.publications import NO_OPTIONS, Call, make_publications
from celeriac.records import chord_ttl, reply_queue, result_ttl
from celeriac.result_meta import encode_body, encode_part, failure_record
from celeriac.routing import placed
from celeriac.workflows import Unfolding, located

if TYPE_CHECKING:
    from celeriac.app import Celeriac
    from celeriac.group_result import GroupResult
    from celeriac.request import Request
    from celeriac.result import AsyncResult

logger = logging.getLogger("celeriac.worker")


class Consequences(NamedTuple):
    """What is written beside the result.

    Attributes:
        publications: messages.
        flow: what workflows learn.
    """

    publications: tuple[Publication, ...] = ()
    flow: Flow | None = None

    def __bool__(self) -> bool:
        return bool(self.publications) or self.flow is not None


NOTHING: Final = Consequences()


def together(several: Iterable[Consequences]) -> Consequences:
    """All of these, in their order."""
    some = [one for one in several if one]
    if len(some) <= 1:
        return some[0] if some else NOTHING
    flows = [one.flow for one in some if one.flow is not None]
    flow = Flow(
        tuple(record for flow in flows for record in flow.results),
        tuple(start for flow in flows for start in flow.starts),
        _grown(growth for flow in flows for growth in flow.grown),
        tuple(share for flow in flows for share in flow.shares),
        tuple(end for flow in flows for end in flow.ends),
        tuple(broken for flow in flows for broken in flow.broken),
    )
    publications = tuple(publication for one in some for publication in one.publications)
    return Consequences(publications, flow if flows else None)


def _grown(several: Iterable[ChordGrowth]) -> tuple[ChordGrowth, ...]:
    """What each run adds to a chord, told once: the last word on it holds."""
    members: dict[tuple[str, str, int], list[str]] = {}
    for growth in several:
        members.setdefault((growth.group_id, growth.cause, growth.retries), []).extend(growth.members)
    return tuple(ChordGrowth(group, cause, tuple(all_), retries) for (group, cause, retries), all_ in members.items())


# -- what is sent ------------------------------------------------------------------------------------------------------


def sent(
    app: Celeriac,
    request: Request,
    node: Node,
    args: Sequence[Any],
    *,
    chain: Sequence[Node] = (),
    place: Place = NOWHERE,
    fixed: Mapping[str, Any] = NO_OPTIONS,
) -> Consequences:
    """The messages of a signature that came with a message, or was made by the running task.

    Args:
        app: whose tasks they are.
        request: the run that causes it.
        node: the signature.
        args: go in front of its arguments, unless it is immutable.
        chain: what comes after it, last first.
        place: where it stands.
        fixed: options of every message, whatever its signature says.

    Raises:
        TypeError: it is no signature.
        EncodeError, MessageTooLarge, NotSupported: it can not be sent.
    """
    if request.is_eager and app.conf.task_always_eager and kind_of(node):
        Signature.from_dict(node, app).apply(args)  # here and now, as everything else
        return NOTHING
    return _sent(app, request, node, args, chain, place, fixed)[0]


def _sent(
    app: Celeriac,
    request: Request,
    node: Node,
    args: Sequence[Any],
    chain: Sequence[Node] = (),
    place: Place = NOWHERE,
    fixed: Mapping[str, Any] = NO_OPTIONS,
) -> tuple[Consequences, AsyncResult[Any] | GroupResult]:
    """`sent`, and the result."""
    reply_to = reply_queue(request.reply_to)  # who waits for the run's result can ask for those of its children
    frozen, result = Freezer(app, reply_to if app.replies is not None else None).freeze(node, place)
    defaults = {"reply_to": reply_to} if reply_to is not None else NO_OPTIONS
    unfolding = Unfolding(app, options=defaults, fixed=fixed, checked=True)
    calls: list[Call] = []
    starts: list[tuple[int, ChordStart]] = []
    for part in unfolding.parts(frozen, args, NO_OPTIONS, chain):
        if isinstance(part, Call):
            calls.append(part)
        else:
            starts.append((len(calls), part))
    publications = make_publications(app, calls)
    for publication, call in zip(publications, calls, strict=True):
        announce(publication, call)
        announce_sent(publication)
    note_child(request, result)
    flow = Flow(starts=tuple(located(starts, publications))) if starts else None
    return Consequences(tuple(placed(app, publications)), flow), result


def of_success(
    app: Celeriac,
    request: Request,
    value: Any,
    queue: str,
) -> Consequences:
    """What follows a task that has returned `value`.

    Raises:
        EncodeError, MessageTooLarge, NotSupported: a message can not be made, or the value is none that a chord takes.
    """
    parts = [sent(app, request, callback, (value,)) for callback in request.callbacks or ()]
    if request.sent_chain:
        rest, following = request.sent_chain[:-1], request.sent_chain[-1]
        parts.append(sent(app, request, following, (value,), chain=rest))
    if is_member(request):
        share = _own_share(app, request, states.SUCCESS, value, queue)
        parts.append(Consequences(flow=Flow(grown=_nothing_added(app, request), shares=(share,))))
    return together(parts)


def replacing(app: Celeriac, request: Request, node: Node) -> Consequences:
    """What is sent in place of the running task: under its id, with its links, and before what comes after it.

    Raises:
        TypeError, ValueError: it is no signature, an empty chain, or nested too deeply.
        EncodeError, MessageTooLarge, NotSupported: it can not be sent.
    """
    check_depth(node)
    callbacks = {"link": request.callbacks, "link_error": request.errbacks}
    given = {name: value for name, value in callbacks.items() if value}
    ended = with_one_end(node, app.conf.task_allow_error_cb_on_chord_header)
    wrapped = {"task": CHAIN, "kwargs": {"tasks": [ended]}, "options": given}
    place = Place(request.id, request.group, request.group_index, request.chord, is_member=True)
    fixed = {"replaced_task_nesting": request.replaced_task_nesting + 1}
    following = sent(app, request, wrapped, (), chain=request.sent_chain or (), place=place, fixed=fixed)
    grown = _nothing_added(app, request) if is_member(request) else ()
    return together([following, Consequences(flow=Flow(grown=grown))]) if grown else following


def added_to_chord(app: Celeriac, request: Request, node: Node) -> Consequences:
    """What is sent when the running task adds a member to the chord that it is a member of itself.

    Raises:
        TypeError, ValueError: it is no signature, an empty chain, or nested too deeply.
        EncodeError, MessageTooLarge: it can not be sent.
    """
    assert request.group is not None
    check_depth(node)
    place = Place(None, request.group, None, request.chord, is_member=True)
    member, result = _sent(app, request, node, (), place=place)
    assert result.id is not None
    growth = ChordGrowth(request.group, cause_of(request), (result.id,), request.retries)
    return together([member, Consequences(flow=Flow(grown=(growth,)))])


def cause_of(request: Request) -> str:
    """The name of whoever adds members to a chord: one task can be in a header twice.

    What a task was replaced by has its id, and is another one.
    """
    return f"{member_name(str(request.id), request.group_index)}:{request.replaced_task_nesting}"


def _nothing_added(app: Celeriac, request: Request) -> tuple[ChordGrowth, ...]:
    """What a member of a chord has to say though it adds nothing.

    A run of it that was lost may have added members. Where all is one step it has done nothing of that sort.
    """
    assert request.group is not None
    return () if app.joins_chords_at_broker else (ChordGrowth(request.group, cause_of(request), (), request.retries),)


# -- failures ----------------------------------------------------------------------------------------------------------


def of_failure(app: Celeriac, request: Request, exc: BaseException, status: str, queue: str) -> Flow | None:
    """What a failed run means for the rest of its chain, and for its chord. Errbacks are called elsewhere."""
    if not request.sent_chain and not is_member(request):
        return None
    failing = _Failing(app, exc, status, queue, request.root_id, request.reply_to)
    if is_member(request):
        failing.grown = _nothing_added(app, request)
        failing.shares.append(_own_share(app, request, status, exc, queue))
    rest = request.sent_chain or ()
    for at in reversed(range(len(rest))):
        try:
            failing.fail(rest[at])
        except (TypeError, ValueError, KeyError, AttributeError, RecursionError, DecodeError) as error:  # others' doing
            logger.warning("What comes after task %s[%s] is no workflow: %r", request.task, request.id, error)
    return failing.flow()


def of_failed_body(app: Celeriac, body: Node, exc: BaseException, queue: str, root_id: str | None) -> Flow:
    """What it means that the body of a chord will not run. Its errbacks are called elsewhere."""
    failing = _Failing(app, exc, states.FAILURE, queue, root_id, (body.get("options") or NO_OPTIONS).get("reply_to"))
    failing.fail(body)
    return failing.flow()


def of_unreadable(headers: Mapping[str, Any], exc: BaseException, queue: str) -> Flow | None:
    """What it means that a message can not be read: if it is a member of a chord, that waits for it in vain.

    What else would follow it, only its body tells.
    """
    group_id, task_id = headers.get("group"), headers.get("id")
    if not isinstance(group_id, str) or not group_id:
        return None
    return Flow(broken=(ChordBreak(group_id, f"Dependency {task_id} raised {exc!r}", queue),))


class _Failing:
    """Collects what is written for tasks that will never run.

    Their errbacks are not called: in a chain each step has those of the chain, and the step that failed has called its.
    """

    def __init__(
        self, app: Celeriac, exc: BaseException, status: str, queue: str, root_id: str | None, reply_to: object
    ) -> None:
        self._app = app
        self._exc = exc
        self._status = status
        self._queue = queue
        self._root_id = root_id
        self._reply_to = reply_queue(reply_to)
        self._ttl = result_ttl(app, status)
        self.results: list[ResultRecord] = []
        self.grown: tuple[ChordGrowth, ...] = ()
        self.shares: list[ChordShare] = []

    def flow(self) -> Flow:
        return Flow(results=tuple(self.results), grown=self.grown, shares=tuple(self.shares))

    def fail(self, node: Node, *, shares: bool = True) -> None:
        """This will not run, nor what comes after it.

        Args:
            node: a signature with ids.
            shares: members give their share to their chord; those of a chord that never begins have none.
        """
        options = node.get("options") or NO_OPTIONS
        kind = kind_of(node)
        if kind == CHAIN:
            for step in tasks_of(node):
                self.fail(step, shares=shares)
        elif kind == GROUP:
            for member in members_of(node):
                self.fail(member, shares=shares)
        elif kind == CHORD:
            for member in members_of(node["kwargs"]["header"]):
                self.fail(member, shares=False)
            self.fail(node["kwargs"]["body"], shares=shares)
        elif options.get("task_id"):
            self._fail_task(options, shares)
        for later in reversed(as_list(options.get("chain"))):
            self.fail(later, shares=shares)

    def _fail_task(self, options: Mapping[str, Any], shares: bool) -> None:
        app, task_id = self._app, options["task_id"]
        if app.stores_results and not options.get("ignore_result"):
            record = failure_record(
                task_id,
                self._exc,
                now=app.now(),
                ttl=self._ttl,
                status=self._status,
                serializer=app.conf.result_serializer,
                reply_to=reply_queue(options.get("reply_to")) or self._reply_to,
            )
            self.results.append(record)
        chord, group_id = options.get("chord"), options.get("group_id")
        if shares and chord is not None and group_id:
            part = encode_part(task_id, self._status, self._exc, app.conf.result_serializer)
            index = options.get("group_index")
            self.shares.append(
                ChordShare(
                    group_id,
                    task_id,
                    index,
                    part,
                    encode_body(chord, app.conf.task_serializer),
                    self._root_id,
                    self._queue,
                    chord_ttl(app),
                )
            )


def is_member(request: Request) -> bool:
    """It is a member of a chord's header. A chord without the name of its group can be nobody's."""
    return request.sent_chord is not None and bool(request.group)


def _own_share(app: Celeriac, request: Request, status: str, value: Any, queue: str) -> ChordShare:
    task_id, group_id = request.id, request.group
    assert task_id is not None
    assert group_id is not None
    chord = request.sent_chord or NO_OPTIONS
    return ChordShare(
        group_id,
        task_id,
        request.group_index,
        encode_part(task_id, status, value, app.conf.result_serializer),
        encode_body(chord, app.conf.task_serializer),
        request.root_id,
        queue,
        chord_ttl(app),
        (request.delivery_info or NO_OPTIONS).get("priority") or MIN_PRIORITY,
    )
