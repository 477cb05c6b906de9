"""The tasks that make the body of a chord when its header is complete.

Owns how the shares of a header become the body's first argument, or its failure. A worker that has claimed a complete
chord runs `JoinChord` as an ordinary attempt, since making messages is the program's affair (routers, signals,
serialisers); what it causes is written in one step with the end of the chord, and only under its claim.
"""

from __future__ import annotations

import logging
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from celeriac import states
from celeriac.canvas.steps import ACCUMULATE, CHORD, GROUP, Node, as_list, kind_of, members_of, steps_of
from celeriac.chords import ChordEnd, ClaimedChord
from celeriac.consequences import NOTHING, Consequences, of_failed_body, sent, together
from celeriac.einfo import ExceptionInfo
from celeriac.exceptions import ChordError, ContentDisallowed, DecodeError, OperationalError
from celeriac.follow_ups import call_errbacks
from celeriac.group_result import GroupResult
from celeriac.loops import run_in_new_loop
from celeriac.outcome import Flow
from celeriac.protocol import task_message
from celeriac.request import Request, current_request
from celeriac.result_meta import decode_body, decode_part
from celeriac.task import Task

if TYPE_CHECKING:
    from celeriac.app import Celeriac
    from celeriac.message import Message
    from celeriac.result import AsyncResult

logger = logging.getLogger("celeriac.worker")

#: Its name, among those that are this package's own. A Celery worker does not know it, and never gets it.
JOIN_CHORD: Final = "celeriac.join_chord"


def join_message(app: Celeriac, chord: ClaimedChord, refusal: str | None) -> Message:
    """The message of the run that makes the body of a claimed chord. It lies in no queue.

    Args:
        app: whose chord it is.
        chord: what was claimed.
        refusal: why the body is not made any more, if it is not.
    """
    return task_message(
        task=JOIN_CHORD,
        task_id=f"{chord.group_id}-{chord.claims}",
        args=(chord.group_id, chord.claim, b64encode(chord.body).decode(), chord.task_id, chord.root_id, refusal),
        kwargs={},
        size_limit=app.conf.task_message_inflated_size_limit,
        argsrepr=f"({chord.group_id!r}, ...)",
        ignore_result=True,
        root_id=chord.root_id,
    )


