"""Logging of a worker: handlers, formats and colours, by Celery's settings and signals.

Owns the loggers `celeriac` and `celeriac.task`. The root logger belongs to the user's program and is touched
only if `worker_hijack_root_logger` says so. Used by the worker command and by executors; it knows neither.
"""

from __future__ import annotations

import io
import logging
import os
import sys
import threading
from typing import TYPE_CHECKING, Final, TextIO, TypedDict, cast

from celeriac import signals
from celeriac.exceptions import ImproperlyConfigured
from celeriac.log import TASK_LOGGER
from celeriac.request import current_request
from celeriac.worker.logfile import AppendHandler
from celeriac.worker.nodenames import default_nodename, node_format

if TYPE_CHECKING:
    from collections.abc import Iterable

    from celeriac.app import Celeriac
    from celeriac.config import Settings

WORKER_LOGGER: Final = "celeriac"
REDIRECTED_LOGGER: Final = "celeriac.redirected"

#: Stands for task name and id in records that no task logged; Celery's mark.
NO_TASK: Final = "???"

_COLOURS: Final = {
    logging.DEBUG: "\x1b[1;34m",
    logging.WARNING: "\x1b[1;33m",
    logging.ERROR: "\x1b[1;31m",
    logging.CRITICAL: "\x1b[1;35m",
}
_RESET: Final = "\x1b[0m"
_OWN_LOGGERS: Final = (WORKER_LOGGER, TASK_LOGGER, REDIRECTED_LOGGER)


class LogFileError(ImproperlyConfigured):
    """The log file can not be opened."""


class _Facts(TypedDict):
    """What the signals about logging tell, beside logger and format."""

    loglevel: int
    logfile: str | None
    colorize: bool


def level_number(level: int | str) -> int:
    """Return the `logging` level that a name or a number in a string stands for.

    Raises:
        ImproperlyConfigured: there is no such level.

    Example:
        >>> level_number("info")
        20
    """
    if isinstance(level, int):
        return level
    text = level.strip().upper()
    if text.isdecimal():
        return int(text)
    names = logging.getLevelNamesMapping()
    if text not in names:
        known = ", ".join(name for name in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "FATAL"))
        raise ImproperlyConfigured(f"unknown log level {level!r}: use {known} or a number")
    return names[text]


class WorkerFormatter(logging.Formatter):
    """Adds the colour of the level where colours are on."""

    def __init__(self, fmt: str, datefmt: str | None = None, *, use_color: bool = False) -> None:
        super().__init__(fmt, datefmt)
        self.use_color = use_color

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        colour = _COLOURS.get(record.levelno) if self.use_color else None
        return f"{colour}{text}{_RESET}" if colour else text


class TaskFormatter(WorkerFormatter):
    """The format of records that task code logs, with `%(task_name)s` and `%(task_id)s`.

    Args:
        fmt: for loggers below `celeriac.task`.
        datefmt: as in `logging.Formatter`.
        use_color: colour the levels.
        plain: for `celeriac.task` itself, whose lines (succeeded, raised) name the task already.
    """

    def __init__(
        self, fmt: str, datefmt: str | None = None, *, use_color: bool = False, plain: logging.Formatter | None = None
    ) -> None:
        super().__init__(fmt, datefmt, use_color=use_color)
        self._plain = plain

    def format(self, record: logging.LogRecord) -> str:
        if self._plain is not None and record.name == TASK_LOGGER:
            return self._plain.format(record)
        add_task_fields(record)
        return super().format(record)


def add_task_fields(record: logging.LogRecord) -> bool:
    """Set `task_name` and `task_id` of a record to those of the task that runs here. A `logging` filter."""
    request = current_request.get()
    record.task_name = (request.task if request is not None else None) or NO_TASK
    record.task_id = (request.id if request is not None else None) or NO_TASK
    return True


