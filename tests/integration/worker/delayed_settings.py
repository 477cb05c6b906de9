"""Settings of the worker in `test_routing` that gets delayed tasks."""

from celeriac import Exchange, Queue

_FEEDS = Exchange("feeds", type="topic")
_QUORUM = {"x-queue-type": "quorum"}

task_queues = [
    Queue("feed", _FEEDS, "feed", queue_arguments=_QUORUM),
    Queue("audit", _FEEDS, "#", queue_arguments=_QUORUM),
    Queue("plain", queue_arguments=_QUORUM),
]
