"""From a broker URL to a broker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from celeriac.clock import SYSTEM_CLOCK, Clock
from celeriac.storage.urls import pick_options, split_url, sqlite_path, third_party

if TYPE_CHECKING:
    from celeriac.brokers.base import Broker

_SETTING: Final = "broker_url"
_SQLITE_OPTIONS: Final = frozenset({"busy_timeout"})


def open_broker(url: str, options: Mapping[str, Any] | None = None, clock: Clock = SYSTEM_CLOCK) -> Broker:
    """Make the broker that `url` names. Nothing is opened yet; its first use does that.

    Args:
        url: `sqlite:///relative.db`, `sqlite:////absolute.db`, `memory://`, `memory://name`, or a scheme that an
            installed package registers under the entry point group `celeriac.brokers` (a callable that takes these
            same three arguments).
        options: transport options. SQLite: `busy_timeout` in seconds.
        clock: the clock for leases and due times.

    Raises:
        ImproperlyConfigured: the URL or an option is wrong.

    Example:
        >>> open_broker("memory://docs").address
        'memory://docs'
    """
    scheme, rest = split_url(url, _SETTING)
    if scheme == "sqlite":
        from celeriac.brokers.sqlite import SQLiteBroker  # noqa: PLC0415 - start-up time: sqlite3 only where it is used

        path = sqlite_path(url, rest, _SETTING)
        return SQLiteBroker(path, clock=clock, **pick_options(options, _SQLITE_OPTIONS, url))
    if scheme == "memory":
        from celeriac.brokers.memory import MemoryBroker  # noqa: PLC0415 - as above

        pick_options(options, frozenset(), url)
        return MemoryBroker(rest.strip("/"), clock=clock)
    factory = third_party("celeriac.brokers", scheme, _SETTING, ("sqlite", "memory"))
    broker: Broker = factory(url, options, clock)
    return broker
