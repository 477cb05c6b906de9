"""A real worker for an app, and a way to run programs beside it, both with deadlines."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
#: Seconds for anything that is run here; far more than it takes.
DEADLINE = 60.0

RunPython = Callable[..., subprocess.CompletedProcess[str]]
StartWorker = Callable[[str], subprocess.Popen[str]]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """No settings from outside, and the examples and the working folder on the path."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CELERY_")}
    return {**kept, "PYTHONPATH": os.pathsep.join((str(tmp_path), str(EXAMPLES))), "COLUMNS": "120"}


@pytest.fixture
def run_python(tmp_path: Path, environment: dict[str, str]) -> RunPython:
    """Run Python with these arguments in the working folder."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *arguments]
        return subprocess.run(
            command,
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )

    return run


@pytest.fixture
def start_worker(tmp_path: Path, environment: dict[str, str]) -> Iterator[StartWorker]:
    """Start a worker for the app of this name in the working folder; it is asked to stop at the end."""
    workers: list[subprocess.Popen[str]] = []

    def start(app: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "celeriac", "-A", app, "worker", "-l", "info", "-c", "2"]
        with (tmp_path / "worker.log").open("w") as log:
            worker = subprocess.Popen(
                command,
                cwd=tmp_path,
                env=environment,
                stdout=log,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        workers.append(worker)
        return worker

    yield start
    try:
        for worker in workers:
            worker.send_signal(signal.SIGTERM)
            code = worker.wait(DEADLINE)
            assert code == 0, (tmp_path / "worker.log").read_text()
    finally:
        for worker in workers:
            with contextlib.suppress(ProcessLookupError):  # all of its group has ended, as it should
                os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()
