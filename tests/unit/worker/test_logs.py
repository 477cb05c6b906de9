"""Logging of a worker: formats, files, signals, and whose loggers are left alone."""

from __future__ import annotations

import io
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from celeriac import Celeriac, signals
from celeriac.exceptions import ImproperlyConfigured
from celeriac.request import Request, current_request
from celeriac.worker import logs
from celeriac.worker.logfile import AppendHandler
from celeriac.worker.logs import level_number, setup_logging

_NAMES = (None, "celeriac", "celeriac.task", "celeriac.redirected")


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """All loggers, streams and warnings as they were before."""
    loggers = [logging.getLogger(name) for name in _NAMES]
    before = [(logger, logger.handlers[:], logger.level, logger.propagate) for logger in loggers]
    streams = sys.stdout, sys.stderr
    for logger in loggers[1:]:
        logger.handlers = []
    yield
    sys.stdout, sys.stderr = streams
    logging.captureWarnings(False)
    for logger, handlers, level, propagate in before:
        for handler in set(logger.handlers) - set(handlers):
            handler.close()
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


@pytest.fixture
def stderr(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "__stderr__", stream)
    return stream


def _app(**settings: Any) -> Celeriac:
    return Celeriac("logs", set_as_current=False, **settings)


def _lines(stream: io.StringIO) -> list[str]:
    """Without the time, which every line begins with."""
    return [re.sub(r"^\[[-0-9]+ [0-9:,]+: ", "[", line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("level", "number"), [("info", 20), ("WARNING", 30), ("25", 25), (7, 7), (" debug ", 10), ("fatal", 50)]
)
def test_level_number(level: int | str, number: int) -> None:
    assert level_number(level) == number


def test_an_unknown_level_is_named() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"'loud'.*DEBUG, INFO"):
        level_number("loud")


def test_the_worker_logs_in_celerys_format(stderr: io.StringIO) -> None:
    assert setup_logging(_app(), "info")
    logging.getLogger("celeriac.worker").info("ready")
    logging.getLogger("celeriac.worker").debug("unseen")
    assert _lines(stderr) == ["[INFO/MainProcess] ready"]


def test_task_loggers_name_task_and_id(stderr: io.StringIO) -> None:
    setup_logging(_app(), logging.INFO)
    token = current_request.set(Request(id="id-1", task="shop.buy"))
    try:
        logging.getLogger("celeriac.task.shop").info("bought")
    finally:
        current_request.reset(token)
    logging.getLogger("celeriac.task.shop").info("outside")
    assert _lines(stderr) == ["[INFO/MainProcess] shop.buy[id-1]: bought", "[INFO/MainProcess] ???[???]: outside"]


def test_the_life_of_a_task_is_logged_without_its_name_twice(stderr: io.StringIO) -> None:
    setup_logging(_app(), logging.INFO)
    logging.getLogger("celeriac.task").info("Task shop.buy[id-1] succeeded in 0.1s: None")
    assert _lines(stderr) == ["[INFO/MainProcess] Task shop.buy[id-1] succeeded in 0.1s: None"]


def test_formats_come_from_the_settings(stderr: io.StringIO) -> None:
    app = _app(
        worker_log_format="%(asctime)s W %(message)s",
        worker_log_datefmt="at",
        worker_task_log_format="%(asctime)s T %(task_id)s %(message)s",
        worker_task_log_datefmt="on",
    )
    setup_logging(app, logging.INFO)
    logging.getLogger("celeriac.worker").info("one")
    logging.getLogger("celeriac.task.x").info("two")
    assert stderr.getvalue().splitlines() == ["at W one", "on T ??? two"]


def test_a_format_of_the_worker_may_use_the_task_too(stderr: io.StringIO) -> None:
    setup_logging(_app(worker_log_format="%(task_id)s %(message)s"), logging.INFO)
    logging.getLogger("celeriac.worker").info("one")
    assert stderr.getvalue() == "??? one\n"


