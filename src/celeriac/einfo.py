"""What handlers and signals are told of an exception: `ExceptionInfo`, Celery's `einfo`."""

from __future__ import annotations

from types import TracebackType
from typing import Final

from celeriac.result_meta import traceback_text

#: Where this package is. Without pathlib, which takes longer to import than this whole module.
_OWN_FOLDER: Final = __file__.removesuffix("einfo.py")


class ExceptionInfo:
    """An exception with its traceback.

    Attributes:
        type: the exception's class.
        exception: the exception.
        internal: it is not the task's own (`Ignore`, `Reject`).
    """

    def __init__(self, exception: BaseException, internal: bool = False) -> None:
        self.type = type(exception)
        self.exception = exception
        self.internal = internal
        self._text: str | None = None

    @property
    def tb(self) -> TracebackType | None:
        """The traceback as an object."""
        return self.exception.__traceback__

    @property
    def traceback(self) -> str:
        """The traceback as text, as Python prints it. Worked out when it is asked for."""
        if self._text is None:
            self._text = traceback_text(self.exception)
        return self._text

    def __str__(self) -> str:
        return self.traceback

    def __repr__(self) -> str:
        return f"<ExceptionInfo: {self.exception!r}>"


def begin_traceback_in_task(exception: BaseException) -> None:
    """Cut what lies before the task's own code from the traceback: it says nothing about the task.

    A traceback with nothing else (arguments that do not fit, for one) is left as it is.
    """
    step = exception.__traceback__
    while step is not None and step.tb_frame.f_code.co_filename.startswith(_OWN_FOLDER):
        step = step.tb_next
    if step is not None:
        exception.__traceback__ = step
