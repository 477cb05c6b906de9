"""The options before the command, the environment, and errors that become lines and exit codes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import Result

from celeriac.cli import main as main_module
from celeriac.cli.main import cli
from celeriac.exceptions import CeleriacError, ImproperlyConfigured, OperationalError
from celeriac.version import __version__

Run = Callable[..., Result]
COMMANDS = ["call", "chord", "dead-letters", "purge", "report", "result", "worker"]


def test_version(run: Run) -> None:
    assert run("--version").output == f"celeriac {__version__}\n"


def test_help_lists_all_commands_with_a_line_each(run: Run) -> None:
    output = run("--help").output
    for command in COMMANDS:
        assert re.search(rf"^  {command}  +\w", output, re.MULTILINE), command
    assert run("-h").output == output


def test_no_command_shows_the_help(run: Run) -> None:
    result = run()
    assert result.exit_code == 2
    assert "dead-letters" in result.output


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(run: Run, command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "Usage: celeriac" in result.output


def test_an_unknown_command(run: Run) -> None:
    result = run("-A", "shop", "wrker")
    assert result.exit_code == 2
    assert "no such command: wrker; did you mean worker?" in result.stderr
    assert "no such command: zzz; there are call, chord, dead-letters," in run("zzz").stderr
    assert "no such command: lst; did you mean list?" in run("dead-letters", "lst").stderr


@pytest.mark.parametrize(
    "command",
    sorted(main_module._NOT_YET),
)
def test_a_command_of_celerys_that_comes_later_is_refused_with_a_sentence(run: Run, command: str) -> None:
    result = run("-A", "shop", command)
    assert result.exit_code == 2
    assert f"{command} is not there yet: it " in result.stderr
    assert "later version" in result.stderr


@pytest.mark.parametrize("option", ["-A", "--app", "-b"])
def test_a_global_option_after_the_command(run: Run, option: str) -> None:
    result = run("worker", option, "shop")
    assert result.exit_code == 2
    assert f"{option} belongs before the command: celeriac {option} ... worker ..." in result.stderr


def test_another_unknown_option_is_no_such_option(run: Run) -> None:
    assert "No such option" in run("-A", "shop", "purge", "--frobnicate").stderr


# -- errors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [["worker"], ["purge"], ["report"], ["call", "x"], ["result", "x"]])
def test_a_wrong_app_is_three_lines_and_exit_code_2(run: Run, command: list[str]) -> None:
    result = run("-A", "shopp", *command)
    assert result.exit_code == 2
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 3
    assert lines[0] == "No app found for 'shopp'."
    assert "Did you mean shop?" in lines[2]


def test_an_app_with_a_bug_shows_the_bug(run: Run, project: Path) -> None:
    (project / "broken.py").write_text("x = 1 / 0\n")
    result = run("-A", "broken", "report")
    assert result.exit_code == 2
    assert result.stderr.splitlines()[1:] == [
        f'  File "{project}/broken.py", line 1, in <module>: x = 1 / 0',
        "  ZeroDivisionError: division by zero",
    ]


def test_a_task_module_that_is_missing(run: Run) -> None:
    result = run("-A", "shop", "worker", "-I", "no_such_module")
    assert result.exit_code == 2
    lines = result.stderr.splitlines()
    assert len(lines) == 3
    assert lines[0] == "The tasks of the app 'shop' can not be loaded: the option --include names no_such_module."
    assert lines[2] == "  ModuleNotFoundError: No module named 'no_such_module'"


def test_a_task_module_with_a_bug(run: Run, project: Path) -> None:
    (project / "broken.py").write_text("\nx = 1 / 0\n")
    result = run("-A", "shop", "worker", "-I", "broken")
    assert result.exit_code == 2
    assert f'File "{project}/broken.py", line 2' in result.stderr


def test_an_unknown_setting_is_one_line(run: Run, project: Path) -> None:
    (project / "conf.py").write_text("task_time_limits = 5\n")
    result = run("-A", "shop", "--config", "conf", "report")
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: ")
    assert "task_time_limit" in result.stderr
    assert len(result.stderr.splitlines()) <= 2


def test_an_unknown_broker_is_one_line(run: Run) -> None:
    result = run("-A", "shop", "-b", "carrier-pigeon://", "purge", "-f")
    assert result.exit_code == 2
    assert "carrier-pigeon" in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize("words", [("-b", "amqp://mq:port"), ("--config", "no_such_module")])
def test_a_wrong_setting_of_the_command_line_is_exit_code_2(run: Run, words: tuple[str, str]) -> None:
    result = run("-A", "shop", *words, "purge", "-f")
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_a_broker_that_can_not_be_used_is_exit_code_69(run: Run) -> None:
    result = run("-A", "shop", "-b", "sqlite:////none/such/folder/db.sqlite3", "purge", "-f")
    assert result.exit_code == 69
    assert "/none/such/folder" in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (OperationalError("gone"), 69, "Error: gone\n"),
        (ImproperlyConfigured("wrong"), 2, "Error: wrong\n"),
        (CeleriacError(), 1, "Error: CeleriacError\n"),
        (CeleriacError("one\ntwo"), 1, "one\ntwo\n"),
    ],
)
def test_errors_of_a_command(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: CeleriacError, code: int, text: str
) -> None:
    @click.command()
    def failing() -> None:
        raise error

    monkeypatch.setattr(main_module.LazyGroup, "get_command", lambda *_: failing)
    result = run("anything")
    assert (result.exit_code, result.stderr) == (code, text)


def test_a_module_without_a_command_is_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(main_module._COMMANDS, "odd", "celeriac.cli.queues")
    with pytest.raises((TypeError, AttributeError)):
        cli.get_command(click.Context(cli), "odd")


# -- where options come from ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["CELERIAC_APP", "CELERY_APP"])
def test_the_app_from_the_environment(run: Run, name: str) -> None:
    assert "shop" in run("report", env={name: "shop"}).output


def test_our_own_variable_goes_before_celerys(run: Run) -> None:
    result = run("report", env={"CELERIAC_APP": "shop", "CELERY_APP": "other"})
    assert result.exit_code == 0


def test_options_of_commands_from_the_environment(run: Run, project: Path) -> None:
    del project
    for name in ("CELERIAC_DEAD_LETTERS_LIST_LIMIT", "CELERY_DEAD_LETTERS_LIST_LIMIT"):
        result = run("-A", "shop", "dead-letters", "list", env={name: "none"})
        assert result.exit_code == 2
        assert "'none' is not a whole number of at least 1" in result.stderr


def test_the_working_directory_is_changed(run: Run, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "empty").mkdir()
    monkeypatch.chdir(project / "empty")
    result = run("--workdir", str(project), "-A", "shop", "report")
    assert result.exit_code == 0
    assert f"{project}/shop.sqlite3" in result.output
    assert Path.cwd() == project


def test_a_working_directory_that_is_not_there(run: Run) -> None:
    assert run("--workdir", "/none/such", "report").exit_code == 2


def test_broker_and_results_of_the_command_line_win(run: Run, project: Path) -> None:
    (project / "conf.py").write_text("task_default_queue = 'from_conf'\nbroker_url = 'sqlite:///conf.sqlite3'\n")
    output = run(
        "-A", "shop", "--config", "conf", "-b", "sqlite:///b.sqlite3", "--result-backend", "disabled://", "report"
    ).output
    assert f"{project}/b.sqlite3" in output
    assert "from_conf" in output
    assert "disabled" in output


# -- as processes --------------------------------------------------------------------------------------------------


def _process(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "celeriac", *words], capture_output=True, text=True, cwd=cwd, check=False, timeout=60
    )


def test_python_m_celeriac(project: Path) -> None:
    done = _process("--version", cwd=project)
    assert (done.returncode, done.stdout) == (0, f"celeriac {__version__}\n")


def test_a_wrong_app_as_a_process(project: Path) -> None:
    done = _process("-A", "nope", "worker", cwd=project)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 3
    assert str(project) in done.stderr


def test_the_version_imports_nothing_heavy(project: Path) -> None:
    """The bound on the time lives in the benchmarks; here it is what costs the time."""
    script = (
        "import sys\n"
        "sys.argv = ['celeriac', '--version']\n"
        "from celeriac.cli.main import main\n"
        "try:\n"
        "    main()\n"
        "except SystemExit:\n"
        "    pass\n"
        "print(sorted({'rich', 'sqlite3', 'pydantic', 'yaml', 'celeriac.worker', 'celeriac.loader', 'http'}"
        " & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=project, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_version_comes_quickly(project: Path) -> None:
    """150 ms are promised; the bound here is wide enough for a busy machine. The best of five counts."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "celeriac", "--version"], capture_output=True, cwd=project, check=True)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.5, f"on {os.cpu_count()} CPUs: {times}"
