"""Who is the master, asked of sentinels.

Knows their answers, not how they are reached.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from celeriac.exceptions import OperationalError
from celeriac.storage.redis.addresses import Server
from celeriac.storage.redis.search import Question, Search, text


def find_master(sentinels: Sequence[Server], name: str, min_other_sentinels: int) -> Search:
    """Ask the sentinels in their order until one names a master that is up.

    Args:
        sentinels: to be asked.
        name: under which they watch the master (`master_name`).
        min_other_sentinels: a sentinel that sees fewer others is not believed.

    Raises:
        OperationalError: none of them names one; each one's reason is in the text.
    """
    reasons: list[str] = []
    for sentinel in sentinels:
        answer = yield Question(sentinel, (("SENTINEL", "MASTER", name),))
        if isinstance(answer, Exception):
            reasons.append(f"{sentinel}: {answer}")
            continue
        state = _fields(answer[0])
        reason = _doubts(state, min_other_sentinels)
        if not reason:
            return Server(state["ip"], int(state["port"]))
        reasons.append(f"{sentinel}: {reason}")
    raise OperationalError(
        f"no sentinel knows a master {name!r} that is up ({'; '.join(reasons)}); start the servers, or correct the "
        "transport option master_name"
    )


def _fields(reply: Any) -> dict[str, str]:
    """RESP2 has a flat list of names and values."""
    flat = [text(item) for item in reply]
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _doubts(state: dict[str, str], min_other_sentinels: int) -> str:
    """Why this master is not to be taken; empty if it is."""
    flags = set(state["flags"].split(","))
    if "master" not in flags or flags & {"s_down", "o_down"}:
        return f"the master {state['ip']}:{state['port']} is down ({state['flags']})"
    others = int(state["num-other-sentinels"])
    if others < min_other_sentinels:
        return f"it sees {others} other sentinels, and min_other_sentinels is {min_other_sentinels}"
    return ""
