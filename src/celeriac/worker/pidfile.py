"""The file that holds the process id of a running worker, so that no second one starts by mistake.

Owns creation, the check for a dead owner, and removal. Knows nothing of workers.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from celeriac.exceptions import CeleriacError

if TYPE_CHECKING:
    from types import TracebackType

#: How often a stale file is removed and replaced before another process is believed to be doing the same.
_ATTEMPTS: Final = 3


class PidfileError(CeleriacError):
    """The pidfile can not be written, or another process holds it."""


class Pidfile:
    """A pidfile held from `acquire` to `release`; also a context manager.

    Args:
        path: where it shall be.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, Pidfile(f"{folder}/worker.pid") as held:
        ...     int(Path(held.path).read_text()) == os.getpid()
        True
    """

    def __init__(self, path: str) -> None:
        self.path = str(Path(path).absolute())

    def acquire(self) -> None:
        """Create the file with this process's id. A file left by a process that is gone is replaced.

        Raises:
            PidfileError: another process holds it, or it can not be written.
        """
        for _ in range(_ATTEMPTS):
            try:
                self._create()
            except FileExistsError:
                self._remove_if_stale()
            except OSError as error:
                raise PidfileError(
                    f"the pidfile {self.path} can not be written: {error.strerror}. "
                    "Name one in a folder that is there and that you may write to."
                ) from error
            else:
                return
        raise PidfileError(f"the pidfile {self.path} comes back as often as it is removed: is another worker starting?")

    def release(self) -> None:
        """Remove the file if it is still this process's. May be called twice, and in a forked child."""
        if self._owner() == os.getpid():
            Path(self.path).unlink(missing_ok=True)

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _create(self) -> None:
        """Appear with the content in it: a reader never sees an empty file and takes it for stale."""
        draft = f"{self.path}.{os.getpid()}"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            os.write(descriptor, f"{os.getpid()}\n".encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        try:
            os.link(draft, self.path)
        finally:
            os.unlink(draft)  # noqa: PTH108 - beside os.link, which has no better twin

    def _remove_if_stale(self) -> None:
        owner = self._owner()
        if owner is None:
            raise PidfileError(
                f"the pidfile {self.path} holds no process id. Look at it, and remove it if it is left over."
            )
        if owner and owner != os.getpid() and is_running(owner):
            raise PidfileError(
                f"a worker with process id {owner} runs already, says the pidfile {self.path}. "
                f"Stop it, or name another pidfile (for example --pidfile /run/celeriac/%n.pid)."
            )
        Path(self.path).unlink(missing_ok=True)

    def _owner(self) -> int | None:
        """The process id in the file; 0 if the file is gone, None if it holds something else."""
        try:
            text = Path(self.path).read_text(encoding="ascii", errors="replace")
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise PidfileError(f"the pidfile {self.path} can not be read: {error.strerror}") from error
        return int(text) if text.strip().isdecimal() else None


def is_running(pid: int) -> bool:
    """There is a process of this id, whoever owns it. True on Windows, where asking would interrupt it."""
    if os.name == "nt":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
