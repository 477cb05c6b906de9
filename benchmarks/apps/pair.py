"""Runs a command twice, side by side: for peers whose worker is one process. Ends when one of them ends.

`python -m benchmarks.apps.pair PROGRAM ARGUMENTS...`, the program coming from this interpreter's environment.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path


def main(program: str, arguments: list[str]) -> int:
    """Start both, hand TERM on, wait for one and end the other; the code of the one."""
    command = [str(Path(sys.executable).with_name(program)), *arguments]
    both = [subprocess.Popen(command) for _ in range(2)]

    def end(*_: object) -> None:
        for one in both:
            one.terminate()

    signal.signal(signal.SIGTERM, end)
    ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
    end()
    for one in both:
        one.wait()
    return ended.si_status if ended else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
