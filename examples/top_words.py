"""The most frequent words of a folder of text files: a workflow over real files, with a worker of its own.

    python top_words.py [FOLDER] [--pattern '*.txt'] [--top 10]

                   ┌──> count(part 1) ──┐
    survey(folder) ┼──> count(part 2) ──┼──> merge ──> report
                   └──> count(part n) ──┘

How many parts there are is known only when `survey` has looked: it puts a chord in its own place. The counts are too
much for messages, so each part writes them into a file, whose name follows from the part: a part that runs twice
writes the same file again.
"""

import argparse
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from celeriac import AsyncResult, Celeriac, Task, chain, chord
from celeriac.exceptions import ChordError

app = Celeriac("top_words")

#: Bytes of text that one task counts.
PART_BYTES = 64 * 1024
#: Seconds the worker may take to finish what runs after it was asked to stop.
STOP_DEADLINE = 20.0
_WORD = re.compile(r"[^\W\d_]+")


@app.task(bind=True)
def survey(self: Task[..., Any], folder: str, pattern: str, scratch: str) -> Any:
    """Find the files, cut them into parts, and have all parts counted side by side."""
    paths = sorted(path for path in Path(folder).rglob(pattern) if path.is_file())
    parts = [(str(path), start, end) for path in paths for start, end in ranges_of(path)]
    counts = [count.s(*part, str(Path(scratch, f"{number}.json"))) for number, part in enumerate(parts)]
    return self.replace(chord(counts, merge.s(files=len(paths))))


@app.task(autoretry_for=(OSError,), max_retries=2, default_retry_delay=1)
def count(path: str, start: int, end: int, target: str) -> str:
    """Count the words of one part, and return where the counts are."""
    with Path(path).open("rb") as file:
        file.seek(start)
        text = file.read(end - start).decode(errors="replace")
    words = Counter(word.lower() for word in _WORD.findall(text))
    Path(target).write_text(json.dumps(words), encoding="utf-8")
    return target


@app.task
def merge(targets: Sequence[str], files: int) -> dict[str, Any]:
    """Add up the counts of all parts."""
    total: Counter[str] = Counter()
    for target in targets:
        total.update(json.loads(Path(target).read_text(encoding="utf-8")))
    most = sorted(total.items(), key=lambda item: (-item[1], item[0]))
    return {"files": files, "parts": len(targets), "words": total.total(), "different": len(total), "most": most[:1000]}


@app.task
def report(summary: dict[str, Any], top: int) -> str:
    """Put it into words."""
    first = "{words:,} words, {different:,} different ones, in {files:,} files and {parts:,} parts".format(**summary)
    return "\n".join([first, *(f"{times:>8,}  {word}" for word, times in summary["most"][:top])])


def ranges_of(path: Path) -> Iterator[tuple[int, int]]:
    """Cut a file into ranges of bytes of about `PART_BYTES`, each of which ends where a line does."""
    with path.open("rb") as file:
        size, start = file.seek(0, os.SEEK_END), 0
        while start < size:
            file.seek(min(start + PART_BYTES, size))
            file.readline()
            yield start, file.tell()
            start = file.tell()


# -- the program -------------------------------------------------------------------------------------------------------


def main() -> int:
    """Start a worker, send the workflow, print what it comes to, stop the worker."""
    parser = argparse.ArgumentParser(prog="top_words", description="Find the most frequent words of a folder.")
    parser.add_argument("folder", type=Path, nargs="?", default=Path(__file__).resolve().parents[1] / "docs")
    parser.add_argument("--pattern", default="*.md", help="which files (default: *.md)")
    parser.add_argument("--top", type=int, default=10, help="how many words to show (default: 10)")
    options = parser.parse_args()
    folder = options.folder.resolve()
    if not folder.is_dir():
        parser.error(f"there is no folder {folder}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # by way of the `finally` below, so that the worker ends
    with tempfile.TemporaryDirectory(prefix="top_words-") as scratch, running_worker(Path(scratch)) as worker:
        workflow = chain(survey.s(str(folder), options.pattern, scratch), report.s(options.top))
        try:
            print(wait_for(workflow.delay(), worker))
        except ChordError as error:
            print(f"top_words: a part could not be counted. {error}", file=sys.stderr)
            return 1
        finally:
            app.close()
    return 0


@contextlib.contextmanager
def running_worker(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A worker for as long as the block runs, which keeps its data in `folder`. What it logs goes to standard error."""
    broker_url = f"sqlite:///{folder / 'top_words.sqlite3'}"
    app.conf.broker_url = broker_url
    path = os.pathsep.join(filter(None, (str(Path(__file__).resolve().parent), os.environ.get("PYTHONPATH"))))
    worker = subprocess.Popen(
        [sys.executable, "-m", "celeriac", "-A", "top_words", "worker", "--loglevel", "warning"],
        env={**os.environ, "PYTHONPATH": path, "CELERY_BROKER_URL": broker_url},
        stdout=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for this program, which then stops the worker itself
    )
    try:
        yield worker
    finally:
        worker.terminate()
        try:
            worker.wait(STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()


def wait_for(result: AsyncResult[str], worker: subprocess.Popen[bytes]) -> str:
    """What the workflow comes to; looks every second whether the worker is still there."""
    while True:
        try:
            return result.get(timeout=1)
        except TimeoutError:
            if worker.poll() is not None:
                raise


if __name__ == "__main__":
    sys.exit(main())
