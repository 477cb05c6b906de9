"""`celeriac worker`: what its options become. The worker itself is replaced, except in the tests with processes."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import Result

from celeriac import Celeriac
from celeriac.cli import worker as worker_module
from celeriac.cli.privileges import change_identity
from celeriac.config import InactiveSettingWarning
from celeriac.worker import WorkerOptions
from celeriac.worker.nodenames import gethostname

Run = Callable[..., Result]
Start = Callable[..., tuple[Result, list["FakeWorker"]]]


class FakeWorker:
    """Notes what it was made with."""

    exit_code = 0
    pidfile: Path | None = None

    def __init__(self, app: Celeriac, options: WorkerOptions) -> None:
        self.app = app
        self.options = options
        self.pid_text: str | None = None

    def run(self) -> int:
        if self.pidfile is not None:
            self.pid_text = self.pidfile.read_text()
        return self.exit_code


@pytest.fixture
def start(run: Run, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Runs `celeriac -A shop worker ...` and gives back the result and the workers that were run."""
    made: list[FakeWorker] = []

    class Recorded(FakeWorker):
        def __init__(self, app: Celeriac, options: WorkerOptions) -> None:
            super().__init__(app, options)
            made.append(self)

    monkeypatch.setattr(worker_module, "Worker", Recorded)
    monkeypatch.setattr(worker_module, "setup_logging", lambda *_, **__: True)

    def go(*words: str, **more: Any) -> tuple[Result, list[FakeWorker]]:
        made.clear()
        return run("-A", "shop", "worker", *words, **more), made

    return go


def _options(start: Start, *words: str, **more: Any) -> WorkerOptions:
    result, made = start(*words, **more)
    assert result.exit_code == 0, result.output
    return made[0].options


def test_without_options_the_settings_hold(start: Start) -> None:
    options = _options(start)
    assert options.hostname == f"celeriac@{gethostname()}"
    assert options.queues == ("celery",)
    assert options.pool == "prefork"
    assert options.concurrency >= 1
    assert options.loglevel == logging.WARNING
    assert options.logfile is None
    assert options.time_limit is None
    assert options.app_spec is not None
    assert options.app_spec.name == "shop"
    assert options.app_spec.settings == {}


def test_a_worker_takes_from_its_own_queue_as_well(start: Start) -> None:
    own = "w1@box.dq2"
    assert _options(start, "-n", "w1@box", "--", "worker_direct=1").queues == ("celery", own)
    assert _options(start, "-n", "w1@box", "-Q", "a", "--", "worker_direct=1").queues == ("a", own)


def test_every_option(start: Start) -> None:
    words = "-n w1@%h -l 15 -f w.log -c 3 -P threads -Q a,b,c -X b --max-tasks-per-child 7 --max-memory-per-child 9000"
    more = "--time-limit 5 --soft-time-limit 2.5 -O fair --without-gossip --without-mingle --without-heartbeat"
    options = _options(start, *words.split(), *more.split(), "--heartbeat-interval", "5")
    assert options.hostname == f"w1@{gethostname()}"
    assert (options.loglevel, options.logfile) == (15, "w.log")
    assert (options.pool, options.concurrency) == ("threads", 3)
    assert options.queues == ("a", "c")
    assert (options.max_tasks_per_child, options.max_memory_per_child) == (7, 9000)
    assert (options.time_limit, options.soft_time_limit) == (5, 2.5)


@pytest.mark.parametrize(
    ("name", "pool"),
    [
        ("prefork", "prefork"),
        ("processes", "prefork"),
        ("threads", "threads"),
        ("asyncio", "asyncio"),
        ("solo", "solo"),
    ],
)
def test_pools(start: Start, name: str, pool: str) -> None:
    assert _options(start, "--pool", name).pool == pool


def test_concurrency_auto(start: Start) -> None:
    assert _options(start, "-c", "auto").concurrency == _options(start).concurrency


@pytest.mark.parametrize("name", ["CELERIAC_WORKER_CONCURRENCY", "CELERY_WORKER_CONCURRENCY"])
def test_options_from_the_environment(start: Start, name: str) -> None:
    assert _options(start, env={name: "5"}).concurrency == 5
    assert _options(start, "-c", "6", env={name: "5"}).concurrency == 6


def test_settings_after_two_dashes(start: Start) -> None:
    result, made = start("-c", "2", "--", "task_default_queue=mail", "task_time_limit=60")
    assert result.exit_code == 0, result.output
    assert made[0].options.queues == ("mail",)
    assert made[0].app.conf.task_time_limit == 60
    spec = made[0].options.app_spec
    assert spec is not None
    assert spec.settings == {"task_default_queue": "mail", "task_time_limit": "60"}


