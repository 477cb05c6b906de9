"""Exchanges on Redis, which has none: what is sent to one lies in each queue as a message of its own."""

from __future__ import annotations

import json

from celeriac import Celeriac, Exchange, Queue
from servers.redis import RedisServer

_FEEDS = Exchange("feeds", type="topic")


def test_a_topic_is_a_message_in_each_queue(redis_server: RedisServer, redis_url: str) -> None:
    queues = [Queue("feeds", _FEEDS, "feed.#"), Queue("eu", _FEEDS, "feed.*.eu"), Queue("us", _FEEDS, "feed.*.us")]
    with Celeriac("feeds", broker=redis_url, task_queues=queues) as app:
        result = app.send_task("t", exchange="feeds", routing_key="feed.sport.eu")
    stored = {queue: redis_server.call("LRANGE", queue, "0", "-1") for queue in ("feeds", "eu", "us")}
    assert [len(stored[queue]) for queue in ("feeds", "eu", "us")] == [1, 1, 0]
    envelopes = [json.loads(stored[queue][0]) for queue in ("feeds", "eu")]
    assert [envelope["headers"]["id"] for envelope in envelopes] == [result.id] * 2
    # Celery's worker that puts one back must not put it into both; and it holds them by their tags.
    for envelope, queue in zip(envelopes, ("feeds", "eu"), strict=True):
        info = envelope["properties"]["delivery_info"]
        assert (info["exchange"], info["routing_key"]) == ("", queue)
    assert len({envelope["properties"]["delivery_tag"] for envelope in envelopes}) == 2
