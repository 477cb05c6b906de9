"""What a worker on Redis remembers of its lease."""

from __future__ import annotations

from celeriac.brokers.redis.leasing import Lease


def test_numbers_are_drawn_once() -> None:
    lease = Lease("w", 10.0)
    assert [lease.draw(5), lease.draw(0), lease.draw(-3), lease.draw(1), lease.draw(1)] == [1, 6, 6, 6, 7]


def test_each_lease_has_a_name_of_its_own() -> None:
    first, second = Lease("w", 10.0), Lease("w", 10.0)
    assert first.id != second.id
    assert first.id.startswith("w/")