def test_the_root_logger_is_left_alone(stderr: io.StringIO) -> None:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    setup_logging(_app(), logging.DEBUG)
    assert (root.handlers, root.level) == before
    assert not logging.getLogger("celeriac").propagate
    logging.getLogger("somebody.else").warning("private")
    assert "private" not in stderr.getvalue()


def test_the_root_logger_is_taken_over_when_asked(stderr: io.StringIO) -> None:
    setup_logging(_app(worker_hijack_root_logger=True), logging.INFO)
    logging.getLogger("somebody.else").info("public")
    logging.getLogger("celeriac.worker").info("ready")
    logging.getLogger("celeriac.task.x").info("once")
    assert _lines(stderr) == [
        "[INFO/MainProcess] public",
        "[INFO/MainProcess] ready",
        "[INFO/MainProcess] ???[???]: once",
    ]


def test_setting_up_again_replaces(stderr: io.StringIO, tmp_path: Path) -> None:
    setup_logging(_app(), logging.INFO, str(tmp_path / "a.log"))
    setup_logging(_app(), logging.WARNING)
    logging.getLogger("celeriac.worker").warning("once")
    logging.getLogger("celeriac.worker").info("unseen")
    assert _lines(stderr) == ["[WARNING/MainProcess] once"]
    assert (tmp_path / "a.log").read_text() == ""


def test_the_signal_setup_logging_takes_over(stderr: io.StringIO) -> None:
    heard: list[dict[str, Any]] = []

    def receiver(**arguments: Any) -> None:
        heard.append(arguments)

    signals.setup_logging.connect(receiver, weak=False)
    try:
        assert not setup_logging(_app(), "info", "w.log", hostname="w1@box")
    finally:
        signals.setup_logging.disconnect(receiver)
    assert logging.getLogger("celeriac").handlers == []
    assert heard[0]["loglevel"] == 20
    assert heard[0]["logfile"] == "w.log"
    assert heard[0]["colorize"] is False
    assert "%(message)s" in heard[0]["format"]
    assert stderr.getvalue() == ""


def test_after_setup_signals_get_the_loggers(stderr: io.StringIO) -> None:
    heard: list[str] = []

    def receiver(*, logger: logging.Logger, loglevel: int, **_: object) -> None:
        heard.append(f"{logger.name} {loglevel}")
        logger.handlers[0].setFormatter(logging.Formatter("mine %(message)s"))

    signals.after_setup_logger.connect(receiver, weak=False)
    signals.after_setup_task_logger.connect(receiver, weak=False)
    try:
        setup_logging(_app(), logging.INFO)
    finally:
        signals.after_setup_logger.disconnect(receiver)
        signals.after_setup_task_logger.disconnect(receiver)
    assert heard == ["celeriac 20", "celeriac.task 20"]
    logging.getLogger("celeriac.task.x").info("line")
    assert stderr.getvalue() == "mine line\n"


@pytest.mark.parametrize(
    ("setting", "argument", "no_color", "coloured"),
    [
        (None, None, "", True),
        (None, None, "1", False),
        (True, None, "1", True),
        (False, None, "", False),
        (True, False, "", False),
    ],
)
def test_colours_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, setting: bool | None, argument: bool | None, no_color: str, coloured: bool
) -> None:
    stream = _Terminal()
    monkeypatch.setattr(sys, "__stderr__", stream)
    monkeypatch.setenv("NO_COLOR", no_color)
    setup_logging(_app(worker_log_color=setting), logging.INFO, colorize=argument)
    logging.getLogger("celeriac.worker").error("red")
    logging.getLogger("celeriac.worker").info("plain")
    first, second = stream.getvalue().splitlines()
    assert first.startswith("\x1b[1;31m") is coloured
    assert not second.startswith("\x1b")


def test_no_colours_in_a_pipe(stderr: io.StringIO) -> None:
    setup_logging(_app(worker_log_color=True), logging.INFO)
    logging.getLogger("celeriac.worker").error("red")
    assert "\x1b" not in stderr.getvalue()


