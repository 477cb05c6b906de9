"""Settings of the whole app: what is imported, what is accepted, and time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celeriac.config.checks import time_zone
from celeriac.config.table import Section, setting

if TYPE_CHECKING:
    from collections.abc import Sequence


class GeneralSettings(Section, title="General"):
    """What concerns clients and workers alike."""

    accept_content: Sequence[str] = setting(
        ("json",),
        "Serializers (names or MIME types) that messages may have; others are refused. Admit pickle only "
        "where every producer is trusted.",
        old=("CELERY_ACCEPT_CONTENT",),
    )
    result_accept_content: Sequence[str] | None = setting(
        None, "The same for results; None: as `accept_content`.", old=("RESULT_ACCEPT_CONTENT",)
    )
    enable_utc: bool = setting(
        True,
        "Dates and times in messages are in UTC; False: in the local time zone.",
        old=("ENABLE_UTC", "CELERY_ENABLE_UTC"),
    )
    timezone: str | None = setting(
        None,
        "Name of the time zone that schedules and `app.now()` use; None: UTC, or the machine's own without "
        "`enable_utc`.",
        old=("CELERY_TIMEZONE",),
        check=time_zone,
    )
    imports: Sequence[str] = setting((), "Modules that a worker imports at its start.", old=("CELERY_IMPORTS",))
    include: Sequence[str] = setting(
        (), "More modules to import; the app's `include=` and `-I` add to these.", old=("CELERY_INCLUDE",)
    )
