"""A worker as a child process: started as in a shell, stopped for sure. Knows nothing of its tasks."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

#: Seconds the worker may take to finish what runs after it was asked to stop.
STOP_DEADLINE = 20.0
LOG_LINES_SHOWN = 20


class WorkerEndedError(Exception):
    """The worker ended by itself. The message holds the end of its log."""


class WorkerProcess:
    """A running worker and its log."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log

    async def died(self) -> WorkerEndedError:
        """Wait until the worker ends, and say how."""
        code = await self._process.wait()
        lines = await asyncio.to_thread(self._log.read_text, errors="replace")
        tail = "\n".join(lines.splitlines()[-LOG_LINES_SHOWN:])
        return WorkerEndedError(f"The worker ended with exit code {code}. The end of its log:\n{tail}")

    async def stop(self) -> None:
        """Ask the worker to stop, as a service manager would; kill it if it does not."""
        if self._process.returncode is None:
            self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), STOP_DEADLINE)
            except TimeoutError:
                print(f"The worker did not stop within {STOP_DEADLINE:g} s and is killed.", file=sys.stderr)
        with contextlib.suppress(ProcessLookupError):  # nothing of the worker's process group is left: as it should be
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()


def worker_command(concurrency: int) -> list[str]:
    """What one would type, without the path of the interpreter."""
    return ["celeriac", "-A", "wordcount", "worker", "--loglevel", "info", "--concurrency", str(concurrency)]


@contextlib.asynccontextmanager
async def running_worker(folder: Path, broker_url: str, concurrency: int) -> AsyncIterator[WorkerProcess]:
    """A worker for as long as the block runs. Its log goes to a file in `folder`."""
    log = folder / "worker.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            *worker_command(concurrency),
            cwd=folder,
            env=_environment(broker_url),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C is for this program, which then stops the worker itself
        )
    worker = WorkerProcess(process, log)
    try:
        yield worker
    finally:
        await asyncio.shield(worker.stop())


def _environment(broker_url: str) -> dict[str, str]:
    """Ours, with the examples on the path wherever this program was started, and the broker to use."""
    examples = str(Path(__file__).resolve().parent.parent)
    path = os.pathsep.join(filter(None, (examples, os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, "CELERY_BROKER_URL": broker_url}
