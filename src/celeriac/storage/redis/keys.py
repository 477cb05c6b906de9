"""The names of all keys and channels in Redis: Celery's, and ours beside them.

The Lua scripts build the same names by `names.lua` and `chords.lua`; what is written here and there must agree.

Celery's keys belong to queues and results. Of ours, what a worker holds belongs to its lease, and whoever recovers from
the dead deletes it; `due` and `dead` belong to the user, as queues do; `idle`, `lookout` and `settled` have a time to
live, and so have the keys of chords, ours and Celery's.
"""

from __future__ import annotations

from typing import Final

#: Between a queue's name and a step, and between the parts of a binding.
SEPARATOR: Final = "\x06\x16"
#: Lowest priority number of each list of a queue.
PRIORITY_STEPS: Final = (0, 3, 6, 9)
#: What names of queues must not begin with: of our keys, of kombu's, and of results.
RESERVED: Final = ("celeriac:", "_kombu.", "celery-task-meta-", "celery-taskset-meta-")
#: Batches of settlements that a worker may be unsure of at the same time: it sends one at a time, for two callers.
SETTLED_SLOTS: Final = 4


class Keys:
    """Names under one prefix.

    Args:
        prefix: `global_keyprefix`, before every key and channel.
        separator: `sep` of the transport options.

    Example:
        >>> keys = Keys("app_")
        >>> keys.list("celery", 0), keys.list("celery", 3)
        ('app_celery', 'app_celery\\x06\\x163')
    """

    def __init__(self, prefix: str = "", separator: str = SEPARATOR) -> None:
        self.prefix = prefix
        self.separator = separator
        own = f"{prefix}celeriac:"
        #: Lease ids, scored by the end of each.
        self.leases = f"{own}leases"
        #: Hash: what is known of each lease, see lease.lua.
        self.lease_facts = f"{own}lease-facts"
        #: Hash of dead letters.
        self.dead = f"{own}dead"
        #: Their tags in the order of death.
        self.dead_order = f"{own}dead:order"
        self._own = own

    def list(self, queue: str, step: int) -> str:
        """Celery's list of messages of one priority step."""
        return f"{self.prefix}{queue}{self.separator}{step}" if step else f"{self.prefix}{queue}"

    def due(self, queue: str) -> str:
        """Messages that wait for their time, scored by it."""
        return f"{self._own}due:{queue}"

    def dead_order_of(self, queue: str) -> str:
        """Tags of the dead letters of one queue, in the order of death."""
        return f"{self._own}dead:order:{queue}"

    def held(self, lease_id: str) -> str:
        """Hash: what a worker holds."""
        return f"{self._own}held:{lease_id}"

    def settled(self, lease_id: str, slot: int) -> str:
        """One of the batches that were settled last, so that it is not settled again."""
        return f"{self._own}settled:{lease_id}:{slot}"

    def idle(self, queue: str) -> str:
        """Lease ids of workers that wait for work."""
        return f"{self._own}idle:{queue}"

    def lookout(self, queue: str) -> str:
        """Lease id of the worker that watches a queue for all that wait."""
        return f"{self._own}lookout:{queue}"

    def wake(self, lease_id: str) -> str:
        """Channel: there is work for this worker."""
        return f"{self._own}wake:{lease_id}"

    def bindings(self, exchange: str) -> str:
        """Celery's set of an exchange's bindings."""
        return f"{self.prefix}_kombu.binding.{exchange}"

    def permanent_bindings(self, exchange: str) -> str:
        """The same for queues that do not expire (since Celery 5.7)."""
        return f"{self.prefix}_kombu.binding_permanent.{exchange}"

    def binding(self, routing_key: str, pattern: str, queue: str) -> str:
        """A member of such a set."""
        return self.separator.join((routing_key, pattern, queue))


class ResultKeys:
    """Names of what belongs to groups and chords; they lie where results do.

    Args:
        prefix: `global_keyprefix` of results, before every key and channel.

    Example:
        >>> ResultKeys("app_").group("g", ".j")
        b'app_celery-taskset-meta-g.j'
    """

    def __init__(self, prefix: str = "") -> None:
        self.prefix = prefix
        self._groups = f"{prefix}celery-taskset-meta-".encode()
        self._notes = f"{prefix}celeriac:chord:".encode()
        #: Never there. A cluster finds the node by it.
        self.nothing = f"{prefix}celeriac:nothing"

    def group(self, group_id: str, part: str = "") -> bytes:
        """Celery's: the list of members, or with `.s .t .d .j .c` a part of what is kept of a chord."""
        return self._groups + id_bytes(group_id) + part.encode()

    def chord_note(self, group_id: str) -> bytes:
        """Hash: what is needed to make the body of a chord, or to break it."""
        return self._notes + id_bytes(group_id)

    def chords(self) -> str:
        """Chords that our senders have begun, scored by the time of that."""
        return f"{self.prefix}celeriac:chords"

    def joins(self, queue: str) -> str:
        """Complete chords whose last member came from this queue, scored by the time from which they may be claimed."""
        return f"{self.prefix}celeriac:joins:{queue}"


def id_bytes(name: str) -> bytes:
    """The bytes of an id: others' may have lone surrogates."""
    return name.encode("utf-8", "surrogatepass")


def id_text(name: bytes) -> str:
    """What `id_bytes` was given."""
    return name.decode("utf-8", "surrogatepass")
