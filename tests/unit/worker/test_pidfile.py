"""The pidfile: one holder at a time, and dead ones do not count."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from celeriac.worker.pidfile import Pidfile, PidfileError, is_running


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "worker.pid"


def _dead_pid() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def test_it_holds_the_process_id_and_goes_away(path: Path) -> None:
    with Pidfile(str(path)):
        assert path.read_text() == f"{os.getpid()}\n"
        assert [entry.name for entry in path.parent.iterdir()] == ["worker.pid"]
    assert not path.exists()


def test_a_running_owner_is_named(path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        path.write_text(f"{other.pid}\n")
        with pytest.raises(PidfileError, match=f"process id {other.pid} runs already"):
            Pidfile(str(path)).acquire()
        assert other.stdin is not None
        other.stdin.write(b"\n")
    assert path.read_text() == f"{other.pid}\n", "it is not ours to remove"


def test_a_dead_owner_is_replaced(path: Path) -> None:
    path.write_text(f"{_dead_pid()}\n")
    with Pidfile(str(path)):
        assert path.read_text() == f"{os.getpid()}\n"


def test_its_own_process_id_from_before_is_replaced(path: Path) -> None:
    """In a container every start may have the same process id."""
    path.write_text(f"{os.getpid()}\n")
    with Pidfile(str(path)):
        assert path.exists()


def test_anything_but_a_process_id_is_left_alone(path: Path) -> None:
    path.write_text("important notes")
    with pytest.raises(PidfileError, match="holds no process id"):
        Pidfile(str(path)).acquire()
    assert path.read_text() == "important notes"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PidfileError, match="can not be written: No such file or directory"):
        Pidfile(str(tmp_path / "none" / "worker.pid")).acquire()


def test_release_leaves_what_another_process_wrote(path: Path) -> None:
    pidfile = Pidfile(str(path))
    pidfile.acquire()
    path.write_text("1\n")
    pidfile.release()
    assert path.read_text() == "1\n"


def test_release_twice_and_without_a_file(path: Path) -> None:
    pidfile = Pidfile(str(path))
    pidfile.acquire()
    pidfile.release()
    pidfile.release()


def test_release_keeps_quiet_in_a_forked_child(path: Path) -> None:
    script = (
        "import os, sys\n"
        "from celeriac.worker.pidfile import Pidfile\n"
        "held = Pidfile(sys.argv[1]); held.acquire()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    held.release(); os._exit(0)\n"
        "os.waitpid(child, 0)\n"
        "print(os.path.exists(sys.argv[1]))\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


def test_is_running() -> None:
    assert is_running(os.getpid())
    assert is_running(1)
    assert not is_running(_dead_pid())
