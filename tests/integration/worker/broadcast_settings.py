"""Settings that only a broker with exchanges can serve."""

from celeriac import Broadcast, Queue

task_queues = [Queue("celery"), Broadcast("everybody")]
