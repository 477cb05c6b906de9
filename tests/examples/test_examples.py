"""Every example runs, as its reader would run it, and says what it promises."""

import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

RunPython = Callable[..., subprocess.CompletedProcess[str]]
StartWorker = Callable[[str], subprocess.Popen[str]]

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
#: Seconds.
DEADLINE = 60.0


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("hello", ["called here: 10", "run by the worker: 10"]),
        ("retries", ["attempt 3: here it is", "gave up: invalid literal for int() with base 10: 'seven'"]),
        ("fan_out", ["the sum of 100 squares is 328350, in "]),
    ],
)
def test_single_file(name: str, expected: list[str], run_python: RunPython, start_worker: StartWorker) -> None:
    start_worker(name)
    done = run_python(str(EXAMPLES / f"{name}.py"))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(expected)
    for line, start in zip(lines, expected, strict=True):
        assert line.startswith(start)


def test_on_redis(
    redis_url: str, environment: dict[str, str], run_python: RunPython, start_worker: StartWorker
) -> None:
    environment["REDIS_URL"] = redis_url
    start_worker("on_redis")
    done = run_python(str(EXAMPLES / "on_redis.py"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["run at once: hello now", "run when due: hello later"]


def test_top_words(run_python: RunPython, tmp_path: Path) -> None:
    folder, scratch = tmp_path / "texts", tmp_path / "scratch"
    (folder / "deeper").mkdir(parents=True)
    scratch.mkdir()
    (folder / "long.txt").write_text("Alpha, beta and alpha.\n" * 10_000)  # four parts
    (folder / "deeper" / "short.txt").write_text("alpha's end")
    (folder / "empty.txt").touch()
    (folder / "other.md").write_text("not counted")
    program = (
        f"import runpy, sys, tempfile; tempfile.tempdir = {str(scratch)!r}; "
        f"sys.argv = ['top_words', {str(folder)!r}, '--pattern', '*.txt', '--top', '2']; "
        f"runpy.run_path({str(EXAMPLES / 'top_words.py')!r}, run_name='__main__')"
    )
    done = run_python("-c", program)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines == ["40,003 words, 5 different ones, in 3 files and 5 parts", "  20,001  alpha", "  10,000  and"]
    assert list(scratch.iterdir()) == []


def test_top_words_names_a_missing_folder(run_python: RunPython, tmp_path: Path) -> None:
    done = run_python(str(EXAMPLES / "top_words.py"), str(tmp_path / "nowhere"))
    assert done.returncode == 2
    assert f"there is no folder {tmp_path / 'nowhere'}" in done.stderr


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """Twenty-four text files of 30 words in 3 lines each, and what must be left out."""
    folder = tmp_path / "texts"
    (folder / "deeper").mkdir(parents=True)
    for number in range(24):
        parent = folder / "deeper" if number % 2 else folder
        (parent / f"{number:02}.txt").write_text("lorem ipsum dolor sit amet\tconsectetur adipiscing elit sed do\n" * 3)
    (folder / "picture.png").write_bytes(b"\x89PNG\0\0 not words")
    (folder / "huge.txt").write_bytes(b"word " * 1_000_000)
    (folder / ".hidden").write_text("not counted")
    (folder / "empty.txt").touch()
    return folder


def test_wordcount_counts_and_leaves_nothing(texts: Path, run_python: RunPython, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    done = run_python("-c", _with_scratch(scratch), str(texts))
    assert done.returncode == 0, done.stderr
    assert "Counting the words of 24 text files" in done.stdout
    assert re.search(r"all 24 files\s+│\s+720\s+│\s+72\s+│\s+[1-9]", done.stdout), done.stdout
    assert "24/24" in done.stdout
    assert list(scratch.iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scratch", "texts"]


def _with_scratch(folder: Path) -> str:
    """A program that runs wordcount with its temporary files in `folder`."""
    return (
        f"import runpy, tempfile; tempfile.tempdir = {str(folder)!r}; "
        "runpy.run_module('wordcount', run_name='__main__')"
    )


def test_wordcount_names_a_missing_folder(run_python: RunPython, tmp_path: Path) -> None:
    done = run_python("-m", "wordcount", str(tmp_path / "nowhere"))
    assert done.returncode == 2
    assert done.stderr == f"wordcount: there is no folder {tmp_path / 'nowhere'}\n"


def test_wordcount_says_when_there_is_no_text(run_python: RunPython, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = run_python("-m", "wordcount", str(tmp_path / "empty"))
    assert done.returncode == 2
    assert done.stderr == f"wordcount: no text files below {tmp_path / 'empty'}\n"


def test_wordcount_that_is_ended_early_stops_its_worker(texts: Path, environment: dict[str, str]) -> None:
    command = [sys.executable, "-u", "-m", "wordcount", str(texts)]
    with tempfile.TemporaryDirectory() as scratch:
        variables = {**environment, "TMPDIR": scratch}
        program = subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, text=True)
        try:
            assert program.stdout is not None
            for line in program.stdout:
                if line.startswith("Worker:"):
                    break
            program.send_signal(signal.SIGTERM)
            assert program.wait(DEADLINE) in {0, 130}
        finally:
            program.kill()
            program.communicate()
        assert list(Path(scratch).iterdir()) == []  # the worker's folder is removed after the worker has ended
