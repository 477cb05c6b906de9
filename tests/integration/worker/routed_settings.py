"""Settings of the workers in `test_routing`."""

from celeriac import Exchange, Queue

_FEEDS = Exchange("feeds", type="topic")

task_queues = [Queue("celery"), Queue("feeds", _FEEDS, "feed.#"), Queue("eu", _FEEDS, "feed.*.eu")]
task_routes = {"worker_app.noted": {"exchange": "feeds", "routing_key": "feed.sport.eu"}}
