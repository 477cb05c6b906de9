"""Which Redis is too old, said before a script fails with words that nobody understands."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from celeriac.exceptions import ImproperlyConfigured, OperationalError, StoreRefused

if TYPE_CHECKING:
    from celeriac.storage.redis.async_links import AsyncLink

#: The first Redis with what the scripts use (RPOP with a count).
_OLDEST: Final = (6, 2)


async def check_version(link: AsyncLink, address: str) -> None:
    """Refuse a server that is too old.

    Args:
        link: to the server.
        address: names it in the error.

    Raises:
        ImproperlyConfigured: it is.
        OperationalError: it can not be reached.
    """
    try:
        info = await link.call("INFO", "server")
    except (OperationalError, StoreRefused):
        if not link.is_connected:
            raise
        return  # its user may not ask
    match = re.search(rb"redis_version:(\d+)\.(\d+)[^\r]*", info)
    if match and (int(match[1]), int(match[2])) < _OLDEST:
        raise ImproperlyConfigured(
            f"{address} is Redis {match[0].partition(b':')[2].decode()}, which is too old: "
            f"{_OLDEST[0]}.{_OLDEST[1]} or newer is needed (or any Valkey)"
        )
