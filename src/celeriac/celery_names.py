"""Celery's names that are not here, and what to do about each: use another one, or wait for a later version.

Owns the tables and the errors made of them, so that a program that moves over is told more than "no attribute". Knows
nothing of the classes that lack the names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NoReturn

from celeriac.exceptions import MissingAttribute

_CONTROL: Final = "revoking and remote control come with a later version"
_BEAT: Final = "periodic tasks come with a later version: until then let cron or a systemd timer call `celeriac call`"

#: What `from celery import ...` gives and `from celeriac import ...` does not.
_OF_THE_PACKAGE: Final[Mapping[str, str]] = {
    "Celery": "the class is called Celeriac here: from celeriac import Celeriac",
    "bugreport": "use the command `celeriac report`",
    "uuid": "use str(uuid.uuid4()) of the standard library",
    "schedules": _BEAT,
    "beat": _BEAT,
}

#: By the name of a class: what Celery's class of that name has.
_OF_CLASSES: Final[Mapping[str, Mapping[str, str]]] = {
    "Celeriac": {
        "add_periodic_task": _BEAT,
        "control": _CONTROL,
        "events": "events come with a later version",
        "connection": "use app.broker, which connects by itself",
        "connection_for_read": "use app.broker, which connects by itself",
        "connection_for_write": "use app.broker, which connects by itself",
        "producer_pool": "use app.broker, which connects by itself",
        "pool": "use app.broker, which connects by itself",
        "amqp": "app.topology has the queues, app.router the routes, and app.select_queues(...) is there",
        "setup_security": "signed messages come with a later version",
        "add_defaults": "use app.conf.update(...)",
        "bugreport": "use the command `celeriac report`",
        "start": 'use app.worker_main(["worker"])',
    },
    "Task": {
        "send_event": "events come with a later version: use update_state(state=..., meta=...)",
        "add_trail": "tasks that are sent by a task are noted by themselves",
    },
    "AsyncResult": {
        "revoke": f"{_CONTROL}: give the call expires=, a time limit, or look at a flag of your own in the task",
        "revoke_by_stamped_headers": _CONTROL,
    },
    "ResultSet": {
        "revoke": f"{_CONTROL}: give the calls expires=, a time limit, or look at a flag of your own in the tasks",
    },
}


def missing_from_package(name: str) -> NoReturn:
    """Tell why `celeriac` has no such name. What the package's `__getattr__` does.

    Raises:
        ImportError: Celery has it; the text says what to use. (`from ... import` drops the text of an AttributeError.)
        AttributeError: nobody has it.
    """
    if name in _OF_THE_PACKAGE:
        raise ImportError(f"celeriac has no {name!r}: {_OF_THE_PACKAGE[name]}", name="celeriac")
    raise AttributeError(f"module 'celeriac' has no attribute {name!r}")


class _Missing:
    """A class attribute that is not there, and says so. For `hasattr` and `getattr` with a default it is not there."""

    def __init__(self, name: str, cure: str) -> None:
        self._name = name
        self._cure = cure

    def __get__(self, instance: object, owner: type) -> NoReturn:
        raise MissingAttribute(f"{owner.__name__} has no {self._name!r}: {self._cure}")


def tell_what_is_missing(cls: type) -> None:
    """Let `cls` tell what to use instead of what Celery's class has.

    These are descriptors rather than a `__getattr__`, which would also be asked, and hide the true error, when a
    property of the class raises AttributeError.
    """
    for name, cure in _OF_CLASSES[cls.__name__].items():
        setattr(cls, name, _Missing(name, cure))
