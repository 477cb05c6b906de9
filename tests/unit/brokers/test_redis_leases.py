"""What a worker on Redis remembers of its lease."""

from __future__ import annotations

from celeriac.brokers.redis.leasing import Lease


def test_numbers_are_drawn_once() -> None:
    lease = Lease("w", 10.0)
    assert [lease.draw(5), lease.draw(0), lease.draw(-3), lease.draw(1), lease.draw(1)] == [1, 6, 6, 6, 7]


def test_neighbouring_trips_that_were_not_answered_become_one_range() -> None:
    """As a recovery and a reservation that were on their way together when the server stopped."""
    lease = Lease("w", 10.0, number=8320)
    recovery, reservation = lease.draw(256), lease.draw(1)
    lease.note_unsure(recovery, 256)
    lease.note_unsure(reservation, 1)
    assert lease.unsure == [(8320, 8576)]
    lease.note_unsure(9000, 10)
    lease.note_unsure(9100, 0)
    assert lease.unsure == [(8320, 8576), (9000, 9009)]
