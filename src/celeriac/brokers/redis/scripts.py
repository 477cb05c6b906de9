"""The broker's Lua scripts, each with the files that it builds on, and the arguments that all of them have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from celeriac.clock import SYSTEM_CLOCK, Clock
from celeriac.storage.redis.scripts import Script, load_script

if TYPE_CHECKING:
    from celeriac.storage.redis.commands import Arg
    from celeriac.storage.redis.keys import Keys

_HERE: Final = "celeriac.brokers.redis"
_RESULT: Final = ("celeriac.storage.redis", "result")
_CHORDS: Final = ("celeriac.storage.redis", "chords")


def _script(name: str, *includes: str | tuple[str, str]) -> Script:
    parts = tuple((_HERE, one) if isinstance(one, str) else one for one in ("names", *includes))
    return load_script(_HERE, name, parts)


PUBLISH: Final = _script("publish", "wake", "push", _CHORDS)
OPEN: Final = _script("open", "working", "lease")
BIND: Final = _script("bind", "working")
RESERVE: Final = _script("reserve", "working", "lease", "wake", "promote")
SETTLE: Final = _script(
    "settle", "working", "lease", "wake", "push", _RESULT, _CHORDS, ("celeriac.storage.redis", "chord_growth")
)
MARK_STARTED: Final = _script("mark_started", "working")
RECLAIM: Final = _script("reclaim", "working", "lease")
RELEASE: Final = _script("release", "working")
RENEW: Final = _script("renew", "working", "lease", "promote")
RECOVER: Final = _script("recover", "working", "lease")
CLOSE: Final = _script("close", "working", "lease", "wake")
PASS_ON: Final = _script("pass_on", "working", "wake")
PURGE: Final = _script("purge")
TAKE_DEAD: Final = _script("take_dead")


def common_arguments(keys: Keys, clock: Clock, lease_id: str = "") -> list[Arg]:
    """The first five arguments of each script, see names.lua.

    Leases and due times follow the server's clock, one for all machines. Another clock than the system's, in tests, is
    told to the script.
    """
    if clock is SYSTEM_CLOCK:
        return [keys.prefix, keys.separator, "", "", lease_id]
    return [keys.prefix, keys.separator, clock.time(), clock.monotonic(), lease_id]
