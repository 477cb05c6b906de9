"""Times in headers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.protocol import format_iso, parse_iso

ZONES = st.just(UTC) | st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(timezones=ZONES))
def test_what_is_written_is_read(moment: datetime) -> None:
    back = parse_iso(format_iso(moment))
    assert back == moment
    assert back.utcoffset() == moment.utcoffset()


@given(st.datetimes())
def test_a_time_without_an_offset_is_utc(moment: datetime) -> None:
    assert parse_iso(format_iso(moment)) == moment.replace(tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "tomorrow", "2026-13-01", "2026-01-01T25:00", "1577836800"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"isoformat|month|hour|year"):
        parse_iso(text)
