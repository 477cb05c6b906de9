"""py-amqp over Celeriac's own transport, which reads in large pieces; still one write for each message."""

from __future__ import annotations

from benchmarks.apps.amqp_pyamqp import PyAmqp
from celeriac.config import Settings
from celeriac.storage.rabbitmq.reading import read_location


def open_client(url: str, queue: str) -> PyAmqp:
    """Connect."""
    location = read_location(url, {}, setting="broker_url", settings=Settings())
    return PyAmqp(location.connect(), queue)
