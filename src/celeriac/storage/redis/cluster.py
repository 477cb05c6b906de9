"""Which node of a cluster owns our keys.

All keys of an app bear one hash tag, so that scripts and transactions may touch them together: one node has them all.
What is left of a cluster is its failover, and that several apps share its nodes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from redis.crc import key_slot

from celeriac.exceptions import OperationalError
from celeriac.storage.redis.addresses import Server
from celeriac.storage.redis.search import Question, Search, text

#: Key prefix in a cluster for those who set none.
DEFAULT_TAG: Final = "{celeriac}"
#: Where a cluster's announced address is not known: the node that was asked.
_UNKNOWN_HOSTS: Final = frozenset({"", "?", "None"})


def has_tag(prefix: str) -> bool:
    """Whether all keys with this prefix are in one slot.

    Example:
        >>> has_tag("{orders}:"), has_tag("orders:"), has_tag("{}")
        (True, False, False)
    """
    found = re.search(r"\{([^}]*)\}", prefix)
    return found is not None and found[1] != ""


def find_owner(seeds: Sequence[Server], prefix: str) -> Search:
    """Ask the seeds in their order which master has the slot of `prefix`.

    A node that can not see the majority of the cluster knows the past only. It is believed when no other answers.

    Raises:
        OperationalError: no seed answers, or the slot has no master.
    """
    slot = key_slot(prefix.encode())
    reasons: list[str] = []
    last_resort: Server | None = None
    for seed in seeds:
        answer = yield Question(seed, (("CLUSTER", "INFO"), ("CLUSTER", "SLOTS")))
        if isinstance(answer, Exception):
            reasons.append(f"{seed}: {answer}")
            continue
        info, slots = answer
        owner = _owner(slots, slot, seed)
        if owner is not None and "cluster_state:ok" in text(info):
            return owner
        last_resort = last_resort or owner
        reasons.append(f"{seed}: the cluster is down" if owner else f"{seed}: nobody has the slot {slot}")
    if last_resort is not None:
        return last_resort
    raise OperationalError(
        f"no node of the cluster tells who has the keys {prefix}* ({'; '.join(reasons)}); start its nodes, or name "
        "others in the URL"
    )


def _owner(slots: Any, slot: int, asked: Server) -> Server | None:
    for first, last, master, *_replicas in slots:
        if first <= slot <= last:
            host = text(master[0])
            return Server(asked.host if host in _UNKNOWN_HOSTS else host, int(master[1]))
    return None
