"""A process that publishes on demand, in the environment of the task queue that is tried.

`python -m benchmarks.chaos.publisher MODULE` reads lines `first count seconds` from standard input, has `MODULE.send`
publish these tasks, and answers each line with `done`.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any


def main() -> None:
    """Serve until standard input ends."""
    app: Any = importlib.import_module(sys.argv[1])
    for line in sys.stdin:
        first, count, seconds = line.split()
        app.send(int(first), int(count), float(seconds))
        print("done", flush=True)


if __name__ == "__main__":
    main()
