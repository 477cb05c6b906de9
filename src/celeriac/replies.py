"""Results that come to the process which sent the task, instead of being stored.

Owns what sending must do for them: name the reply queue in the message, and have it listened to before the message is
sent. Does nothing for backends that store results.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from celeriac.app import Celeriac
    from celeriac.backends.base import ReplyBackend
    from celeriac.message import Publication

_NOTHING: Final[Mapping[str, object]] = {}


def name_reply_queue(app: Celeriac, publications: Sequence[Publication]) -> None:
    """Say in each message where its result goes, unless the call said so."""
    replies = app.replies
    if replies is None:
        return
    own = replies.reply_queue()
    for publication in publications:
        properties = publication.message.properties
        properties["reply_to"] = properties.get("reply_to") or own


def expect_replies(
    app: Celeriac, publications: Sequence[Publication], more: Sequence[str] = ()
) -> Mapping[str, object]:
    """See to it that the results of these, and of `more` tasks, reach this process.

    Returns:
        What their results must hold on to, by task id.

    Raises:
        OperationalError: the reply queue can not be made.
    """
    replies = app.replies
    if replies is None:
        return _NOTHING
    awaited = [*_awaited(replies, publications), *more]
    return replies.expect(awaited) if awaited else _NOTHING


async def aexpect_replies(
    app: Celeriac, publications: Sequence[Publication], more: Sequence[str] = ()
) -> Mapping[str, object]:
    """`expect_replies` for asyncio."""
    replies = app.replies
    if replies is None:
        return _NOTHING
    awaited = [*_awaited(replies, publications), *more]
    return await replies.aexpect(awaited) if awaited else _NOTHING


def _awaited(replies: ReplyBackend, publications: Sequence[Publication]) -> list[str]:
    """The tasks whose results come here; others go to a queue that the call named, or are not wanted."""
    own = replies.reply_queue()
    messages = [publication.message for publication in publications]
    return [
        message.headers["id"]
        for message in messages
        if message.properties.get("reply_to") == own and not message.headers.get("ignore_result")
    ]
