"""The app of each task queue: what its worker loads, and `send`, which publishes numbered tasks."""
