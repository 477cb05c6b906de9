"""Loggers for tasks."""

from __future__ import annotations

import logging

from celeriac.log import get_task_logger


def test_it_is_below_the_logger_that_workers_show() -> None:
    logger = get_task_logger("shop.tasks")
    assert logger.name == "celeriac.task.shop.tasks"
    assert logger is get_task_logger("shop.tasks")
    assert isinstance(logger, logging.Logger)
