"""Sending: from calls to the broker.

Owns publish signals, retries of publishing, and trips with many messages. What a message says is decided by
`celeriac.publications`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from celeriac import signals
from celeriac.canvas.freezing import Result
from celeriac.canvas.steps import Node, with_options
from celeriac.chords import ChordStart
from celeriac.exceptions import OperationalError
from celeriac.message import Publication
from celeriac.publications import Call, make_publication, make_publications
from celeriac.replies import aexpect_replies, expect_replies, name_reply_queue
from celeriac.request import Request, current_request
from celeriac.result import AsyncResult
from celeriac.routing import placed
from celeriac.workflows import Part, Workflow, located

if TYPE_CHECKING:
    from celeriac.app import Celeriac

#: Messages in one trip to the broker when many are sent.
CHUNK_SIZE: Final = 1000


def send(app: Celeriac, call: Call) -> AsyncResult[Any]:
    """Publish one call and return its result.

    Raises:
        TypeError: arguments or options do not fit.
        EncodeError: an argument can not be serialised.
        MessageTooLarge: the body is over `task_message_size_limit`.
        OperationalError: the broker could not be reached, after the retries of the policy.
    """
    publication = make_publication(app, call)
    name_reply_queue(app, (publication,))
    if signals.before_task_publish.receivers:
        announce(publication, call)
    kept = _publish(app, [publication], call.options)
    if signals.after_task_publish.receivers:
        announce_sent(publication)
    return _result_of(app, call, publication, kept)


async def asend(app: Celeriac, call: Call) -> AsyncResult[Any]:
    """`send` for asyncio."""
    publication = make_publication(app, call)
    name_reply_queue(app, (publication,))
    if signals.before_task_publish.receivers:
        announce(publication, call)
    kept = await _apublish(app, [publication], call.options)
    if signals.after_task_publish.receivers:
        announce_sent(publication)
    return _result_of(app, call, publication, kept)


def send_many(app: Celeriac, calls: Iterable[Call], chunk_size: int = CHUNK_SIZE) -> list[AsyncResult[Any]]:
    """Publish many calls, `chunk_size` in one trip. What `calls` yields is used up as it is sent.

    Each trip is written whole or not at all; those before one that failed have been sent.
    """
    results: list[AsyncResult[Any]] = []
    for chunk in _chunks(calls, chunk_size):
        publications = _announced(app, chunk)
        kept = _publish(app, publications, chunk[0].options)
        results += _results_of(app, chunk, publications, kept)
    return results


async def asend_many(app: Celeriac, calls: Iterable[Call], chunk_size: int = CHUNK_SIZE) -> list[AsyncResult[Any]]:
    """`send_many` for asyncio; the loop is free between the trips."""
    results: list[AsyncResult[Any]] = []
    for chunk in _chunks(calls, chunk_size):
        publications = _announced(app, chunk)
        kept = await _apublish(app, publications, chunk[0].options)
        results += _results_of(app, chunk, publications, kept)
    return results


def send_workflow(
    app: Celeriac, node: Node, args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]
) -> Result:
    """Publish what runs first of a chain, group or chord, and return the result of the whole.

    Raises:
        TypeError, ValueError: it is not well formed, or arguments or options do not fit.
        NotSupported: there is a chord in it, and no place to join chords.
        EncodeError, MessageTooLarge, OperationalError: as `send`. Trips before have been sent.
    """
    workflow = Workflow(app, with_options(node, options), args, kwargs)
    for starts, calls in _trips(workflow.parts()):
        publications = _announced(app, calls)
        begun = located(starts, publications)
        workflow.keep(_publish(app, publications, options, begun, workflow.awaited))
        _tell_sent(publications)
    return _noted(workflow.result(), options)


async def asend_workflow(
    app: Celeriac, node: Node, args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]
) -> Result:
    """`send_workflow` for asyncio; the loop is free between the trips."""
    workflow = Workflow(app, with_options(node, options), args, kwargs)
    for starts, calls in _trips(workflow.parts()):
        publications = _announced(app, calls)
        begun = located(starts, publications)
        workflow.keep(await _apublish(app, publications, options, begun, workflow.awaited))
        _tell_sent(publications)
    return _noted(workflow.result(), options)


def _trips(parts: Iterator[Part]) -> Iterator[tuple[list[tuple[int, ChordStart]], list[Call]]]:
    """As many calls as go into one trip, and the chords that begin with them, each with the calls before it."""
    starts: list[tuple[int, ChordStart]] = []
    calls: list[Call] = []
    for part in parts:
        if isinstance(part, Call):
            calls.append(part)
            if len(calls) == CHUNK_SIZE:
                yield starts, calls
                starts, calls = [], []
        else:
            starts.append((len(calls), part))
    if calls:
        yield starts, calls


def _noted(result: Result, options: Mapping[str, Any]) -> Result:
    request = current_request.get()
    if request is not None and options.get("add_to_parent", True):
        note_child(request, result)
    return result


def _chunks(calls: Iterable[Call], size: int) -> Iterator[list[Call]]:
    if size < 1:
        raise ValueError(f"chunk_size must be at least 1, not {size}")
    remaining = iter(calls)
    while chunk := list(islice(remaining, size)):
        yield chunk


def _announced(app: Celeriac, calls: Sequence[Call]) -> list[Publication]:
    publications = make_publications(app, calls)
    name_reply_queue(app, publications)
    if signals.before_task_publish.receivers:
        for publication, call in zip(publications, calls, strict=True):
            announce(publication, call)
    return publications


def _results_of(
    app: Celeriac, calls: Sequence[Call], publications: Sequence[Publication], kept: Mapping[str, object]
) -> list[AsyncResult[Any]]:
    _tell_sent(publications)
    return [_result_of(app, call, made, kept) for call, made in zip(calls, publications, strict=True)]


def _result_of(app: Celeriac, call: Call, publication: Publication, kept: Mapping[str, object]) -> AsyncResult[Any]:
    headers = publication.message.headers
    result: AsyncResult[Any] = AsyncResult(headers["id"], None, call.name, app)
    if kept:
        result.kept = kept.get(headers["id"])
    if headers["ignore_result"]:
        result.ignored = True
    request = current_request.get()
    if request is not None and call.options.get("add_to_parent", True):
        note_child(request, result)
    return result


def _tell_sent(publications: Sequence[Publication]) -> None:
    if signals.after_task_publish.receivers:
        for publication in publications:
            announce_sent(publication)


def note_child(request: Request, result: Result) -> None:
    """Note `result` among the children of a running task, unless it leaves no trail."""
    if request.running is not None and request.running.trail:
        request.children.append(result)


def _publish(
    app: Celeriac,
    publications: Sequence[Publication],
    options: Mapping[str, Any],
    starts: Sequence[ChordStart] = (),
    awaited: Sequence[str] = (),
) -> Mapping[str, object]:
    """Publish, again and again as the call's options say.

    Args:
        app: whose messages they are.
        publications: the messages.
        options: of the call, for how often it is tried.
        starts: chords that begin with these messages.
        awaited: tasks that will follow, and whose results are wanted here, too.

    Returns:
        What the results must hold on to, by task id.
    """
    messages = placed(app, publications)
    pauses = _pauses(app, options)
    while True:
        try:
            kept = expect_replies(app, publications, awaited)
            publish(app, messages, starts)
        except OperationalError:
            pause = next(pauses, None)
            if pause is None:
                raise
        else:
            return kept
        time.sleep(pause)


def publish(app: Celeriac, messages: Sequence[Publication], starts: Sequence[ChordStart]) -> None:
    """Hand messages to the broker, and begin chords: in the same step where the broker can."""
    if not starts:
        app.broker.publish(messages)
    elif app.joins_chords_at_broker:
        app.broker.publish(messages, starts)
    else:  # first the chords: one that has begun twice is the same chord
        app.chord_store.start_chords(starts)
        app.broker.publish(messages)


async def _apublish(
    app: Celeriac,
    publications: Sequence[Publication],
    options: Mapping[str, Any],
    starts: Sequence[ChordStart] = (),
    awaited: Sequence[str] = (),
) -> Mapping[str, object]:
    """`_publish` for asyncio."""
    from asyncio import sleep  # noqa: PLC0415 - start-up time; see `celeriac.loops`

    messages = placed(app, publications)
    pauses = _pauses(app, options)
    while True:
        try:
            kept = await aexpect_replies(app, publications, awaited)
            if starts and app.joins_chords_at_broker:
                await app.broker.apublish(messages, starts)
            else:
                if starts:
                    await app.chord_store.astart_chords(starts)
                await app.broker.apublish(messages)
        except OperationalError:
            pause = next(pauses, None)
            if pause is None:
                raise
        else:
            return kept
        await sleep(pause)


def _pauses(app: Celeriac, options: Mapping[str, Any]) -> Iterator[float]:
    """Seconds to wait before each further try to publish."""
    wanted = options.get("retry")
    if not (app.conf.task_publish_retry if wanted is None else wanted):
        return
    policy = {**app.conf.task_publish_retry_policy, **(options.get("retry_policy") or {})}
    retries = policy.get("max_retries", 3)
    if retries is None:
        raise ValueError("max_retries=None of a publish retry policy would wait for ever: give a number")
    for number in range(retries):
        pause = policy.get("interval_start", 0) + number * policy.get("interval_step", 0.2)
        yield min(pause, policy.get("interval_max", 1))


def announce(publication: Publication, call: Call) -> None:
    """Tell `before_task_publish`. What receivers put into the headers is sent."""
    message, options = publication.message, call.options
    signals.before_task_publish.send(
        sender=call.name,
        body=(call.args, call.kwargs, {"callbacks": options.get("link"), "errbacks": options.get("link_error")}),
        exchange=publication.exchange or "",
        routing_key=publication.queue if publication.exchange is None else publication.routing_key,
        headers=message.headers,
        properties=message.properties,
        declare=[],
        retry_policy=options.get("retry_policy"),
    )


def announce_sent(publication: Publication) -> None:
    """Tell `after_task_publish`."""
    message = publication.message
    signals.after_task_publish.send(
        sender=message.headers["task"],
        headers=message.headers,
        body=message.body,
        exchange=publication.exchange or "",
        routing_key=publication.queue if publication.exchange is None else publication.routing_key,
    )
