"""A log file that several processes append to, and that may be moved away under them.

Owns one file descriptor for each process. Knows nothing of formats or of who logs.
"""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path


class AppendHandler(logging.Handler):
    """Writes each record by one `write` to a descriptor opened for appending.

    The system puts such writes one behind the other, so lines of the supervisor and of its executors never
    mix; the buffers of `logging.FileHandler` would break long ones into pieces. When the file was moved or
    deleted (logrotate) it is opened anew before the next record.

    Args:
        filename: created when missing; its folder must be there.

    Raises:
        OSError: the file can not be opened.
    """

    terminator = "\n"

    def __init__(self, filename: str) -> None:
        super().__init__()
        self.filename = str(Path(filename).absolute())
        self._descriptor = -1
        self._identity = (0, 0)
        self._open()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            data = (self.format(record) + self.terminator).encode("utf-8", "backslashreplace")
            self._reopen_if_moved()
            while data:  # only a full disk or a signal makes it more than one write
                data = data[os.write(self._descriptor, data) :]
        except Exception:  # noqa: BLE001 - logging must never end the program; handleError reports on stderr
            self.handleError(record)

    def close(self) -> None:
        with self.lock or contextlib.nullcontext():
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1
        super().close()

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        self._descriptor = os.open(self.filename, flags, 0o666)
        status = os.fstat(self._descriptor)
        self._identity = (status.st_dev, status.st_ino)

    def _reopen_if_moved(self) -> None:
        if self._descriptor >= 0 and self._identity == self._identity_on_disk():
            return
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self._open()

    def _identity_on_disk(self) -> tuple[int, int]:
        try:
            status = os.stat(self.filename)  # noqa: PTH116 - a Path object for each record would cost more than the call
        except FileNotFoundError:
            return (0, 0)
        return (status.st_dev, status.st_ino)

    def __repr__(self) -> str:
        return f"<AppendHandler {self.filename}>"