def test_options_that_are_settings(start: Start) -> None:
    with pytest.warns(InactiveSettingWarning):
        _, made = start("--prefetch-multiplier", "2", "--disable-prefetch", "-E")
    conf = made[0].app.conf
    assert (conf.worker_prefetch_multiplier, conf.worker_disable_prefetch, conf.worker_send_task_events) == (
        2,
        True,
        True,
    )
    spec = made[0].options.app_spec
    assert spec is not None
    assert spec.settings["worker_send_task_events"] is True


def test_include_imports_more_modules_here_and_in_executors(start: Start, project: Path) -> None:
    (project / "extra.py").write_text("from shop import app\n@app.task\ndef more(): ...\n")
    _, made = start("-I", "extra,shop")
    assert "extra.more" in made[0].app.tasks
    spec = made[0].options.app_spec
    assert spec is not None
    assert set(spec.settings["include"]) == {"extra", "shop"}


def test_the_exit_code_is_the_workers(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeWorker, "exit_code", 1)
    assert start()[0].exit_code == 1


def test_a_worker_needs_an_app(run: Run) -> None:
    result = run("worker")
    assert result.exit_code == 2
    assert "celeriac -A APP worker" in result.stderr


@pytest.mark.parametrize("words", ["-B", "-D", "-S state.db", "--autoscale 10,1", "--scheduler x", "-s file"])
def test_what_is_not_there_yet_is_refused_with_a_sentence(start: Start, words: str) -> None:
    result, made = start(*words.split())
    assert result.exit_code == 2
    assert "is not there yet" in result.stderr
    assert made == []


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("-l loud", "unknown log level"),
        ("-c 0", "at least 1"),
        ("-P gevent", "asyncio and threads"),
        ("-n a@%x", "unknown abbreviation"),
        ("--time-limit 0", "--time-limit': '0' is not a number of seconds above 0"),
        ("--prefetch-multiplier -1", "'-1' is not a whole number of at least 0"),
        ("-X celery", "no queue is left"),
        ("-- nonsense", "is no setting"),
        ("-O fast", "fast"),
        ("--umask 9", "octal"),
    ],
)
def test_wrong_values(start: Start, words: str, text: str) -> None:
    result, made = start(*words.split())
    assert result.exit_code == 2
    assert text in result.stderr
    assert made == []


@pytest.mark.parametrize("option", ["-Q", "-X", "-I", "-n"])
def test_an_empty_name_does_not_silently_mean_the_default(start: Start, option: str) -> None:
    result, made = start(option, "")
    assert result.exit_code == 2
    assert "names nothing" in result.stderr
    assert made == []


def test_a_wrong_setting_after_two_dashes(start: Start) -> None:
    result, _ = start("--", "worker_prefetch_multiplyer=1")
    assert result.exit_code == 2
    assert "did you mean 'worker_prefetch_multiplier'" in result.stderr


def test_purge_before_work(start: Start, project: Path) -> None:
    app = Celeriac("peer", broker=f"sqlite:///{project}/shop.sqlite3", set_as_current=False)
    app.send_task("shop.add", (1, 2))
    app.send_task("shop.add", (1, 2))
    app.close()
    assert "Purged 2 messages." in start("--purge")[0].output
    assert "Purged" not in start("-q")[0].output


def test_a_broker_inside_one_process_works_with_solo_only(run: Run, start: Start) -> None:
    del start
    result = run("-A", "shop", "-b", "memory://", "worker")
    assert result.exit_code == 1
    assert "lives inside one process" in result.stderr
    assert run("-A", "shop", "-b", "memory://", "worker", "-P", "solo").exit_code == 0


# -- banner --------------------------------------------------------------------------------------------------------


def test_the_banner(start: Start, project: Path) -> None:
    output = start("-l", "info", "-c", "2", "-Q", "celery,slow", "-n", "w1@box")[0].output
    for text in (
        " w1@box  celeriac ",
        f"process {os.getpid()}",
        " app        shop\n",
        f"{project}/shop.sqlite3",
        " executors  2 processes\n",
        "100 coroutines at a time for async def tasks",
        " queues     celery\n            slow\n",
        " tasks      shop.add\n            shop.fetch\n",
    ):
        assert text in output, f"{text!r} is not in\n{output}"
    assert "\x1b" not in output


def test_quiet_shows_none(run: Run, start: Start) -> None:
    del start
    assert run("-q", "-A", "shop", "worker").output == ""


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("-c 1", "1 process\n"),
        ("-P threads -c 8", "8 threads\n"),
        ("-P asyncio", "100 coroutines at a time\n            8 threads for def tasks\n"),
        ("-P solo", "one task at a time, in the worker itself\n"),
    ],
)
def test_the_banner_tells_the_pool(start: Start, words: str, line: str) -> None:
    assert f" executors  {line}" in start(*words.split())[0].output