class JoinChord(Task[[str, str, str, str, "str | None", "str | None"], None]):
    """Makes the body of a chord."""

    name = JOIN_CHORD
    ignore_result = True
    acks_late = False  # there is no message to acknowledge; the claim runs out if this fails

    def run(
        self,
        group_id: str,
        claim: str,
        body: str,
        parent_id: str,
        root_id: str | None,
        refusal: str | None,
    ) -> None:
        """Have the body sent, or its failure written.

        Args:
            group_id: the chord.
            claim: under which it is ended.
            body: the body's signature as the store keeps it, in base64.
            parent_id: the member that completed it.
            root_id: the root of that member's tree.
            refusal: why the body is not made any more, if it is not.

        Raises:
            OperationalError: the shares can not be loaded now. The claim runs out, and it is tried again.
        """
        request = current_request.get()
        assert request is not None
        queue = (request.delivery_info or {}).get("routing_key") or ""
        ending = Consequences(flow=Flow(ends=(ChordEnd(group_id, claim),)))
        try:
            node = decode_body(b64decode(body), self.app.conf.accept_content)
        except (DecodeError, ContentDisallowed) as error:  # so nobody knows who waits for it, and nobody ever will
            logger.error("Chord %s is given up, its body can not be read: %s", group_id, error)
            request.caused.append(ending)
            return
        state = self.app.chord_store.chord_state(group_id)
        if state.size is None and not state.parts:  # one that is ended by hand may never have begun
            logger.warning("Chord %s has ended meanwhile: another worker has made its body", group_id)
            return
        try:
            if refusal is not None:
                raise ChordError(refusal)  # noqa: TRY301 - dealt with as every other failure
            values = self._values(group_id, state.parts)
            fixed = {"root_id": root_id or parent_id, "parent_id": parent_id}
            made = sent(self.app, request, node, (values,), fixed=fixed)
        except OperationalError:
            raise
        except Exception as error:  # noqa: BLE001 - a member failed, or the body's message can never be made
            made = self._failed_if_possible(group_id, node, error, queue, root_id)
        request.caused.append(together([made, ending]))

    def _values(self, group_id: str, parts: Sequence[bytes]) -> list[Any]:
        """What the members have returned, in their order.

        Raises:
            ChordError: one of them has failed.
        """
        conf = self.app.conf
        serializer = conf.result_serializer
        accept = conf.result_accept_content or conf.accept_content
        values: list[Any] = []
        by_id: dict[str, Any] = {}
        for part in parts:
            task_id, status, result = decode_part(part, serializer=serializer, accept=accept)
            if status in states.PROPAGATE_STATES:
                raise ChordError(f"Dependency {task_id} raised {result!r}") from (
                    result if isinstance(result, BaseException) else None
                )
            values.append(result)
            by_id[task_id] = result
        saved = GroupResult.restore(group_id, app=self.app) if self.app.backend.chords is not None else None
        return values if saved is None else _in_shape(saved, by_id, values)

    def _failed_if_possible(
        self, group_id: str, body: Node, error: Exception, queue: str, root_id: str | None
    ) -> Consequences:
        """The failure of the body; where it is no signature nobody can be told, and it must not be tried for ever."""
        try:
            return self._failed(body, error, queue, root_id)
        except (TypeError, ValueError, KeyError, RecursionError):
            logger.exception("Chord %s is given up, its body is no signature", group_id)
            return NOTHING

    def _failed(self, body: Node, error: Exception, queue: str, root_id: str | None) -> Consequences:
        made = [Consequences(flow=of_failed_body(self.app, body, error, queue, root_id))]
        for task in _first_tasks(body):
            options = task.get("options") or {}
            errbacks = as_list(options.get("link_error"))
            if errbacks:
                made.append(self._call(task, errbacks, error, root_id))
        return together(made)

    def _call(
        self, task: Node, errbacks: Sequence[Mapping[str, Any]], error: Exception, root_id: str | None
    ) -> Consequences:
        options = task.get("options") or {}
        request = Request(
            id=options.get("task_id"),
            task=task["task"],
            args=list(task.get("args") or ()),
            kwargs=dict(task.get("kwargs") or {}),
            root_id=root_id,
            group=options.get("group_id"),
            errbacks=list(map(dict, errbacks)),
            hostname=self.request.hostname,
            called_directly=False,
        )
        token = current_request.set(request)
        try:
            called = call_errbacks(self.app, request, errbacks, ExceptionInfo(error))
            for coroutine in called.coroutines:
                run_in_new_loop(coroutine)
        finally:
            current_request.reset(token)
        return called.consequences


def _in_shape(header: GroupResult, by_id: Mapping[str, Any], values: list[Any]) -> list[Any]:
    """The values in the shape of the header, which a producer of Celery saves if there are groups in it.

    Its members count as one flat header. What it does not name was added later, and is left out as by Celery's workers.
    """
    if not any(isinstance(one, GroupResult) for one in header.results):
        return values
    try:
        return [_in_place(one, by_id) for one in header.results]
    except KeyError:  # it is about other members than those of this chord
        return values


def _in_place(result: AsyncResult[Any] | GroupResult, by_id: Mapping[str, Any]) -> Any:
    if isinstance(result, GroupResult):
        return [_in_place(one, by_id) for one in result.results]
    return by_id[result.id]


def _first_tasks(body: Node) -> list[Node]:
    """The tasks that the body would have begun with: its errbacks are theirs, or those of a chord's body.

    A chord that only gathers what its header comes to is that group for whoever has written it.
    """
    kind = kind_of(body)
    if kind == GROUP:
        return [task for member in members_of(body) for task in _first_tasks(member)]
    if kind == CHORD:
        header, inner = body["kwargs"]["header"], body["kwargs"]["body"]
        gathered = members_of(header) if inner["task"] == ACCUMULATE else ()
        return [*(task for member in gathered for task in _first_tasks(member)), *_first_tasks(inner)]
    if kind:  # a chain of Celery's may still have errbacks that are its steps'
        return [task for first in steps_of(body, errbacks_on_header=False)[:1] for task in _first_tasks(first)]
    return [body]
