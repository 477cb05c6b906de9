"""Loggers for tasks. Knows nothing of handlers and formats: a worker sets those up (`celeriac.worker.logs`)."""

from __future__ import annotations

import logging
from typing import Final

TASK_LOGGER: Final = "celeriac.task"


def get_task_logger(name: str) -> logging.Logger:
    """A logger whose lines a worker shows with the name and id of the task that runs.

    Other loggers are the program's own: a worker leaves them alone unless `worker_hijack_root_logger` is set.

    Args:
        name: usually `__name__`.

    Example:
        >>> logger = get_task_logger("shop.tasks")
        >>> logger.name
        'celeriac.task.shop.tasks'
    """
    return logging.getLogger(f"{TASK_LOGGER}.{name}")