def setup_logging(
    app: Celeriac,
    loglevel: int | str = logging.WARNING,
    logfile: str | None = None,
    *,
    colorize: bool | None = None,
    hostname: str | None = None,
    index: int = 0,
) -> bool:
    """Configure the loggers of this process for work. Called again, it replaces what it installed before.

    Receivers of the signal `setup_logging` take over: nothing is configured then.

    Args:
        app: whose settings give formats and colours.
        loglevel: level of the loggers `celeriac` and `celeriac.task`.
        logfile: file to append to, with abbreviations as in `nodenames`; None for standard error.
        colorize: colours; None leaves it to `worker_log_color`, and to whether standard error is a terminal.
        hostname: the worker's node name, for `logfile`.
        index: number of the executor, 0 in the supervisor, for `%i` in `logfile`.

    Returns:
        False if receivers of the signal did it instead.

    Raises:
        ImproperlyConfigured: an unknown level or abbreviation.
        LogFileError: the log file can not be opened.
    """
    conf = app.conf
    level = level_number(loglevel)
    filename = node_format(logfile, hostname or default_nodename(), index=index) if logfile else None
    colours = _wants_colour(conf.worker_log_color if colorize is None else colorize, filename)
    facts = _Facts(loglevel=level, logfile=filename, colorize=colours)
    if signals.setup_logging.receivers:
        signals.setup_logging.send(sender=None, format=conf.worker_log_format, **facts)
        return False
    _take_over((None, *_OWN_LOGGERS) if conf.worker_hijack_root_logger else _OWN_LOGGERS)
    _configure_main(conf, facts)
    _configure_tasks(conf, facts)
    if conf.worker_redirect_stdouts:
        redirect_stdouts(conf.worker_redirect_stdouts_level)
    return True


def _configure_main(conf: Settings, facts: _Facts) -> None:
    own = logging.getLogger(WORKER_LOGGER)
    own.setLevel(facts["loglevel"])
    own.propagate = conf.worker_hijack_root_logger
    main = logging.getLogger() if conf.worker_hijack_root_logger else own
    _install(main, facts, WorkerFormatter(conf.worker_log_format, conf.worker_log_datefmt, use_color=facts["colorize"]))
    if conf.worker_hijack_root_logger:
        logging.captureWarnings(True)
    signals.after_setup_logger.send(sender=None, logger=main, format=conf.worker_log_format, **facts)


def _configure_tasks(conf: Settings, facts: _Facts) -> None:
    tasks = logging.getLogger(TASK_LOGGER)
    form = conf.worker_task_log_format
    plain = WorkerFormatter(conf.worker_log_format, conf.worker_log_datefmt, use_color=facts["colorize"])
    formatter = TaskFormatter(form, conf.worker_task_log_datefmt, use_color=facts["colorize"], plain=plain)
    _install(tasks, facts, formatter)
    tasks.propagate = False
    signals.after_setup_task_logger.send(sender=None, logger=tasks, format=form, **facts)


def redirect_stdouts(level: int | str = logging.WARNING) -> None:
    """Send what is printed to standard output and error to the logger `celeriac.redirected`."""
    stream = LoggingStream(logging.getLogger(REDIRECTED_LOGGER), level_number(level))
    sys.stdout = sys.stderr = cast("TextIO", stream)


class LoggingStream(io.TextIOBase):
    """A text stream whose lines become log records.

    Args:
        logger: gets the lines.
        level: their level.
    """

    def __init__(self, logger: logging.Logger, level: int) -> None:
        super().__init__()
        self._logger = logger
        self._level = level
        self._busy = threading.local()

    def write(self, text: str, /) -> int:
        # A handler that fails reports on standard error, which is this stream: that must not be logged again.
        if not getattr(self._busy, "now", False):
            self._busy.now = True
            try:
                for line in text.splitlines():
                    if line.strip():
                        self._logger.log(self._level, "%s", line.rstrip())
            finally:
                self._busy.now = False
        return len(text)

    def writable(self) -> bool:
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]  # typeshed has a plain attribute here
        return "utf-8"


def _take_over(names: Iterable[str | None]) -> None:
    for name in names:
        logger = logging.getLogger(name)
        for handler in logger.handlers[:]:
            logger.removeHandler(handler)
            handler.close()


def _install(logger: logging.Logger, facts: _Facts, formatter: logging.Formatter) -> None:
    handler = _handler(facts["logfile"])
    handler.addFilter(add_task_fields)
    handler.setFormatter(formatter)
    logger.addHandler(handler)
    logger.setLevel(facts["loglevel"])


def _handler(filename: str | None) -> logging.Handler:
    if filename is not None:
        try:
            return AppendHandler(filename)
        except OSError as error:
            raise LogFileError(
                f"the log file {filename} can not be opened: {error.strerror}. "
                "Name one in a folder that is there and that you may write to."
            ) from error
    # Not sys.stderr: it may be redirected into these very loggers.
    return logging.StreamHandler(sys.__stderr__) if sys.__stderr__ is not None else logging.NullHandler()


def _wants_colour(wanted: bool | None, filename: str | None) -> bool:
    """As Celery: only on a terminal, however much wanted; NO_COLOR counts where nothing else was said."""
    if wanted is None:
        wanted = not os.environ.get("NO_COLOR")
    terminal = sys.__stderr__ is not None and sys.__stderr__.isatty()
    return bool(wanted) and filename is None and terminal and os.name != "nt"
