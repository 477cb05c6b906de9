"""The same settings and the same call: Celery and Celeriac send to the same exchange with the same key."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
from scripts import environments

import celeriac
from celeriac import Celeriac
from celeriac.publications import Call, make_publication
from interop.routes import CASES, Case

_HERE: Final = Path(__file__).parent
_NAMES: Final = {
    "Broadcast": celeriac.Broadcast,
    "Exchange": celeriac.Exchange,
    "Queue": celeriac.Queue,
    "binding": celeriac.binding,
    "re": re,
    "worker_direct": celeriac.worker_direct,
}


def _run(environment: environments.Environment, program: str, given: str = "", **more: str) -> Any:
    done = subprocess.run(
        [environment.python, _HERE / program],
        input=given,
        env={**os.environ, **more},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def of_celery(celery_environment: environments.Environment) -> dict[Case, list[Any]]:
    """What Celery does with each case."""
    sent = _run(celery_environment, "celery_routes.py", json.dumps(CASES))
    return dict(zip(CASES, sent, strict=True))


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_celery_sends_it_there_too(case: Case, of_celery: dict[Case, list[Any]]) -> None:
    with Celeriac("routes", broker="memory://", set_as_current=False, changes=eval(case.settings, _NAMES)) as app:
        options = eval(case.options, _NAMES)
        task = None
        if case.task is not None:
            task = app.task(name=case.name, **eval(case.task, _NAMES))(lambda *_, **__: None)
        made = make_publication(app, Call(case.name, (1,), {"k": 2}, options, task))
    exchange, key = ("", made.queue) if made.exchange is None else (made.exchange, made.routing_key)
    celerys_exchange, celerys_key, declared = of_celery[case]
    assert [exchange, key] == [celerys_exchange, celerys_key or ""]
    assert declared in ([made.queue], [])


def test_queues_of_kombu_are_taken(celery_environment: environments.Environment) -> None:
    """Celery's environment lends its kombu, this one what our package needs."""
    needed = Path(str(__import__("msgspec").__file__)).parents[1]
    source = Path(celeriac.__file__).parents[1]
    seen = _run(celery_environment, "kombu_queues.py", PYTHONPATH=os.pathsep.join((str(source), str(needed))))
    assert seen == {
        "feeds": [
            "Exchange(name='feeds', type='topic', durable=True, delivery_mode=1)",
            "feed.#",
            {"x-expires": 1500, "x-max-length": 3},
        ],
        "many": [["celery", "celery", {}], ["other", "b", {"a": 1}]],
        "all": ["celeriac.entities", True, "fanout"],
        "direct": {"x-queue-type": "quorum"},
        "call": "call",
    }