def test_a_process_without_standard_error_logs_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "__stderr__", None)
    setup_logging(_app(), logging.INFO)
    logging.getLogger("celeriac.worker").error("lost")


def test_what_is_printed_is_logged_when_asked(stderr: io.StringIO) -> None:
    setup_logging(_app(worker_redirect_stdouts=True, worker_redirect_stdouts_level="error"), logging.INFO)
    print("two\nlines\n")
    print("problem", file=sys.stderr)
    sys.stdout.flush()
    assert not sys.stdout.isatty()
    assert sys.stdout.encoding == "utf-8"
    assert _lines(stderr) == [f"[ERROR/MainProcess] {text}" for text in ("two", "lines", "problem")]


def test_a_failing_handler_does_not_log_its_own_report(stderr: io.StringIO) -> None:
    """Its report goes to standard error, which is redirected into the same logger."""
    setup_logging(_app(worker_redirect_stdouts=True), logging.INFO)
    logging.getLogger("celeriac.worker").info("%d", "no number")
    assert len(stderr.getvalue()) < 20_000


# -- files -------------------------------------------------------------------------------------------------------


def test_the_log_file_may_hold_abbreviations(tmp_path: Path) -> None:
    setup_logging(_app(), logging.INFO, f"{tmp_path}/%n%I.log", hostname="w1@box", index=2)
    logging.getLogger("celeriac.worker").info("hello")
    assert "hello" in (tmp_path / "w1-2.log").read_text()


def test_a_log_file_that_can_not_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"none/w.log can not be opened: No such file or directory"):
        setup_logging(_app(), logging.INFO, str(tmp_path / "none" / "w.log"))


def _record(text: str) -> logging.LogRecord:
    return logging.LogRecord("x", logging.INFO, __file__, 1, text, None, None)


def test_a_file_that_was_moved_is_opened_anew(tmp_path: Path) -> None:
    path = tmp_path / "w.log"
    handler = AppendHandler(str(path))
    handler.emit(_record("one"))
    path.rename(tmp_path / "w.log.1")
    handler.emit(_record("two"))
    path.unlink()
    handler.emit(_record("three"))
    handler.close()
    handler.close()
    assert (tmp_path / "w.log.1").read_text() == "one\n"
    assert path.read_text() == "three\n"


def test_what_is_no_text_is_escaped(tmp_path: Path) -> None:
    handler = AppendHandler(str(tmp_path / "w.log"))
    handler.emit(_record("half \ud800 of a pair"))
    handler.close()
    assert (tmp_path / "w.log").read_text() == "half \\ud800 of a pair\n"


def test_a_record_that_can_not_be_written_ends_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    handler = AppendHandler(str(folder / "w.log"))
    (folder / "w.log").unlink()
    folder.rmdir()
    handler.emit(_record("lost"))
    assert "FileNotFoundError" in capsys.readouterr().err
    folder.mkdir()
    handler.emit(_record("found"))
    handler.close()
    assert (folder / "w.log").read_text() == "found\n"
    assert "w.log" in repr(handler)


def test_processes_share_one_file(tmp_path: Path) -> None:
    """Lines are longer than any buffer, so that broken ones would show."""
    path = tmp_path / "w.log"
    script = (
        "import logging, sys\n"
        "from celeriac.worker.logfile import AppendHandler\n"
        "handler = AppendHandler(sys.argv[1])\n"
        "for _ in range(100):\n"
        "    handler.emit(logging.LogRecord('x', 20, '', 1, sys.argv[2] * 20000, None, None))\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", script, str(path), letter]) for letter in "abc"]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0, 0]
    lines = path.read_text().splitlines()
    assert len(lines) == 300
    assert {(line[0], len(line), len(set(line))) for line in lines} == {(letter, 20000, 1) for letter in "abc"}


def test_the_formatters_are_fit_for_ones_own_handlers() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.TaskFormatter("%(task_name)s %(message)s"))
    handler.emit(_record("text"))
    assert stream.getvalue() == "??? text\n"
