"""Exceptions as data, both ways: `{"exc_type": ..., "exc_message": [...], "exc_module": ...}`, Celery's form.

Reading never imports anything. A class is looked up in the modules that are imported already, must be a subclass of
`Exception`, and is else replaced by a `RemoteError` subclass that bears its name. An exception that ends programs
(`SystemExit`, `KeyboardInterrupt`, `asyncio.CancelledError`) is replaced as well: a stored result must not stop its
reader.

Which module stands on the wire for our own exceptions: the one where a Celery client finds a class of that name, so
that `except celery.exceptions.NotRegistered` works there. As results stored by Celery 5.7 workers have it:

=====================  ==========================================================================================
`billiard.exceptions`  TimeLimitExceeded, SoftTimeLimitExceeded, WorkerLostError
`kombu.exceptions`     EncodeError, DecodeError, ContentDisallowed, OperationalError
`celery.exceptions`    the others that Celery has: NotRegistered, MaxRetriesExceededError, TaskRevokedError, ChordError,
                       Reject, Ignore, Retry, InvalidTaskError, TimeoutError, ...
=====================  ==========================================================================================

What Celery does not have (MessageTooLarge, RemoteError, ...) goes out as `celeriac.exceptions`; a Celery client makes a
class of that name. On the way in all four modules mean ours.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from celeriac import exceptions
from celeriac.exceptions import EncodeError, RemoteError
from celeriac.serialization import encode

_OWN_MODULE: Final = "celeriac.exceptions"
_WIRE_MODULES: Final[dict[str, str]] = {
    **dict.fromkeys(("TimeLimitExceeded", "SoftTimeLimitExceeded", "WorkerLostError"), "billiard.exceptions"),
    **dict.fromkeys(("ContentDisallowed", "DecodeError", "EncodeError", "OperationalError"), "kombu.exceptions"),
    **dict.fromkeys(
        (
            "AlreadyRegistered",
            "BackendError",
            "ChordError",
            "Ignore",
            "ImproperlyConfigured",
            "InvalidTaskError",
            "MaxRetriesExceededError",
            "NotRegistered",
            "Reject",
            "Retry",
            "TaskError",
            "TaskPredicate",
            "TaskRevokedError",
            "TimeoutError",
        ),
        "celery.exceptions",
    ),
}
_OUR_MODULES: Final = frozenset({_OWN_MODULE, *_WIRE_MODULES.values()})
_OUR_CLASSES: Final[dict[str, type[Exception]]] = {
    name: cls
    for name, cls in vars(exceptions).items()
    if isinstance(cls, type) and issubclass(cls, Exception) and cls.__module__ == _OWN_MODULE
}

#: Modules that are on the other side, too, and whose exceptions say the same there without being told.
_SAY_IT_AGAIN: Final = frozenset({_OWN_MODULE, "builtins"})

_MAX_STAND_INS: Final = 512
_MAX_NAME: Final = 200
_stand_ins: dict[tuple[str, str], type[RemoteError]] = {}
_stand_ins_lock: Final = threading.Lock()


def wire_name(cls: type[BaseException]) -> tuple[str, str]:
    """Return the module and the qualified name that a class has on the wire.

    Example:
        >>> wire_name(exceptions.WorkerLostError)
        ('billiard.exceptions', 'WorkerLostError')
    """
    module = cls.__module__
    if module == _OWN_MODULE:
        module = _WIRE_MODULES.get(cls.__qualname__, module)
    return module, cls.__qualname__


def exception_to_meta(exc: BaseException, serializer: str = "json") -> dict[str, Any]:
    """Return an exception in Celery's form. Arguments that `serializer` can not carry become their reprs.

    One without arguments that has a text all the same (pydantic's ValidationError, for one) gets the text as argument.

    Example:
        >>> exception_to_meta(ValueError("boom", {1}))
        {'exc_type': 'ValueError', 'exc_message': ['boom', '{1}'], 'exc_module': 'builtins'}
    """
    module, name = wire_name(type(exc))
    arguments = [_carried(argument, serializer) for argument in exc.args] or _own_text(exc)
    return {"exc_type": name, "exc_message": arguments, "exc_module": module}


def exception_from_meta(meta: object) -> Exception:
    """Return the exception that a stored one stands for, ready to be raised.

    Takes what Celery clients take (a text as `exc_message`, no `exc_module`), and more: whatever the form, the answer
    is an exception and none is raised.

    Args:
        meta: the dict that `exception_to_meta` made; a text; or an exception, from a pickled result.

    Example:
        >>> exception_from_meta({"exc_type": "ValueError", "exc_message": ["boom"], "exc_module": "builtins"})
        ValueError('boom')
    """
    if isinstance(meta, Exception):
        return meta
    if isinstance(meta, BaseException):
        return _stand_in(*wire_name(type(meta)), meta.args)
    if not isinstance(meta, Mapping):
        return RemoteError(meta)
    name, module = meta.get("exc_type"), meta.get("exc_module")
    message: object = meta.get("exc_message", ())
    args = tuple(message) if isinstance(message, list | tuple) else (message,)
    if not isinstance(name, str):
        return RemoteError(*args)
    if not isinstance(module, str):
        module = "builtins"
    cls = _find_class(module, name)
    rebuilt = _rebuild(cls, args) if cls is not None else None
    return rebuilt if rebuilt is not None else _stand_in(module, name, args)


def _own_text(exc: BaseException) -> list[object]:
    """The text of an exception that has no arguments, as the list of its arguments."""
    if type(exc).__module__ in _SAY_IT_AGAIN:
        return []
    try:
        text = str(exc)
    except Exception:  # noqa: BLE001 - user code, as a repr
        return []
    return [text] if text else []


def _carried(argument: object, serializer: str) -> object:
    try:
        encode(argument, serializer)
    except EncodeError:
        return _repr(argument)
    return argument


def _repr(value: object) -> str:
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001 - a repr is user code and may raise anything
        return f"<Unrepresentable {type(value).__qualname__}: {type(error).__name__}>"


def _find_class(module: str, name: str) -> type[Exception] | None:
    """Look a class up without running code: no import, no module's `__getattr__`, no descriptor."""
    if module in _OUR_MODULES:
        found: object = _OUR_CLASSES.get(name)
        if found is not None:
            return cast("type[Exception]", found)
    container = sys.modules.get(module)
    if container is None:
        return None
    first, *nested = name.split(".")
    found = _namespace(container).get(first)
    for part in nested:
        found = _class_attribute(found, part)
    if isinstance(found, type) and issubclass(found, Exception):
        return found
    return None


def _namespace(module: object) -> Mapping[str, object]:
    try:  # not vars(): a lazily loaded module would load itself
        return cast("Mapping[str, object]", object.__getattribute__(module, "__dict__"))
    except AttributeError:
        return {}


def _class_attribute(cls: object, name: str) -> object:
    if isinstance(cls, type):
        for base in type.__getattribute__(cls, "__mro__"):
            if name in vars(base):
                return vars(base)[name]
    return None


def _rebuild(cls: type[Exception], args: tuple[object, ...]) -> Exception | None:
    """Make an exception of that class with those arguments, or None if the class will not have it."""
    try:
        made: object = cls(*args)
        if not isinstance(made, Exception):
            return None
        exc = made
        if not _same(exc.args, args):
            exc.args = args  # its constructor makes a text of them, which it has been already
    except Exception:  # noqa: BLE001 - the constructor is user code; it often wants other arguments than it hands on
        return _rebuild_bare(cls, args)
    return exc if _speaks(exc) else None


def _rebuild_bare(cls: type[Exception], args: tuple[object, ...]) -> Exception | None:
    """The same without the constructor: `except ThatError` works, attributes that the constructor sets are missing."""
    try:
        exc = cls.__new__(cls, *args)
        exc.args = args
    except Exception:  # noqa: BLE001 - the same
        return None
    return exc if _speaks(exc) else None


def _speaks(exc: Exception) -> bool:
    """It can be printed, and if a text is its only argument, that is not lost."""
    try:
        text = str(exc)
        repr(exc)
    except Exception:  # noqa: BLE001 - a text of attributes that are missing
        return False
    return bool(text) or not (len(exc.args) == 1 and isinstance(exc.args[0], str) and exc.args[0])


def _same(left: Sequence[object], right: Sequence[object]) -> bool:
    return len(left) == len(right) and all(a is b for a, b in zip(left, right, strict=True))


def _stand_in(module: str, name: str, args: tuple[object, ...]) -> RemoteError:
    """Return an exception of a class that bears the name of one that is not here."""
    key = (module, name)
    with _stand_ins_lock:
        cls = _stand_ins.get(key)
        if cls is None:
            cls = _make_stand_in(module, name)
            if len(_stand_ins) >= _MAX_STAND_INS:
                del _stand_ins[next(iter(_stand_ins))]
            _stand_ins[key] = cls
    return cls(*args)


def _make_stand_in(module: str, name: str) -> type[RemoteError]:
    qualname = name[:_MAX_NAME].replace("\0", "").encode("utf-8", "replace").decode("utf-8") or "RemoteError"
    short = qualname.rpartition(".")[2] or qualname
    return type(short, (RemoteError,), {"__module__": module, "__qualname__": qualname})
