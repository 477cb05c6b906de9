"""Results in every serialiser and compression: what one side stores the other one reads.

The settings are those of whole apps, so this works on the result stores themselves; no worker is needed.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from scripts.environments import Environment

from celeriac.outcome import ResultRecord
from celeriac.result_meta import encode_meta
from interop.sides import CeleryClient, Place
from servers.redis import RedisServer

VALUE = [1, 2.5, "h\u00e9llo \u2603", None, {"k": [True]}, "x" * 2000]
CODECS: list[dict[str, Any]] = [
    *({"result_serializer": name} for name in ("json", "pickle", "msgpack", "yaml")),
    *({"result_compression": name} for name in ("gzip", "bzip2", "lzma", "zstd", "brotli")),
    {"result_serializer": "pickle", "result_compression": "zlib"},
]


@pytest.fixture(scope="module")
def place(
    interop_server: RedisServer, celery_environment: Environment, tmp_path_factory: pytest.TempPathFactory
) -> Place:
    folder: Path = tmp_path_factory.mktemp("codecs")
    return Place(interop_server, 3, celery_environment, folder)


@pytest.fixture(scope="module")
def celery(place: Place) -> Iterator[CeleryClient]:
    with place.celery() as client:
        yield client


@pytest.mark.parametrize("settings", CODECS, ids=lambda settings: "-".join(settings.values()))
def test_celeriac_reads_what_celery_stores(place: Place, celery: CeleryClient, settings: dict[str, Any]) -> None:
    task_id = str(uuid.uuid4())
    celery.call("store", task_id=task_id, value=VALUE, settings=settings)
    app = place.app(**settings)
    try:
        result = app.AsyncResult(task_id)
        assert (result.get(timeout=5), result.state) == (VALUE, "SUCCESS")
    finally:
        app.close()


@pytest.mark.parametrize("settings", CODECS, ids=lambda settings: "-".join(settings.values()))
def test_celery_reads_what_celeriac_stores(place: Place, celery: CeleryClient, settings: dict[str, Any]) -> None:
    task_id = str(uuid.uuid4())
    app = place.app(**settings)
    try:
        meta = encode_meta(
            task_id=task_id,
            status="SUCCESS",
            result=VALUE,
            date_done=datetime.now(UTC),
            serializer=app.conf.result_serializer,
            compression=app.conf.result_compression,
        )
        app.backend.store([ResultRecord(task_id, "SUCCESS", meta, 60.0)])
        seen = celery.call("get", task_id=task_id, timeout=5, settings=settings)
        assert (seen.state, seen.value) == ("SUCCESS", VALUE)
    finally:
        app.close()
