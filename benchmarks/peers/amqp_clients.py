"""AMQP client libraries for Python, used directly: what each of them leaves to a task queue that is built on it."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from benchmarks.peers import celeriac
from benchmarks.peers.base import Peer

PYAMQP: Final = Peer(
    name="py-amqp",
    setup="as it is",
    distribution="amqp",
    environment="amqp-clients",
    requirements=("amqp==5.4.2", "pika==1.4.4", "aiormq==7.2.4"),
    imports="import amqp",
    app="pyamqp",
    worker=(),
    features=frozenset(("client",)),
    server="rabbitmq",
    queue_type="classic",
    only=frozenset(("amqp-client",)),
)
#: In the environment of Celeriac's other setups, with the newest py-amqp.
PYAMQP_CELERIAC: Final = replace(
    PYAMQP,
    name="py-amqp-celeriac",
    setup="with Celeriac's transport",
    environment=celeriac.RABBITMQ.environment,
    requirements=celeriac.RABBITMQ.requirements,
    app="celeriac",
)
PIKA: Final = replace(
    PYAMQP, name="pika", setup="BlockingConnection", distribution="pika", imports="import pika", app="pika"
)
PIKA_SELECT: Final = replace(PIKA, name="pika-select", setup="SelectConnection", app="pika-select")
AIORMQ: Final = replace(
    PYAMQP,
    name="aiormq",
    setup="asyncio's own loop",
    distribution="aiormq",
    imports="import aiormq",
    app="aiormq",
)
