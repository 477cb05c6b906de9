"""Signals: functions of the user's that are called when something happens, by Celery's names and arguments.

Owns who is connected to what. Knows nothing of tasks, apps or workers: those send.
A sender first asks `if signal.receivers`, so that a signal which nobody listens to costs one attribute read.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable
from types import MethodType
from typing import Any, Final, NamedTuple, Protocol, TypeVar, overload, runtime_checkable

logger = logging.getLogger("celeriac.signals")

Receiver = Callable[..., object]
_R = TypeVar("_R", bound=Receiver)


@runtime_checkable
class _Named(Protocol):
    """A task, as far as signals are concerned."""

    name: str


class _Connection(NamedTuple):
    key: object
    sender: object  # as `_sender_key` gives it; None for all senders
    reference: Callable[[], Receiver | None]


def _sender_key(sender: object) -> object:
    """A task and its name are one sender; anything else is compared by identity."""
    if sender is None or isinstance(sender, str):
        return sender
    if isinstance(sender, _Named) and isinstance(sender.name, str):
        return sender.name
    return id(sender)


class Signal:
    """One kind of event.

    Example:
        >>> from celeriac.signals import Signal
        >>> arrived = Signal("arrived")
        >>> @arrived.connect
        ... def greet(sender: object, **_: object) -> str:
        ...     return f"hello {sender}"
        >>> [answer for _, answer in arrived.send(sender="world")]
        ['hello world']

    Attributes:
        name: for logs.
        receivers: what is connected. False in a condition when there is nothing.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.receivers: tuple[_Connection, ...] = ()
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<Signal: {self.name}>"

    @overload
    def connect(self, receiver: _R, sender: object = None, weak: bool = True, dispatch_uid: object = None) -> _R: ...

    @overload
    def connect(
        self, receiver: None = None, sender: object = None, weak: bool = True, dispatch_uid: object = None
    ) -> Callable[[_R], _R]: ...

    def connect(
        self,
        receiver: Receiver | None = None,
        sender: object = None,
        weak: bool = True,
        dispatch_uid: object = None,
    ) -> Any:
        """Call `receiver(signal=..., sender=..., **arguments)` at each `send`. Usable as a decorator.

        Args:
            receiver: takes keyword arguments; accept `**kwargs`, since later versions may send more.
            sender: only what this sender sends: a task, the name of a task, or another object.
            weak: do not keep `receiver` alive. Functions defined inside functions need `weak=False`.
            dispatch_uid: a key: a second connection with the same key and sender replaces the first.
        """
        if receiver is None:
            return lambda function: self.connect(function, sender, weak, dispatch_uid)
        key = dispatch_uid if dispatch_uid is not None else _receiver_key(receiver)
        connection = _Connection(key, _sender_key(sender), self._reference(receiver) if weak else lambda: receiver)
        with self._lock:
            self.receivers = (*self._without(key, connection.sender), connection)
        return receiver

    def disconnect(self, receiver: Receiver | None = None, sender: object = None, dispatch_uid: object = None) -> bool:
        """Undo a `connect` with the same arguments. Returns False if there was none."""
        key = dispatch_uid if dispatch_uid is not None else _receiver_key(receiver)
        with self._lock:
            left = self._without(key, _sender_key(sender))
            found = len(left) != len(self.receivers)
            self.receivers = left
        return found

    def has_listeners(self, sender: object = None) -> bool:
        """Whether something is connected that `send(sender)` would call."""
        return bool(self._live_receivers(sender))

    def send(self, sender: object, **arguments: Any) -> list[tuple[Receiver, object]]:
        """Call all receivers. One that raises is logged, and what it raised stands for its answer.

        Returns:
            Each receiver with its answer.
        """
        answers: list[tuple[Receiver, object]] = []
        for receiver in self._live_receivers(sender):
            try:
                answer = receiver(signal=self, sender=sender, **arguments)
            except Exception as exc:
                logger.exception("Signal handler %r of %s raised", receiver, self.name)
                answer = exc
            answers.append((receiver, answer))
        return answers

    #: Celery has both names; receivers never harm the sender here.
    send_robust = send

    def _live_receivers(self, sender: object) -> list[Receiver]:
        connections = self.receivers
        if not connections:
            return []
        key = _sender_key(sender)
        wanted = (c.reference() for c in connections if c.sender is None or c.sender == key)
        return [receiver for receiver in wanted if receiver is not None]

    def _without(self, key: object, sender: object) -> tuple[_Connection, ...]:
        return tuple(c for c in self.receivers if not (c.key == key and c.sender == sender))

    def _reference(self, receiver: Receiver) -> Callable[[], Receiver | None]:
        if isinstance(receiver, MethodType):  # the method object itself dies at once
            return weakref.WeakMethod(receiver, self._forget_dead)
        return weakref.ref(receiver, self._forget_dead)

    def _forget_dead(self, _reference: object) -> None:
        # Without the lock: this may run in the middle of anything, also while the lock is held by this very thread.
        self.receivers = tuple(c for c in self.receivers if c.reference() is not None)


def _receiver_key(receiver: Receiver | None) -> object:
    if isinstance(receiver, MethodType):
        return (id(receiver.__self__), id(receiver.__func__))
    return id(receiver)


before_task_publish: Final = Signal("before_task_publish")
after_task_publish: Final = Signal("after_task_publish")
task_received: Final = Signal("task_received")
task_prerun: Final = Signal("task_prerun")
task_postrun: Final = Signal("task_postrun")
task_success: Final = Signal("task_success")
task_retry: Final = Signal("task_retry")
task_failure: Final = Signal("task_failure")
task_internal_error: Final = Signal("task_internal_error")
task_revoked: Final = Signal("task_revoked")
task_rejected: Final = Signal("task_rejected")
task_unknown: Final = Signal("task_unknown")
import_modules: Final = Signal("import_modules")
celeryd_init: Final = Signal("celeryd_init")
celeryd_after_setup: Final = Signal("celeryd_after_setup")
worker_init: Final = Signal("worker_init")
worker_ready: Final = Signal("worker_ready")
worker_before_create_process: Final = Signal("worker_before_create_process")
worker_process_init: Final = Signal("worker_process_init")
worker_process_shutdown: Final = Signal("worker_process_shutdown")
worker_shutting_down: Final = Signal("worker_shutting_down")
worker_shutdown: Final = Signal("worker_shutdown")
heartbeat_sent: Final = Signal("heartbeat_sent")
setup_logging: Final = Signal("setup_logging")
after_setup_logger: Final = Signal("after_setup_logger")
after_setup_task_logger: Final = Signal("after_setup_task_logger")
user_preload_options: Final = Signal("user_preload_options")