def test_the_banner_tells_of_executors_that_tasks_ask_for(start: Start, project: Path) -> None:
    with (project / "shop.py").open("a") as file:
        file.write("\n@app.task(executor='thread')\ndef t(): ...\n@app.task(executor='process')\ndef p(): ...\n")
    assert "8 threads for tasks with executor='thread'" in start()[0].output
    assert "processes for tasks with executor='process'" in start("-P", "threads")[0].output


def test_settings_without_effect_are_in_the_banner_and_in_one_warning(start: Start) -> None:
    with pytest.warns(InactiveSettingWarning, match="task_send_sent_event, beat_schedule") as warned:
        output = start("--", "beat_schedule={}", 'beat_schedule={"a": {"task": "t"}}', "task_send_sent_event=1")[
            0
        ].output
    assert len(warned) == 1
    assert (
        "\n Set, without effect in this version:\n"
        "   task_send_sent_event (takes effect once events are there)\n"
        "   beat_schedule (takes effect once the scheduler (beat) is there)\n"
    ) in output


def test_executors_do_not_repeat_what_was_told_of_old_names(start: Start) -> None:
    spec = _options(start).app_spec
    assert spec is not None
    assert spec.told


def test_pickle_as_root(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert "WARNING" not in start()[0].output
    assert "runs as root and accepts pickle" in start("--", "accept_content=json,pickle")[0].output
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "WARNING" not in start("--", "accept_content=json,pickle")[0].output


# -- pidfile and identity ------------------------------------------------------------------------------------------


def test_the_pidfile_is_there_while_it_runs(start: Start, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeWorker, "pidfile", project / "w1.pid")
    _, made = start("-n", "w1@box", "--pidfile", "%n.pid")
    assert made[0].pid_text == f"{os.getpid()}\n"
    assert not (project / "w1.pid").exists()


def test_a_pidfile_of_another_process_is_exit_code_73(start: Start, project: Path) -> None:
    (project / "w.pid").write_text(f"{os.getppid()}\n")
    result, made = start("--pidfile", "w.pid")
    assert result.exit_code == 73
    assert f"process id {os.getppid()} runs already" in result.stderr
    assert made == []


def test_a_log_file_that_can_not_be_opened_is_exit_code_73_like_a_pidfile(run: Run, project: Path) -> None:
    for option in ("--logfile", "--pidfile"):
        result = run("-A", "shop", "worker", option, str(project / "none" / "x"))
        assert result.exit_code == 73
        assert f"{project}/none/x" in result.stderr


def test_the_umask_is_set() -> None:
    before = os.umask(0o022)
    try:
        change_identity(None, None, "077")
        assert os.umask(0o022) == 0o077
    finally:
        os.umask(before)


@pytest.mark.parametrize(("uid", "gid"), [("no-such-user", None), (None, "no-such-group"), ("999999", None)])
def test_nobody_of_that_name(uid: str | None, gid: str | None) -> None:
    with pytest.raises(click.UsageError, match="there is no such"):
        change_identity(uid, gid, None)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("words", [("nobody", "None"), ("65534", "'0'")])
def test_root_becomes_another_user(words: tuple[str, str]) -> None:
    script = (
        "import os\n"
        "from celeriac.cli.privileges import change_identity\n"
        f"change_identity({words[0]!r}, {words[1]}, None)\n"
        "print(os.getuid(), os.geteuid(), os.getgid())\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split()[:2] == ["65534", "65534"]
    assert done.stdout.split()[2] == ("0" if words[1] != "None" else "65534")


def test_only_root_may(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "setgid", refuse)
    with pytest.raises(click.UsageError, match="only root may"):
        change_identity(None, "0", None)


# -- as a process --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_real_worker_starts_works_and_stops(project: Path, number: signal.Signals) -> None:
    words = [sys.executable, "-m", "celeriac", "-A", "shop", "worker", "-l", "info", "-c", "1", "--pidfile", "w.pid"]
    log = project / "out.txt"
    with (
        log.open("w") as out,
        subprocess.Popen([*words, "-f", "w.log"], cwd=project, stdout=out, stderr=out) as process,
    ):
        try:
            app = Celeriac("peer", broker=f"sqlite:///{project}/shop.sqlite3", set_as_current=False)
            result = app.send_task("shop.add", (2, 3))
            assert result.get(timeout=30) == 5, log.read_text()
            app.close()
            assert (project / "w.pid").read_text() == f"{process.pid}\n"
            process.send_signal(number)
            assert process.wait(timeout=30) == 0, log.read_text()
        finally:
            process.kill()
    assert not (project / "w.pid").exists()
    assert "shop.add" in log.read_text()
    assert f"Task shop.add[{result.id}]" in (project / "w.log").read_text()
