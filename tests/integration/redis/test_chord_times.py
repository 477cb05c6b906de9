"""Keys of a chord last until its last member is due, whatever the others say before."""

from __future__ import annotations

from celeriac.testing.conformance.support import in_loop
from servers.redis import RedisServer

from .chord_support import BODY, DAY, share, start, store_of
from .results_support import make_backend


@in_loop
async def test_a_share_does_not_shorten_the_time_of_a_member_that_is_due_later(
    redis_url: str, redis_server: RedisServer
) -> None:
    backend = make_backend(redis_url)
    try:
        chords = store_of(backend)
        await chords.astart_chords([start(3, ttl=3 * DAY)])
        for index in range(2):
            await chords.add_shares([share(index, ttl=DAY)])
            left = {key: redis_server.call("TTL", key) for key in redis_server.call("KEYS", "*")}
            assert left
            assert all(2 * DAY < seconds <= 3 * DAY for seconds in left.values()), left
        await chords.add_shares([share(2, ttl=DAY, body=BODY)])
        assert len(await chords.claim_chords(["q"], 10, 60)) == 1
    finally:
        backend.disconnect()
