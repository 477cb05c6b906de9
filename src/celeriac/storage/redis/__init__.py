"""What the Redis broker and result backend share: locations, connections, names of keys, Celery's envelope."""
