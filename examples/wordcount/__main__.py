"""The program: start a worker, send it one task a file, show the results as they come in, stop the worker."""

import argparse
import asyncio
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from celeriac import AsyncResult
from celeriac.exceptions import TaskError
from wordcount.files import find_text_files
from wordcount.tasks import FileCount, app, count_file, measure
from wordcount.worker import WorkerEndedError, WorkerProcess, running_worker, worker_command

#: Seconds one result may take to come in.
RESULT_DEADLINE = 60.0
TOP_FILES = 10
#: Files whose sizes one coroutine task adds up.
MEASURE_AT_ONCE = 200


class Summary(NamedTuple):
    """What the run brought."""

    counts: list[FileCount]
    failures: list[str]
    size: int
    tasks: int
    seconds: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; returns the exit code."""
    options = _parse(arguments)
    folder: Path = options.folder.expanduser().resolve()
    if not folder.is_dir():
        print(f"wordcount: there is no folder {folder}", file=sys.stderr)
        return 2
    paths = find_text_files(folder, options.limit)
    if not paths:
        print(f"wordcount: no text files below {folder}", file=sys.stderr)
        return 2
    console = Console()
    console.print(f"Counting the words of {len(paths)} text files below {folder}", highlight=False)
    try:
        summary = asyncio.run(_count(console, paths, options.concurrency))
    except (asyncio.CancelledError, KeyboardInterrupt):
        console.print("Stopped.")
        return 130
    except (WorkerEndedError, TimeoutError) as error:
        print(f"wordcount: {error}", file=sys.stderr)
        return 1
    _show(console, folder, summary)
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="wordcount", description=__doc__)
    parser.add_argument(
        "folder", type=Path, nargs="?", default=Path(), help="what to count (default: the working directory)"
    )
    parser.add_argument("--concurrency", type=int, default=2, help="processes of the worker (default: 2)")
    parser.add_argument("--limit", type=int, default=5000, help="files to count at most (default: 5000)")
    return parser.parse_args(arguments)


async def _count(console: Console, paths: list[str], concurrency: int) -> Summary:
    """Everything that needs the worker. Whatever happens, it and its files are gone afterwards."""
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with tempfile.TemporaryDirectory(prefix="wordcount-") as name:
        folder = Path(name)
        broker_url = f"sqlite:///{folder / 'wordcount.sqlite3'}"
        app.conf.update(broker_url=broker_url)
        console.print(f"Worker: {' '.join(worker_command(concurrency))}", style="dim", highlight=False)
        try:
            async with running_worker(folder, broker_url, concurrency) as worker:
                return await _unless_worker_dies(worker, console, paths)
        finally:
            app.close()


async def _unless_worker_dies(worker: WorkerProcess, console: Console, paths: list[str]) -> Summary:
    work = asyncio.ensure_future(_send_and_collect(console, paths))
    death = asyncio.ensure_future(worker.died())
    try:
        await asyncio.wait((work, death), return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise death.result()
        return work.result()
    finally:
        work.cancel()
        death.cancel()
        await asyncio.gather(work, death, return_exceptions=True)


async def _send_and_collect(console: Console, paths: list[str]) -> Summary:
    """Send one task a file and a few coroutines beside them; the bar moves as the results come in."""
    start = time.perf_counter()
    batches = [paths[i : i + MEASURE_AT_ONCE] for i in range(0, len(paths), MEASURE_AT_ONCE)]
    sizes = [await measure.adelay(batch) for batch in batches]
    results = await count_file.adelay_many((path,) for path in paths)
    counts: list[FileCount] = []
    failures: list[str] = []
    with _progress(console) as progress:
        bar = progress.add_task("counting", total=len(paths), retried=0)
        for waiting in asyncio.as_completed([_outcome(result) for result in results]):
            outcome = await waiting
            if isinstance(outcome, str):
                failures.append(outcome)
            else:
                counts.append(outcome)
            progress.update(bar, advance=1, retried=sum(count["retries"] > 0 for count in counts))
    size = sum([await result.aget(timeout=RESULT_DEADLINE) for result in sizes])
    return Summary(counts, failures, size, len(results) + len(sizes), time.perf_counter() - start)


async def _outcome(result: AsyncResult[FileCount]) -> FileCount | str:
    """What the task returned, or what it raised at its last attempt as a line of text."""
    try:
        return await result.aget(timeout=RESULT_DEADLINE)
    except TimeoutError:
        raise
    except (OSError, TaskError) as error:
        return f"{type(error).__name__}: {error}"


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("counting"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("files, {task.fields[retried]} of them after a retry"),
        TimeElapsedColumn(),
        console=console,
    )


def _show(console: Console, folder: Path, summary: Summary) -> None:
    table = Table(title=f"The {min(TOP_FILES, len(summary.counts))} longest files")
    table.add_column("file", overflow="fold")
    for heading in ("words", "lines", "retries"):
        table.add_column(heading, justify="right")
    for count in sorted(summary.counts, key=lambda count: (-count["words"], count["path"]))[:TOP_FILES]:
        name = str(Path(count["path"]).relative_to(folder))
        table.add_row(name, f"{count['words']:,}", f"{count['lines']:,}", str(count["retries"]))
    words, lines, retries = (sum(count[key] for count in summary.counts) for key in ("words", "lines", "retries"))
    table.add_section()
    table.add_row(f"all {len(summary.counts):,} files", f"{words:,}", f"{lines:,}", f"{retries:,}")
    console.print(table)
    if summary.failures:
        console.print(f"{len(summary.failures)} files could not be read, for example: {summary.failures[0]}")
    console.print(
        f"{words:,} words in {summary.size:,} bytes: {summary.tasks:,} tasks and {retries:,} retries in "
        f"{summary.seconds:.1f} s, the worker's start included ({summary.tasks / summary.seconds:,.0f} tasks/s). "
        "The worker has stopped.",
        highlight=False,
        soft_wrap=True,
    )


if __name__ == "__main__":
    sys.exit(main())
